"""Reads the ledgers of chats, `contacts.<worker>.jsonl`: what each process says of the chats that it started and ended."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from harness.errors import UsageError
from harness.recording.format.files import MiB, open_plain
from harness.recording.format.layout import RUN_SCHEMA, ledger_paths
from harness.recording.format.manifest import Chats
from harness.vocabulary import NOT_ASKED

STARTED, ENDED, UNANSWERED = "started", "ended", "unanswered"
RESOLVED = "resolved"
"""The event of a search that has found what became of all starts without an answer."""
STOPPED, ALREADY_ENDED, KEPT = "stopped", "already_ended", "kept"
"""How a chat ended; a kept one is left open on purpose."""

LONGEST_LINE = 16 * 1024
LONGEST_ID = 1024
"""Characters of a contact id; AWS's have 36, and at most 256 by its model."""
LONGEST_LEDGER = 2048 * MiB

_Name = Annotated[str, Meta(max_length=2000)]
_Id = Annotated[str, Meta(min_length=1, max_length=LONGEST_ID)]
_Time = Annotated[float, Meta(ge=-1e15, le=1e15)]


class LedgerHeader(Struct, frozen=True, gc=False):
    """The first line of a ledger: the version of its format, and where its chats are."""

    ledger: float = 0
    worker: _Name = ""
    run_id: _Name = ""
    endpoint: _Name = ""
    region: _Name = ""
    instance_id: _Name = ""


class _Line(LedgerHeader, frozen=True, gc=False):
    """Any line: a header, or an event."""

    event: str = ""
    at: _Time = 0.0
    contact_id: _Id | None = None
    how: str = STOPPED
    service_begun: _Time | None = None
    service_ended: _Time | None = None
    client_token: _Name = ""
    reason: _Name | None = None


_decoder = msgspec.json.Decoder(_Line)


def are_ledger_lines(lines: bytes) -> bool:
    """Return whether `lines` are one or more lines that a ledger may hold, each with its end."""
    ends = lines.count(b"\n")
    # Between objects alone can these three follow each other: so each line is what stands between two of them, and none
    # is empty or goes on in the next one.
    if lines[:1] != b"{" or lines[-2:] != b"}\n" or lines.count(b"}\n{") != ends - 1 or not _are_short(lines):
        return False
    try:
        return len(_decoder.decode_lines(lines)) == ends
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def _are_short(lines: bytes) -> bool:
    begin = 0
    while len(lines) - begin > LONGEST_LINE:
        begin = lines.rfind(b"\n", begin, begin + LONGEST_LINE) + 1
        if not begin:
            return False
    return True


@dataclass(slots=True)
class ChatLife:
    """A chat that we found ended: when its start was answered and its end was noticed (unix s, this machine's clock), and
    when it began and ended by the service's own clock (unix s), where DescribeContact told that.
    """

    started: float
    noticed: float
    service_begun: float | None = None
    service_ended: float | None = None


@dataclass
class LedgerRecord:
    """What one ledger says: its header (None where it has none), contacts still open (contact id to unix time of the
    start), ended ones (id to how), the lives of those that were found ended and why the service says that they ended, client
    tokens of starts without an answer, whether a search has since found what became of those, and how many lines could not
    be read. `worker` is the one that the file's name says.
    """

    path: Path
    worker: str
    header: LedgerHeader | None = None
    open: dict[str, float] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    lives: dict[str, ChatLife] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    unanswered: list[str] = field(default_factory=list)
    resolved: bool = False
    unreadable: int = 0


