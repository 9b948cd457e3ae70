"""Takes over what a lost worker left: its samples, where they lie on this disk, and the chats that it had open."""

import logging
from collections.abc import Callable

import msgspec

from harness import __version__
from harness.load.run.manifest import RunRecord
from harness.load.stopping.leftovers import Finisher
from harness.load.stopping.pace import DEFAULT_STOP_RATE
from harness.load.stopping.progress import drain_progress
from harness.load.stopping.stopper import Hopeless
from harness.recording.format.layout import SAMPLES, ledger_path
from harness.recording.format.ledger import merge_ledgers, read_ledgers
from harness.recording.journal import recover
from harness.recording.recovery import summarise
from harness.recording.redact import redact_text
from harness.recording.summary import add_up
from harness.recording.tally import is_alive

logger = logging.getLogger(__name__)

MASTER = "master"


def take_over(record: RunRecord, name: str, shipped: bool, abandoned: Callable[[], bool]) -> None:
    """Bring in what worker `name` left and stop its chats. `shipped`: its own files are on another machine.

    What it recorded and nobody has is counted as lost, as far as its own last report and its tally tell.
    """
    samples = record.directory / SAMPLES
    last = record.parts.get(name)
    if not shipped and is_alive(samples, name):
        record.troubles.append(f"{name} is still at work and does not answer: its last samples are missing")
        return
    if not shipped:
        record.troubles += recover(samples, name).damaged
        record.parts[name], unknown = summarise(record.directory, name, last)
        record.troubles += unknown
    if ledger_path(record.directory, name).exists():
        try:
            _stop_chats(record, name, abandoned)
        except Hopeless as error:
            logger.error(
                "the chats of %s could not be stopped: %s",
                name,
                redact_text(error.reply.message) or error.reply.outcome,
            )


def _stop_chats(record: RunRecord, name: str, abandoned: Callable[[], bool]) -> None:
    theirs = [ledger for ledger in read_ledgers(record.directory) if ledger.worker == name]
    chats = merge_ledgers(theirs)
    if chats.open and not record.settings.keep_chats:
        target = record.target
        header = {
            "run_id": record.run_id,
            "endpoint": target.endpoint,
            "region": target.region,
            "instance_id": target.instance_id,
        }
        finisher = Finisher(
            record.directory,
            MASTER,
            header,
            target.client(f"chatquota/{__version__}", record.settings.call_timeout),
            record.settings.stop_rate or DEFAULT_STOP_RATE,
            may_grow=not record.settings.stop_rate and not target.live,
        )
        try:
            with drain_progress(f"stopping the chats of {name}") as progress:
                finisher.end(sorted(chats.open, key=chats.open.__getitem__), progress, abandoned)
        finally:
            finisher.close()
            parts = [record.parts[MASTER]] if MASTER in record.parts else []
            record.parts[MASTER] = add_up([*parts, finisher.summary()], MASTER)
        masters = [ledger for ledger in read_ledgers(record.directory) if ledger.worker == MASTER]
        for contact, how in merge_ledgers(masters).ended.items():
            if chats.open.pop(contact, None) is not None:
                chats.ended[contact] = how
    if name in record.parts:
        record.parts[name] = msgspec.structs.replace(record.parts[name], chats=chats.counts())
