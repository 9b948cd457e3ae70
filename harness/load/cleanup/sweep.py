"""Finds and stops the chats of a run of which nothing but its id is left."""

import calendar
import re
import sys
import time

from harness import __version__
from harness.connect.target import Target
from harness.counting import counted
from harness.errors import EXIT_DONE, EXIT_INVALID, UsageError
from harness.load.cleanup.arguments import CleanupOptions
from harness.load.cleanup.claims import Claims
from harness.load.cleanup.outcome import refuse_search, refuse_stop
from harness.load.cleanup.permission import ask, resolve
from harness.load.cleanup.reading import read_open_chats
from harness.load.cleanup.search import Found, SearchFailed, find_chats
from harness.load.stopping.pace import DEFAULT_STOP_RATE, Pace
from harness.load.stopping.progress import drain_progress
from harness.load.stopping.stopper import Hopeless, stop_all
from harness.recording.format.layout import is_worker_name

_STAMP = re.compile(r"\d{8}T\d{6}Z")


def sweep(options: CleanupOptions) -> int:
    """Stop the chats that carry the run's attribute and return the exit code."""
    if not is_worker_name(options.run_id):
        raise UsageError(f"--run-id {options.run_id!r} is not the id of a run; see run_id in its run.json or log")
    # Nothing here comes from a file: the command line and the AWS configuration name the target.
    target = resolve(options, Claims(run_id=options.run_id, endpoint=options.host, own=True))
    try:
        found = _find(options, target)
    except SearchFailed as error:
        return refuse_search(error)
    chats = counted(len(found.open) + len(found.ended), "chat")
    print(f"{chats} of run {options.run_id} found, {len(found.open)} of them open")
    if not found.open:
        return EXIT_DONE
    ask(options, Claims(own=True), target, len(found.open), searches=False)
    client = target.client(f"chatquota/{__version__}", options.call_timeout)
    pace = Pace(options.stop_rate or DEFAULT_STOP_RATE)
    left = len(found.open)
    try:
        with drain_progress() as progress:
            contacts = sorted(found.open, key=found.open.__getitem__)
            left = stop_all(contacts, lambda contact: client.stop_contact(target.instance_id, contact), pace, progress)
    except Hopeless as error:
        return refuse_stop(error.reply)
    except KeyboardInterrupt:
        print("interrupted; run it again", file=sys.stderr)
        return EXIT_INVALID
    print(f"{len(found.open) - left} stopped, {left} still open")
    return EXIT_INVALID if left else EXIT_DONE


def _find(options: CleanupOptions, target: Target) -> Found:
    """Return the run's chats: by the attribute where it is searchable, else by reading the open chats' attributes."""
    since = _begun(options.run_id)
    refusal: SearchFailed | None = None
    try:
        found = find_chats(target, options.run_id, since, timeout=options.call_timeout)
    except SearchFailed as error:
        if not error.code:
            raise
        found, refusal = Found(), error  # it may be the attribute that the instance does not search by
    if not found.open and not found.ended:
        try:
            found.open = read_open_chats(target, options.run_id, since, options.call_timeout)
        except SearchFailed as error:
            raise refusal or error from error
    return found


def _begun(run_id: str) -> float | None:
    """Return the time in a run's id, if it has one."""
    stamp = _STAMP.match(run_id)
    try:
        return float(calendar.timegm(time.strptime(stamp[0], "%Y%m%dT%H%M%SZ"))) if stamp else None
    except ValueError:
        return None
