"""The other side of a chat as a TOML file: bot, queue with agents, and rules of what is said when."""

import math
import os
import random
import re
import stat
import tomllib
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from harness.emulator.settings.documented import MESSAGE_BYTES
from harness.emulator.settings.values import SettingsError, finite_duration

_MOST_BYTES = 4 * 1024 * 1024
_MOST_AGENTS = 100_000
_LONG_KEY = re.compile(r"(?<![\w-])(?:[\w-]++[\"']?[ \t]*+\.[ \t]*+[\"']?){200}")
"""A key of so many dotted parts: to read one takes tomllib the square of their number."""

_DAY = 86_400.0
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")

_INTERACTIVE = "application/vnd.amazonaws.connect.message.interactive"


class Spread(msgspec.Struct, forbid_unknown_fields=True):
    """A random duration: lognormal by `median` and `sigma`, exponential by `mean`, or uniform from `low` to `high`."""

    median: str | float | None = None
    sigma: float = 0.5
    mean: str | float | None = None
    low: str | float | None = None
    high: str | float | None = None


Delay = str | float | Spread


class Step(msgspec.Struct, forbid_unknown_fields=True):
    """One thing that happens; exactly one of the members but `by` is given."""

    wait: Delay | None = None
    typing: Delay | None = None
    say: str | None = None
    markdown: str | None = None
    interactive: dict[str, Any] | None = None
    join: str | None = None
    leave: str | None = None
    transfer: str | None = None
    queue: bool = False
    end: bool = False
    by: str = ""

    @property
    def message(self) -> tuple[str, str] | None:
        """Content type and content, if the step says something."""
        if self.say is not None:
            return "text/plain", self.say
        if self.markdown is not None:
            return "text/markdown", self.markdown
        if self.interactive is not None:
            return _INTERACTIVE, msgspec.json.encode(self.interactive).decode()
        return None


class Rule(msgspec.Struct, forbid_unknown_fields=True):
    """When something happens, and the steps that follow.

    `start`: the flow starts. `connect`: the customer's websocket has subscribed. `message`: the customer says something
    that `matches` (a regular expression). `time`: `after` this long since the start. `agent_joined`, `queued`,
    `bot_busy`: as they say. `closed`: queued outside of the queue's hours. `while` limits a rule to chats that are with
    the `bot`, in the `queue`, or with an `agent`.
    """

    on: Literal["start", "connect", "message", "time", "agent_joined", "queued", "closed", "bot_busy"]
    steps: list[Step]
    matches: str = ""
    after: Delay | None = None
    once: bool = False
    only_while: Literal["bot", "queue", "agent", ""] = msgspec.field(default="", name="while")


class Bot(msgspec.Struct, forbid_unknown_fields=True):
    """Who speaks until an agent joins. Beyond `conversations` at once it is `throttled`, `slower` or `silent`."""

    name: str = "Bot"
    delay: Delay = 0.0
    conversations: int | None = None
    beyond: Literal["throttled", "slower", "silent"] = "throttled"
    slowdown: float = 5.0
    lost: float = 0.0
    never_greets: float = 0.0


class Queue(msgspec.Struct, forbid_unknown_fields=True):
    """Agents who take chats in the order of their arrival; a number of agents, or their names.

    They take them in the `hours` of each day, in UTC ("08:00-18:00", or over midnight "22:00-06:00"); without them always.
    """

    agents: int | list[str] = 1
    chats_per_agent: int = 1
    answer_after: Delay = 0.0
    handling_time: Delay | None = None
    hours: str | None = None

    def opens_in(self, unix: float) -> float:
        """Seconds from `unix` (unix seconds) until chats are taken; 0 within the hours."""
        if self.hours is None:
            return 0.0
        opening, closing = working_hours(self.hours)
        since = (unix - opening) % _DAY
        left = _DAY - since
        return 0.0 if since < (closing - opening) % _DAY or left < 1e-3 else left

    @property
    def names(self) -> list[str]:
        """The names of the agents."""
        if isinstance(self.agents, int):
            return [f"Agent {number + 1}" for number in range(self.agents)]
        return self.agents


class Flow(msgspec.Struct, forbid_unknown_fields=True):
    """A whole flow file. `receipts`: agents acknowledge and read what the customer says."""

    rules: list[Rule] = []
    bot: Bot | None = None
    queue: Queue | None = None
    receipts: bool = True


@dataclass(frozen=True, slots=True)
class FlowFile:
    """A flow and the file that it was read from; an empty path: no file and an empty flow."""

    path: str = ""
    flow: Flow = field(default_factory=Flow)

    def __str__(self) -> str:
        return self.path


