"""Draws chats: the weighted kinds of a workload become StartChatContact requests, all from one seed.

What can be rendered once is rendered at the start (JSON fragments in botocore's own form), so that drawing a chat is a few
random numbers and a join. Two draws from the same seed and worker index are equal but for what must be unique on the
wire: the ClientToken and the run's own attribute.
"""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from harness.connect import contract
from harness.load.workload.drawing import Draw, chances, draws, weighted_draws
from harness.load.workload.scripts import Script

_POOL = 64  # attribute sets rendered for a kind: varied enough to defeat any cache, small enough to be ready at once
_SYLLABLES = (
    "ka",
    "lo",
    "mi",
    "ne",
    "ru",
    "sa",
    "ti",
    "vo",
    "an",
    "er",
    "in",
    "ot",
    "us",
    "del",
    "mar",
    "sol",
    "ven",
    "quo",
)
_SCRIPTS = ("abcdefgh", "äöüßéèñç", "ЖДИЛПФЦЯ", "αβγδεζηθ", "日本語漢字", "ไทยกขค", "שלוםאבג", "🙂🚀👩🏽‍💻")


@dataclass(frozen=True)
class Attributes:
    """How a kind's attributes are drawn: a number of them, sizes of their values in UTF-8 bytes, and fixed ones.

    With `total_bytes` set, values are stretched until keys and values, the run's own attribute included, make exactly
    that many bytes.
    """

    count: tuple[int, int] = (0, 0)
    value_bytes: tuple[int, int] = (5, 40)
    unicode: bool = False
    fixed: Mapping[str, str] = field(default_factory=dict)
    total_bytes: int | None = None


@dataclass(frozen=True)
class Message:
    """A kind's initial messages: content type, the texts to choose from, and the share of chats that have one."""

    content_type: str
    texts: tuple[str, ...]
    share: float = 1.0


@dataclass(frozen=True)
class Kind:
    """One kind of chat. `durations` are ChatDurationInMinutes to choose from (empty: the service's 25 hours);
    `content_types` are SupportedMessagingContentTypes (None: the member is left out); `members` are further request
    members in the API's own names. `invalid` kinds may break the API's limits, to test its refusals.
    """

    name: str
    weight: float = 1.0
    display_names: tuple[str, ...] = ("Load Test",)
    content_types: tuple[str, ...] | None = None
    attributes: Attributes = field(default_factory=Attributes)
    message: Message | None = None
    durations: tuple[int, ...] = ()
    members: Mapping[str, Any] = field(default_factory=dict)
    invalid: bool = False


@dataclass(frozen=True)
class Workload:
    """Weighted kinds of chat, where they came from, the seed of every draw, the conversations of the customers, the TOML
    text (workers get that), and how chats are drawn: by weight, or balanced (every kind as often as the others, whatever its
    weight; and within a kind every duration, message and set of attributes).
    """

    kinds: tuple[Kind, ...]
    source: str = "built-in"
    seed: int = 1
    conversations: tuple[Script, ...] = ()
    text: str = field(default="", repr=False)
    draw: Draw = "weighted"


class Chat(NamedTuple):
    """One drawn chat: the serialised request and what the sample says of it."""

    body: bytes
    kind: str
    client_token: str
    content_types: str | None
    attribute_bytes: int
    attribute_count: int
    message_bytes: int
    duration_minutes: int
    invalid: bool


class _Fragment(NamedTuple):
    """A rendered part of a request and the number that the sample records of it."""

    json: bytes
    size: int = 0
    number: int = 0


class Drawer:
    """Draws chats of a workload for one process of a run.

    `run_id` becomes the run's attribute and, with the worker's index, the prefix of each ClientToken, which is thereby
    unique without asking the system for randomness.
    """

    def __init__(self, workload: Workload, instance_id: str, contact_flow_id: str, run_id: str, worker_index: int = 0):
        self._rng = random.Random(f"{workload.seed}/{worker_index}")
        self._prefix = f"{run_id}.{worker_index}."
        self._number = 0
        target = b'{"InstanceId": %b, "ContactFlowId": %b, ' % (_json(instance_id), _json(contact_flow_id))
        kinds = [_RenderedKind(kind, run_id, target, self._rng, workload.draw) for kind in workload.kinds]
        self._kind = weighted_draws(self._rng, kinds, [kind.weight for kind in workload.kinds], workload.draw)

    def draw(self) -> Chat:
        """Return the next chat."""
        self._number += 1
        return self._kind().draw(f"{self._prefix}{self._number}")


