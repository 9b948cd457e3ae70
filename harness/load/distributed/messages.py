"""What the master and its workers say to each other, over Locust's own connections: typed, and checked where it comes in.

- master to workers with the spawn message, in the parsed options: `Announcement`.
- worker to master in each of Locust's reports: `Report`; the master answers one with items by `Ack`
  (`harness.load.distributed.shipping`).
- master to worker before the load begins and after it ended: `Tick`, answered with `Tock`
  (`harness.load.distributed.clocks`).
- worker to master: `Ask` for places in the budget of chats, answered with `Grant` (`harness.load.session.budget`).
- worker to master when something calls for the end of the run: `Hopeless`, `Trouble`, `End`.
- master to workers at the end: `Drain`. Each worker stops arrivals, lets its calls end, stops its chats, sends what it still
  has, then `Drained` on the same connection, so that nothing can arrive after it. `Abandon`: leave the chats that are open.

Whoever reaches the master's port can send anything, so whatever is not of its type is refused and counted.
"""

import logging
from collections import Counter
from typing import Annotated, ClassVar, TypeVar

import msgspec
from msgspec import Meta, Struct

from harness.counting import counted
from harness.load.run.embedded_emulator import LabAnnouncement
from harness.recording.format.layout import WORKER_PATTERN
from harness.recording.summary import Label, Summary, Text, WorkerName

logger = logging.getLogger(__name__)

RunId = Annotated[str, Meta(pattern=WORKER_PATTERN)]
"""A run id becomes the name of a directory on a worker's disk."""
Seconds = Annotated[float, Meta(ge=-1e12, le=1e12)]
Places = Annotated[int, Meta(ge=0, le=2**40)]
Number = Annotated[int, Meta(ge=0, le=2**62)]
Content = Annotated[bytes, Meta(max_length=64 * 1024 * 1024)]
Path = Annotated[str, Meta(max_length=4096)]

_MOST_SENDERS = 100
_OTHERS = "others"


class BadMessage(ValueError):
    """A message that is not what its sender should have sent."""


class Message(Struct, frozen=True, kw_only=True):
    """A message about run `run_id`. `NAME` is what Locust calls it."""

    NAME: ClassVar[str] = ""
    run_id: RunId


class Announcement(Message, frozen=True, kw_only=True):
    """A run begins: where the master records it, its user class, what each worker (by Locust's id) is called, in which order
    they stand, the workload (text and source), and what the embedded emulator announced. `clocks` has the seconds by which
    each worker (by Locust's id) is to move its times, so that they are the master's.
    """

    NAME: ClassVar[str] = "chatquota_run"
    directory: Path
    user_class: Label
    names: dict[Label, WorkerName]
    order: list[Label]
    workload: tuple[str, str]
    lab: LabAnnouncement | None
    clocks: dict[Label, Seconds] = {}


class Item(Struct, frozen=True, array_like=True):
    """Something that a worker ships: its number (from 1 on), its kind, and its content."""

    number: Number
    kind: Annotated[int, Meta(ge=0, le=1)]
    content: Content


class Report(Message, frozen=True, kw_only=True):
    """What a worker has done so far and, from one whose disk is not the master's, its new samples and ledger lines."""

    NAME: ClassVar[str] = "chatquota"
    summary: Summary
    items: list[Item] | None


class Ack(Message, frozen=True, kw_only=True):
    """The master has written every item up to `number`."""

    NAME: ClassVar[str] = "chatquota_ack"
    number: Number


class Tick(Message, frozen=True, kw_only=True):
    """The master asks for a worker's time; `number` tells its questions apart."""

    NAME: ClassVar[str] = "chatquota_tick"
    number: Number


class Tock(Message, frozen=True, kw_only=True):
    """A worker's time (unix seconds) as it answers question `number`."""

    NAME: ClassVar[str] = "chatquota_tock"
    number: Number
    at: Seconds


class Ask(Message, frozen=True, kw_only=True):
    """Places in the budget of chats, in totals since the run began: `wanted`, `returned`, and `kept` by chats."""

    NAME: ClassVar[str] = "chatquota_ask"
    wanted: Places
    returned: Places
    kept: Places


class Grant(Message, frozen=True, kw_only=True):
    """Places granted in total since the run began, and whether the master has more."""

    NAME: ClassVar[str] = "chatquota_grant"
    granted: Places
    more: bool


class Hopeless(Message, frozen=True, kw_only=True):
    """Every call of a worker is refused, with this answer."""

    NAME: ClassVar[str] = "chatquota_hopeless"
    outcome: Label
    status: Annotated[int, Meta(ge=0, le=999)]
    error_code: Label | None
    message: Text


class Trouble(Message, frozen=True, kw_only=True):
    """A worker cannot go on; `said` is a sentence."""

    NAME: ClassVar[str] = "chatquota_trouble"
    said: Text


class End(Message, frozen=True, kw_only=True):
    """A worker asks for the end of the run; `why` and `exit_code` go into the manifest."""

    NAME: ClassVar[str] = "chatquota_end"
    why: Annotated[str, Meta(pattern=r"^[a-z_]{1,40}\Z")]
    exit_code: Annotated[int, Meta(ge=0, le=5)] | None


class Drain(Message, frozen=True, kw_only=True):
    """The run is over."""

    NAME: ClassVar[str] = "chatquota_drain"


class Drained(Message, frozen=True, kw_only=True):
    """A worker has ended its part; `complete` is whether that went well."""

    NAME: ClassVar[str] = "chatquota_drained"
    complete: bool


class Abandon(Message, frozen=True, kw_only=True):
    """Do not wait for the chats that are open."""

    NAME: ClassVar[str] = "chatquota_abandon"


AnyMessage = TypeVar("AnyMessage", bound=Message)


def write(message: Message) -> dict[str, object]:
    """Return `message` as the plain values that Locust sends."""
    plain: dict[str, object] = msgspec.to_builtins(message, builtin_types=(bytes,))
    return plain


def read(kind: type[AnyMessage], data: object) -> AnyMessage:
    """Return what came as a message of `kind`. Raises BadMessage, with what is wrong, for anything else."""
    try:
        return msgspec.convert(data, kind)
    except (msgspec.ValidationError, ValueError, TypeError, RecursionError, OverflowError) as error:
        raise BadMessage(f"{kind.__name__}: {printable(str(error))}") from error


def printable(text: str, longest: int = 500) -> str:
    """Return `text` on one line and without control characters, `longest` characters at most."""
    return "".join(character if character.isprintable() else " " for character in text[:longest])


class Refusals:
    """Counts the messages that were refused, by sender; says so of the first of each."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def note(self, sender: str, error: Exception) -> None:
        """Count a refused message of `sender`, who may be anybody."""
        name = printable(sender, 100)
        if name not in self.counts and len(self.counts) >= _MOST_SENDERS:
            name = _OTHERS
        self.counts[name] += 1
        if self.counts[name] == 1:
            logger.warning("a message of %s was refused, and further ones will be: %s", name, printable(str(error)))

    def sentence(self, sender: str, name: str) -> str | None:
        """Return the sentence about the refused messages of worker `name`, who is `sender` to Locust; None without any."""
        count = self.counts[printable(sender, 100)]
        if not count:
            return None
        return (
            f"{counted(count, f'message of {name} was', f'messages of {name} were')} refused, for not being what a worker "
            "sends: use the same chatquota on master and workers"
        )