def read_flow(path: str) -> FlowFile:
    """Read and check the flow file at `path` (TOML, or JSON if its name ends in .json).

    Raises SettingsError: one line that names place and problem; the caller names the file.
    """
    if not path:
        return FlowFile()
    try:
        text = _read(path).decode("utf-8")
        if path.endswith(".json"):
            return FlowFile(path, check_flow(msgspec.json.decode(text, type=Flow)))
        if _LONG_KEY.search(text):
            raise SettingsError("a key of 200 dotted parts or more; write tables instead")
        return FlowFile(path, check_flow(msgspec.convert(tomllib.loads(text), Flow)))
    except OSError as error:
        raise SettingsError(f"cannot read it: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise SettingsError("is not UTF-8 text") from None
    except RecursionError:
        raise SettingsError("is nested too deeply") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise SettingsError(str(error).replace("\n", " ")) from None


def _read(path: str) -> bytes:
    """Return what the regular file at `path` holds, of a bounded size: no pipe or device is read for ever."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise SettingsError("a directory" if stat.S_ISDIR(mode) else "not a regular file")
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise SettingsError(f"over {_MOST_BYTES:,} bytes")
    return content


def check_flow(flow: Flow) -> Flow:
    """Check what the types of `flow` do not say. Raises SettingsError that names the place."""
    for number, rule in enumerate(flow.rules, 1):
        where = f"rule {number} (on {rule.on})"
        _check_rule(flow, rule, where)
        for index, step in enumerate(rule.steps, 1):
            _check_step(flow, step, f"{where}, step {index}")
    if flow.bot is not None:
        _check_delay(flow.bot.delay, "bot.delay")
        for name in ("lost", "never_greets"):
            if not 0 <= getattr(flow.bot, name) <= 1:
                raise SettingsError(f"bot.{name}: wants a share from 0 to 1")
        if not 1 <= flow.bot.slowdown < math.inf or (flow.bot.conversations or 0) < 0 or not flow.bot.name:
            raise SettingsError("bot: slowdown wants 1 or more, conversations 0 or more, and the name a letter or more")
    if flow.queue is not None:
        _check_queue(flow.queue)
    return flow


def _check_queue(queue: Queue) -> None:
    if isinstance(queue.agents, int) and not 0 <= queue.agents <= _MOST_AGENTS:
        raise SettingsError(f"queue.agents: wants 0 to {_MOST_AGENTS:,}, or a list of names")
    names = queue.names
    if len(set(names)) != len(names) or "" in names or queue.chats_per_agent < 1:
        raise SettingsError("queue: agents have different names, none empty, and chats_per_agent is 1 or more")
    _check_delay(queue.answer_after, "queue.answer_after")
    _check_delay(queue.handling_time, "queue.handling_time")
    if queue.hours is not None:
        working_hours(queue.hours)


def _check_rule(flow: Flow, rule: Rule, where: str) -> None:
    if (rule.on == "time") != (rule.after is not None):
        raise SettingsError(f"{where}: on = \"time\" needs 'after', and only it; use a wait step elsewhere")
    if rule.matches and rule.on != "message":
        raise SettingsError(f"{where}: only a rule on message has 'matches'")
    if rule.on == "bot_busy" and flow.bot is None:
        raise SettingsError(f"{where}: there is no [bot]")
    if rule.on == "closed" and (flow.queue is None or flow.queue.hours is None):
        raise SettingsError(f"{where}: there is no [queue] with hours")
    _check_delay(rule.after, f"{where}, after")
    try:
        re.compile(rule.matches)
    except (re.error, OverflowError) as error:
        raise SettingsError(f"{where}: matches is not a regular expression: {error}") from None
    if not rule.steps:
        raise SettingsError(f"{where}: has no steps")


def _check_step(flow: Flow, step: Step, where: str) -> None:
    members = ("wait", "typing", "say", "markdown", "interactive", "join", "leave", "transfer")
    given = [name for name in members if getattr(step, name) is not None]
    given += [name for name in ("queue", "end") if getattr(step, name)]
    if len(given) != 1:
        raise SettingsError(f"{where}: wants exactly one of {', '.join((*members, 'queue', 'end'))}")
    for name in ("join", "leave", "transfer"):
        if getattr(step, name) == "":
            raise SettingsError(f"{where}: {name} wants the name of an agent")
    _check_delay(step.wait, f"{where}, wait")
    _check_delay(step.typing, f"{where}, typing")
    if step.queue and flow.queue is None:
        raise SettingsError(f"{where}: there is no [queue]")
    if step.message is not None and not 0 < len(step.message[1].encode()) <= MESSAGE_BYTES:
        raise SettingsError(f"{where}: a message has 1 to {MESSAGE_BYTES} bytes")


def working_hours(text: str) -> tuple[float, float]:
    """Seconds after midnight at which the hours of `text` begin and end. Raises SettingsError."""
    found = _HOURS.fullmatch(text)
    if found is not None:
        numbers = [60.0 * int(number) for number in found.groups()]
        opening, closing = 60 * numbers[0] + numbers[1], 60 * numbers[2] + numbers[3]
        if opening != closing and closing <= _DAY:
            return opening, closing
    raise SettingsError("queue.hours: wants hours of the day in UTC, as 08:00-18:00, or over midnight 22:00-06:00")


def _check_delay(delay: Delay | None, where: str) -> None:
    if delay is not None:
        try:
            draw(delay, random.Random(0))
        except SettingsError as error:
            raise SettingsError(f"{where}: {error}") from None


def draw(delay: Delay, rng: random.Random) -> float:
    """Seconds of `delay`, drawn if it is random. Always takes one number from `rng`. Raises SettingsError."""
    position = rng.random()
    if not isinstance(delay, Spread):
        return _seconds(delay)
    given = tuple(name for name in ("median", "mean", "low", "high") if getattr(delay, name) is not None)
    if given not in (("median",), ("mean",), ("low", "high")) or not 0 <= delay.sigma <= 5:
        raise SettingsError("wants median (and sigma from 0 to 5), or mean, or low and high")
    if delay.median is not None:
        normal = random.Random(position).gauss()
        return _seconds(delay.median) * math.exp(delay.sigma * normal)
    if delay.mean is not None:
        return -_seconds(delay.mean) * math.log(1 - position)
    low, high = _seconds(delay.low or 0.0), _seconds(delay.high or 0.0)
    if low > high:
        raise SettingsError("low is above high")
    return low + (high - low) * position


def _seconds(value: str | float) -> float:
    if isinstance(value, str):
        return finite_duration(value)
    if not 0 <= value < math.inf:
        raise SettingsError("wants a duration of 0 or more")
    return float(value)
