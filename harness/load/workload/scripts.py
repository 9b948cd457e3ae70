"""What the customer of a chat says and does, turn by turn; drawn for each chat from the run's seed."""

import random
import re
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, NamedTuple

from harness.durations import Hold

WaitFor = Literal["", "greeting", "reply"]
Leaving = Literal["disconnect", "vanish", "stop"]


class Words(NamedTuple):
    """Something that a customer may say."""

    content_type: str
    text: str


@dataclass(frozen=True)
class Turn:
    """One turn of a customer. Its parts happen in the order in which they stand here.

    `reconnect`: the websocket is closed and opened anew. `wait_for` the other side's greeting or reply, or for a message of
    it that `matches`, for `within` seconds (None: the run's patience); when nothing came, go on, or leave with
    `else_leave`. `abandon` is the share of customers who leave the chat here. `typing` is announced, the customer `think`s,
    and says one of `words`, or with `small_talk` something in the next content type that the chat declares.
    """

    reconnect: bool = False
    wait_for: WaitFor = ""
    matches: re.Pattern[str] | None = None
    within: float | None = None
    else_leave: bool = False
    abandon: float = 0.0
    typing: bool = False
    think: Hold | None = None
    words: tuple[Words, ...] = ()
    small_talk: bool = False


@dataclass(frozen=True)
class Script:
    """A whole conversation. `kinds` of chat that it is for (none: all); `firm`: its waits are meant as they stand.

    After the turns the `transcript` is read, the customer stays for `stay` (None: `--hold`), and leaves: with
    DisconnectParticipant, by closing the websocket without a word (`vanish`: the chat stays open for `--hold`), or the chat
    is ended with StopContact (`stop`). The customer has the chat open in `tabs` websockets and talks in the first.
    """

    name: str
    turns: tuple[Turn, ...]
    weight: float = 1.0
    kinds: tuple[str, ...] = ()
    transcript: bool = False
    stay: Hold | None = None
    leave: Leaving = "disconnect"
    tabs: int = 1
    firm: bool = True


class Scripts:
    """The scripts of a workload, drawn by their weights among those for a chat's kind; `otherwise` where there is none."""

    def __init__(self, scripts: Sequence[Script], kinds: Sequence[str], otherwise: Script) -> None:
        self._otherwise = otherwise
        self._by_kind: Mapping[str, tuple[list[Script], list[float]]] = {
            kind: (some, list(accumulate(script.weight for script in some)))
            for kind in kinds
            if (some := [script for script in scripts if not script.kinds or kind in script.kinds])
        }

    def draw(self, kind: str, rng: random.Random) -> Script:
        """Return the script of the next chat of `kind`. Takes one number from `rng`, whatever there is to choose."""
        position = rng.random()
        if kind not in self._by_kind:
            return self._otherwise
        some, weights = self._by_kind[kind]
        return some[min(bisect(weights, position * weights[-1]), len(some) - 1)]
