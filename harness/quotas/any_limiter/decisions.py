"""The limiter's decisions in a record: when, and which way. What else happened on the way is left out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.quotas.attempts import (
    CHAT_LIMIT,
    DENIED,
    FAULT,
    INVALID,
    NOT_FOUND,
    OUTCOMES,
    STARTED,
    THROTTLED,
    Attempts,
    Bytes,
    Floats,
)
from harness.quotas.round_trips import FEWEST, RoundTrips

Mask = npt.NDArray[np.bool_]

_BEHIND_THE_LIMITER = (STARTED, CHAT_LIMIT, INVALID, NOT_FOUND, DENIED, FAULT)
"""Outcomes that a call met after the limiter had let it pass, if everything costs a token."""

_JITTERS = 3.0


@dataclass(frozen=True, slots=True)
class Decisions:
    """The decisions of a limiter in order: `at` (n,) seconds and `admitted` (n,).

    `jitter` is one robust sd of a decision's moment, seconds; `reach` (n,) seconds by which each may have been earlier or
    later: three jitters, and what its round trip took beyond that.
    """

    at: Floats
    admitted: Mask
    jitter: float
    reach: Floats

    @classmethod
    def of(
        cls, attempts: Attempts, quota_refusal_costs_token: bool | None = None, free: Collection[str] = ()
    ) -> Decisions:
        """Return the decisions of `attempts`. A refusal by the chat quota counts as admitted unless it is known to
        cost nothing; so do errors, but for the outcomes that are `free`, of a gateway before the limiter for example.

        A decision is placed in the middle of its round trip; of an unusually long one, near the beginning. What one outcome
        takes longer than the fastest one (starting a chat, where a throttle does nothing) came after the decision.
        """
        passed = [
            code
            for code in _BEHIND_THE_LIMITER
            if (quota_refusal_costs_token is not False if code == CHAT_LIMIT else OUTCOMES[code] not in free)
        ]
        judged = np.isin(attempts.outcome, [THROTTLED, *passed])
        sent, trips = attempts.sent[judged], (attempts.received - attempts.sent)[judged]
        trips = trips - _done_after(trips, attempts.outcome[judged])
        admitted = attempts.outcome[judged] != THROTTLED
        usual = float(np.median(trips)) if len(trips) else 0.0
        at = sent + 0.5 * np.minimum(trips, 3 * usual)
        order = np.argsort(at, kind="stable")
        jitter = _jitter(trips, admitted)
        reach = _JITTERS * jitter + np.maximum(0.0, trips - usual - _JITTERS * jitter)
        return cls(at[order], admitted[order], jitter, reach[order])

    def __len__(self) -> int:
        return len(self.at)

    def between(self, begin: float, end: float) -> Decisions:
        """Return the decisions from `begin` to `end`, seconds."""
        first, last = np.searchsorted(self.at, (begin, end), side="left")
        return Decisions(self.at[first:last], self.admitted[first:last], self.jitter, self.reach[first:last])

    @property
    def admissions(self) -> Floats:
        """The moments of admissions, seconds."""
        return self.at[self.admitted]

    @property
    def refusals(self) -> Floats:
        """The moments of refusals, seconds."""
        return self.at[~self.admitted]


def _done_after(trips: Floats, outcome: Bytes) -> Floats:
    """Seconds (n,) that each attempt took after its decision, as far as its outcome tells.

    It is what the outcome usually takes longer than the fastest one; where calls with that outcome wait (see `RoundTrips`),
    all that the call took longer.
    """
    seen = RoundTrips.of(trips, outcome)
    after = np.zeros(len(trips))
    fastest = min(seen.usual.values(), default=0.0)
    for code, usual in seen.usual.items():
        chosen = outcome == code
        longer = trips[chosen] - fastest if seen.decided_on_arrival(code) else usual - fastest
        after[chosen] = np.clip(longer, 0.0, trips[chosen])
    return after


def _jitter(trips: Floats, admitted: Mask) -> float:
    """Return the spread of the less spread outcome: what varies more than that came after the decision."""
    spreads = []
    for some in (trips[admitted], trips[~admitted]):
        if len(some) >= FEWEST:
            low, high = np.quantile(some, (0.25, 0.75))
            spreads.append((high - low) / 1.349)
    return max(float(min(spreads)) if spreads else 0.003, 5e-4)
