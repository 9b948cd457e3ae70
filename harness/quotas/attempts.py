"""What the inference reads: the StartChatContact attempts of a run as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.vocabulary import START_OUTCOMES

Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.int8]

OUTCOMES = START_OUTCOMES
"""Every outcome of an attempt, by its code: `OUTCOMES[code]`."""

STARTED, THROTTLED, CHAT_LIMIT, UNCLASSIFIED, INVALID, NOT_FOUND, DENIED, FAULT, TIMEOUT, DISCONNECTED = range(10)
_CODES = {name: code for code, name in enumerate(OUTCOMES)}


@dataclass(frozen=True, slots=True)
class Attempts:
    """StartChatContact attempts, one row an attempt on the wire, in order of `sent`.

    `sent` and `received` are seconds on one clock, shape (n,); `outcome` holds codes into `OUTCOMES`, shape (n,).
    A service decides about an attempt at some moment between the two; which moment is for the inference to find.
    """

    sent: Floats
    received: Floats
    outcome: Bytes

    @classmethod
    def of(
        cls, sent: Sequence[float] | Floats, received: Sequence[float] | Floats, outcome: Sequence[str | int] | Bytes
    ) -> Attempts:
        """Build from plain sequences; outcomes are names or codes. Rows without finite times are left out.

        Raises ValueError where the lengths differ or an outcome is unknown.
        """
        if not len(sent) == len(received) == len(outcome):
            raise ValueError(
                f"columns differ in length: {len(sent)} sent, {len(received)} received, {len(outcome)} outcome"
            )
        begun, ended = np.asarray(sent, np.float64), np.asarray(received, np.float64)
        codes = _encode(outcome)
        whole = np.isfinite(begun) & np.isfinite(ended)
        order = np.argsort(begun[whole], kind="stable")
        return cls(begun[whole][order], np.maximum(ended, begun)[whole][order], codes[whole][order])

    def __len__(self) -> int:
        return len(self.sent)

    def count(self, code: int) -> int:
        """How many attempts had the outcome `code`."""
        return int(np.count_nonzero(self.outcome == code))

    def where(self, mask: npt.NDArray[np.bool_]) -> Attempts:
        """Return the attempts for which `mask`, shape (n,), is true."""
        return Attempts(self.sent[mask], self.received[mask], self.outcome[mask])


def _encode(outcome: Sequence[str | int] | Bytes) -> Bytes:
    if isinstance(outcome, np.ndarray) and outcome.dtype.kind in "iu":
        codes = outcome.astype(np.int8)
    else:
        try:
            codes = np.fromiter((_CODES[o] if isinstance(o, str) else int(o) for o in outcome), np.int8, len(outcome))
        except KeyError as unknown:
            raise ValueError(f"unknown outcome {unknown}; known are {', '.join(OUTCOMES)}") from None
    if len(codes) and not (codes.min() >= 0 and codes.max() < len(OUTCOMES)):
        raise ValueError(f"outcome codes go from 0 to {len(OUTCOMES) - 1}")
    return codes