@dataclass
class LedgerChats:
    """What all ledgers of a run say together: a chat that one process started may have been ended by another."""

    open: dict[str, float] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    unanswered: list[str] = field(default_factory=list)
    resolved: bool = False
    unreadable: int = 0

    def chat_ends(self) -> dict[str, int]:
        """Return how many chats that somebody else ended had each reason."""
        others = [contact for contact, how in self.ended.items() if how == ALREADY_ENDED]
        return dict(Counter(self.reasons.get(contact, NOT_ASKED) for contact in others))

    def counts(self) -> Chats:
        """Return what became of the chats, as the manifest has it; kept chats are open too."""
        how = Counter(self.ended.values())
        return Chats(
            started=len(self.open) + len(self.ended),
            stopped=how[STOPPED],
            already_ended=how[ALREADY_ENDED],
            kept=how[KEPT],
            left_open=len(self.open) + how[KEPT],
            unanswered=0 if self.resolved else len(self.unanswered),
        )


def read_ledgers(directory: Path) -> list[LedgerRecord]:
    """Read every ledger of a run directory, however its process ended.

    Raises UsageError for one that is of a newer version, not a plain file, or not named as a worker's is.
    """
    return [_read(path, worker) for worker, path in ledger_paths(directory).items()]


def merge_ledgers(records: Iterable[LedgerRecord]) -> LedgerChats:
    """Add up ledgers."""
    records = list(records)
    chats = LedgerChats()
    for record in records:
        chats.ended.update(record.ended)
        chats.reasons.update(record.reasons)
        chats.unanswered += record.unanswered
        chats.resolved |= record.resolved
        chats.unreadable += record.unreadable
    for record in records:
        chats.open.update((contact, at) for contact, at in record.open.items() if contact not in chats.ended)
    return chats


def _read(path: Path, worker: str) -> LedgerRecord:
    record = LedgerRecord(path, worker)
    for line in _lines(path, record):
        if line.ledger:
            _read_header(line, record)
        elif line.event == STARTED and line.contact_id is not None:
            if line.contact_id not in record.ended:
                record.open[line.contact_id] = line.at
        elif line.event == ENDED and line.contact_id is not None:
            _read_end(line, line.contact_id, record)
        elif line.event == RESOLVED:
            record.resolved = True
        elif line.event == UNANSWERED:
            record.unanswered.append(line.client_token)
        else:
            record.unreadable += 1
    return record


def _read_end(line: _Line, contact_id: str, record: LedgerRecord) -> None:
    started = record.open.pop(contact_id, None)
    record.ended[contact_id] = line.how
    if line.how != ALREADY_ENDED:
        return
    if line.reason is not None:
        record.reasons[contact_id] = line.reason
    life = record.lives.get(contact_id)
    if life is None and started is not None:
        life = record.lives[contact_id] = ChatLife(started, line.at)
    if life is not None and line.service_begun is not None and line.service_ended is not None:
        life.service_begun, life.service_ended = line.service_begun, line.service_ended


def _read_header(line: _Line, record: LedgerRecord) -> None:
    if line.ledger > RUN_SCHEMA:
        raise UsageError(
            f"{record.path}: written by a newer chatquota (schema {line.ledger:g}, this one reads {RUN_SCHEMA}); "
            "upgrade chatquota"
        )
    header = LedgerHeader(line.ledger, line.worker, line.run_id, line.endpoint, line.region, line.instance_id)
    if record.header is None:
        record.header = header
    elif record.header != header:  # a ledger has one header; a second one that differs must not redirect it
        record.unreadable += 1


def _lines(path: Path, record: LedgerRecord) -> Iterator[_Line]:
    with os.fdopen(open_plain(path, os.O_RDONLY), "rb") as file:
        if os.fstat(file.fileno()).st_size > LONGEST_LEDGER:
            raise UsageError(
                f"{path} is over {LONGEST_LEDGER // MiB:,} MiB long; no run writes one so long: it is not read"
            )
        while raw := file.readline(LONGEST_LINE):
            whole = raw.endswith(b"\n")
            while not whole and (rest := file.readline(LONGEST_LINE)):  # too long: skipped to its end
                raw, whole = b"?", rest.endswith(b"\n")
            if not raw.strip():
                continue
            try:
                yield _decoder.decode(raw)
            except (msgspec.DecodeError, UnicodeDecodeError):
                record.unreadable += 1
