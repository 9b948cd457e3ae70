"""Chats of earlier runs that are still open on the same instance: as this machine's run directories tell, and the instance.

The instance knows runs of other machines too: each of our chats carries the attribute `loadtest-run`.
"""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from harness.connect.contract import RUN_ATTRIBUTE
from harness.counting import counted
from harness.errors import UsageError
from harness.preflight.model.asking import Account, ask, code_of
from harness.preflight.model.open_chats import open_chats_request
from harness.preflight.model.rows import NotKnown, Row
from harness.recording.format.layout import MANIFEST, is_worker_name
from harness.recording.format.manifest import Manifest, load_manifest

if TYPE_CHECKING:
    from types_boto3_connect.type_defs import ContactSearchSummaryTypeDef

_MOST_RUNS = 500
_MOST_READ = 40
"""Of so many open chats the attributes are read."""
_BETWEEN_READS = 0.15
"""Seconds between two GetContactAttributes, whose 10/s the account shares with production."""
_SOME_READS = 4
"""So many reads come at once, which a burst of 15 allows."""


def check_leftovers(runs: Path, account: Account, now: Callable[[], float] = time.time) -> Iterator[Row]:
    """Yield a row for each earlier run of the instance that left chats open or never ended, newest first."""
    local = dict(_local(runs, account.instance_id))
    yield from local.values()
    if not runs.is_dir():
        text = f"there is no directory {runs} here, so that no earlier run was looked at"
        yield Row(check="leftovers", state="note", text=text)
    elif not local:
        yield Row(check="leftovers", state="ok", text=f"no run in {runs} left a chat open on this instance")
    yield from _on_the_instance(account, set(local), now)


def _local(runs: Path, instance_id: str) -> Iterator[tuple[str, Row]]:
    """Yield run id and row of each run directory that tells of open chats."""
    for path in sorted(runs.glob(f"*/{MANIFEST}"), reverse=True)[:_MOST_RUNS]:
        run = _read(path.parent)
        if run is None or run.target.instance_id != instance_id:
            continue
        command = f"`chatquota cleanup {shlex.quote(str(path.parent))}`"
        if run.status == "running":
            text = (
                f"{path.parent.name} is running or was killed; where it was killed, {command} stops the chats it left"
            )
        elif run.chats.left_open:
            left = counted(run.chats.left_open, "chat")
            text = f"{path.parent.name} left {left} open, counted against the quota: {command}"
        else:
            continue
        yield run.run_id or path.parent.name, Row(check="leftovers", state="note", text=text)


def _read(directory: Path) -> Manifest | None:
    try:
        return load_manifest(directory).contents
    except (OSError, UsageError):
        return None


def _on_the_instance(account: Account, known: set[str], now: Callable[[], float]) -> Iterator[Row]:
    """Yield the rows on open chats that carry the attribute of a run which is not among the `known`."""
    check = "leftovers on the instance"
    try:
        listed, total = _open_chats(account, now())
        shown = _spread(listed)
        found = Counter(run_id for run_id in map(_reader(account), shown) if run_id)
    except NotKnown as unknown:
        yield unknown.row(check)
        return
    except ClientError as error:
        yield Row(check=check, state="not_known", text=f"the instance's open chats are not told ({code_of(error)})")
        return
    open_chats = counted(total, "open chat")
    looked = (
        f"of {open_chats}"
        if len(shown) >= total
        else f"of {open_chats}, of which {counted(len(shown), 'was', 'were')} read"
    )
    lag = "a chat is found some minutes after its start"
    others = {run_id: count for run_id, count in found.items() if run_id not in known}
    for run_id, count in sorted(others.items(), reverse=True):
        chats = counted(count, f"chat of run {run_id} is", f"chats of run {run_id} are")
        text = f"{chats} open, {looked}: `{_sweep(account, run_id)}`"
        yield Row(check=check, state="note", text=text)
    if not found:
        yield Row(
            check=check,
            state="ok" if len(shown) >= total else "note",
            text=f"none {looked} carries {RUN_ATTRIBUTE} ({lag})",
        )
    elif not others:
        yield Row(check=check, state="ok", text=f"no chats but those of the runs above, {looked} ({lag})")


def _open_chats(account: Account, now: float) -> tuple[list[ContactSearchSummaryTypeDef], int]:
    """Return the first page of open chats, oldest first, and how many there are in all."""
    client = account.connect
    request = open_chats_request(account.instance_id, now)
    answer = ask("connect:SearchContacts", lambda: client.search_contacts(**request))
    contacts = [contact for contact in answer.get("Contacts", []) if not contact.get("DisconnectTimestamp")]
    return contacts, max(len(contacts), int(answer.get("TotalCount") or 0))


def _spread(contacts: list[ContactSearchSummaryTypeDef]) -> list[str]:
    """Return the ids of at most `_MOST_READ` of the contacts, evenly over their starts: a run's lie side by side."""
    ids = [contact["Id"] for contact in contacts if contact.get("Id")]
    step = max(1.0, len(ids) / _MOST_READ)
    return [ids[int(index * step)] for index in range(min(len(ids), _MOST_READ))]


def _reader(account: Account) -> Callable[[str], str]:
    """Return what reads the run id that a contact carries, "" without one; paced after some calls."""
    client, calls = account.connect, 0

    def read(contact_id: str) -> str:
        nonlocal calls
        calls += 1
        if calls > _SOME_READS:
            time.sleep(_BETWEEN_READS)
        try:
            answer = ask(
                "connect:GetContactAttributes",
                lambda: client.get_contact_attributes(InstanceId=account.instance_id, InitialContactId=contact_id),
            )
        except ClientError:  # it ended meanwhile, or is not a chat of its own
            return ""
        run_id = str(answer.get("Attributes", {}).get(RUN_ATTRIBUTE, ""))
        return run_id if is_worker_name(run_id) else ""

    return read


def _sweep(account: Account, run_id: str) -> str:
    """Return the command that stops a run's chats without its directory."""
    usual = f"https://connect.{account.region}.amazonaws.com"
    host = "" if account.endpoint == usual else f" --host {shlex.quote(account.endpoint)}"
    where = f"--region {account.region} --instance-id {shlex.quote(account.instance_id)}"
    return f"chatquota cleanup --sweep --run-id {run_id}{host} {where}"