class _RenderedKind:
    def __init__(self, kind: Kind, run_id: str, target: bytes, rng: random.Random, how: Draw) -> None:
        self.kind = kind
        self._target = target
        names = [b'"ParticipantDetails": {"DisplayName": %b}, ' % _json(name) for name in kind.display_names]
        sets = 1 if kind.attributes.count == (0, 0) and kind.attributes.total_bytes is None else _POOL
        attributes = [_render_attributes(kind.attributes, run_id, rng) for _ in range(sets)]
        durations = [_Fragment(b'"ChatDurationInMinutes": %d, ' % minutes, minutes) for minutes in kind.durations]
        self._name = draws(rng, names, how)
        self._attributes = draws(rng, attributes, how)
        self._has_message = chances(rng, kind.message.share if kind.message else 0.0, how)
        self._message = draws(rng, _render_messages(kind.message) or [_NOTHING], how)
        self._duration = draws(rng, durations or [_NOTHING], how)
        rest = dict(kind.members)
        if kind.content_types is not None:
            rest["SupportedMessagingContentTypes"] = list(kind.content_types)
        self._content_types = ",".join(kind.content_types) if kind.content_types is not None else None
        self._rest = b"".join(b"%b: %b, " % (_json(name), _json(value)) for name, value in rest.items())

    def draw(self, token: str) -> Chat:
        attributes = self._attributes()
        message = self._message() if self._has_message() else _NOTHING
        duration = self._duration()
        body = b"".join(
            (
                self._target,
                attributes.json,
                self._name(),
                message.json,
                duration.json,
                self._rest,
                b'"ClientToken": "%b"}' % token.encode("ascii"),
            )
        )
        return Chat(
            body,
            self.kind.name,
            token,
            self._content_types,
            attributes.size,
            attributes.number,
            message.size,
            duration.size,
            self.kind.invalid,
        )


_NOTHING = _Fragment(b"")


def _render_messages(message: Message | None) -> list[_Fragment]:
    if message is None:
        return []
    head = b'"InitialMessage": {"ContentType": %b, "Content": ' % _json(message.content_type)
    return [_Fragment(b"%b%b}, " % (head, _json(text)), len(text.encode())) for text in message.texts]


def _render_attributes(recipe: Attributes, run_id: str, rng: random.Random) -> _Fragment:
    drawn = {contract.RUN_ATTRIBUTE: run_id, **recipe.fixed}
    for number in range(rng.randint(*recipe.count)):
        drawn[f"{_word(rng)}_{number}"] = _text(rng, rng.randint(*recipe.value_bytes), recipe.unicode)
    if recipe.total_bytes is not None:
        _stretch(drawn, recipe, rng)
    size = contract.attribute_bytes(drawn.items())
    return _Fragment(b'"Attributes": %b, ' % _json(drawn), size, len(drawn))


def _stretch(drawn: dict[str, str], recipe: Attributes, rng: random.Random) -> None:
    """Add one attribute that brings the total to exactly `recipe.total_bytes`."""
    key = "filler"
    missing = (recipe.total_bytes or 0) - contract.attribute_bytes(drawn.items()) - len(key)
    if missing < 0:
        raise ValueError(f"attributes.total_bytes {recipe.total_bytes}: the other attributes alone need more")
    drawn[key] = _text(rng, missing, recipe.unicode)


_DRAWN_BYTES = 256


def _text(rng: random.Random, size: int, unicode: bool) -> str:
    """Words of exactly `size` UTF-8 bytes, in one script or in many. A long text repeats its beginning: the 32 KiB of a full
    chat, drawn word by word, kept the first call of each run waiting for a second.
    """
    words: list[str] = []
    used = 0
    while used < min(size, _DRAWN_BYTES):
        word = "".join(rng.choices(rng.choice(_SCRIPTS), k=4)) if unicode else _word(rng)
        words.append(word)
        used += len(word.encode()) + 1
    drawn = " ".join(words).encode() + b" "
    encoded = (drawn * (size // len(drawn) + 1))[:size]
    text = encoded.decode("utf-8", "ignore")
    return text + "." * (size - len(text.encode()))


def _word(rng: random.Random) -> str:
    return "".join(rng.choices(_SYLLABLES, k=3))


def _json(value: Any) -> bytes:
    # The form that botocore sends, to the byte, so that equality with the SDK can be tested on whole requests.
    return json.dumps(value).encode("ascii")
