"""The chat starts that the tests of variety look at: what was asked for, what became of it, and when."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reports.wording.vocabulary import START, STARTED

if TYPE_CHECKING:  # a process that tests them has no pyarrow
    from reports.run.samples import Batch

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

CATEGORIES = ("content_types", "kind")
SIZES = ("attribute_bytes", "attribute_count", "message_bytes", "duration_minutes")
_MOST_CALLS = 50_000
"""More calls would make the intervals narrower than any reader needs, and the report slower."""


@dataclass(frozen=True)
class Calls:
    """Chat starts in the order in which they were sent, each array (n,).

    `sent` in unix seconds, `started` 1.0 where a chat began, `latency_ms` from when the call was sent. `sizes` are numbers;
    `categories` are codes into `words` of the same name. `of` is how many starts the run has.
    """

    sent: Floats
    started: Floats
    latency_ms: Floats
    sizes: dict[str, Floats]
    categories: dict[str, Codes]
    words: dict[str, list[str]]
    of: int

    def __len__(self) -> int:
        return len(self.sent)

    def where(self, chosen: NDArray[np.bool_]) -> "Calls":
        """The calls for which `chosen` is true."""
        return Calls(
            self.sent[chosen],
            self.started[chosen],
            self.latency_ms[chosen],
            {name: values[chosen] for name, values in self.sizes.items()},
            {name: codes[chosen] for name, codes in self.categories.items()},
            self.words,
            self.of,
        )


class CallsSeen:
    """The chat starts among the batches of a run, gathered as they are read; of a long run an even part of them."""

    def __init__(self) -> None:
        self._words: dict[str, dict[str, int]] = {name: {} for name in CATEGORIES}
        self._parts: list[dict[str, Floats]] = []

    def add(self, batch: "Batch") -> None:
        """Take the starts of a batch that has all that is looked at."""
        if all(name in batch.counts for name in SIZES):
            self._parts.append(_starts(batch, self._words))

    def calls(self) -> Calls:
        """Return the starts in the order in which they were sent."""
        parts, numbers = self._parts, ("sent", "started", "latency_ms", *SIZES, *CATEGORIES)
        joined = {name: np.concatenate([part[name] for part in parts]) if parts else np.empty(0) for name in numbers}
        order = np.argsort(joined["sent"], kind="stable")
        if len(order) > _MOST_CALLS:
            order = order[np.sort(np.random.default_rng(1).choice(len(order), _MOST_CALLS, replace=False))]
        return Calls(
            joined["sent"][order],
            joined["started"][order],
            joined["latency_ms"][order],
            {name: joined[name][order] for name in SIZES},
            {name: joined[name][order].astype(np.int64) for name in CATEGORIES},
            {name: list(known) for name, known in self._words.items()},
            len(joined["sent"]),
        )


def _starts(batch: "Batch", words: dict[str, dict[str, int]]) -> dict[str, Floats]:
    operation = np.array([word == START for word in batch.words["operation"]])
    started = np.array([float(word == STARTED) for word in batch.words["outcome"]])
    sent, received = batch.times["sent"], batch.times["received"]
    chosen = operation[batch.codes["operation"]] & np.isfinite(sent) & np.isfinite(received)
    found: dict[str, Floats] = {
        "sent": sent[chosen],
        "started": started[batch.codes["outcome"]][chosen],
        "latency_ms": 1000 * (received - sent)[chosen],
    }
    for name in SIZES:
        found[name] = batch.counts[name][chosen].astype(np.float64)
    for name in CATEGORIES:
        known = words[name]
        codes = np.array([known.setdefault(word, len(known)) for word in batch.words[name]], np.float64)
        found[name] = codes[batch.codes[name]][chosen]
    return found
