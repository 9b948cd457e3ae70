"""The answers of the inference: limits with intervals, a verdict, and the evidence that a report draws."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from harness.quotas.attempts import Floats

Verdict = Literal["explained", "not_explained", "lower_bound"]
Limiter = Literal["token_bucket", "fixed_window", "sliding_window", "unknown"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A number and the bounds it lies between (99 %, unless the verdict says otherwise); None where nothing is known."""

    estimate: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def exactly(cls, value: float) -> Interval:
        return cls(value, value, value)

    @property
    def exact(self) -> bool:
        """True if the bounds leave one number."""
        return self.low is not None and self.low == self.high

    def to_json(self) -> dict[str, float | int | None]:
        return {"estimate": _plain(self.estimate), "low": _plain(self.low), "high": _plain(self.high)}


@dataclass(frozen=True, slots=True)
class Region:
    """How probable each (rate, burst) is, given the record: what the figure of the feasible region draws.

    `rate` has shape (k,), calls a second; `burst` shape (m,), tokens; `probability` shape (k, m) sums to 1.
    """

    rate: Floats
    burst: Floats
    probability: Floats


@dataclass(frozen=True, slots=True)
class Trace:
    """Each decision against the fitted bucket, in order of the fitted decision time (thinned to some thousands).

    `at` (n,) seconds on the attempts' clock; `admitted` (n,); `level` (n,) tokens in the fitted bucket just before the
    call; `residual` (n,) seconds by which the fit and the decision disagree: 0 where they agree, positive where a call was
    admitted too early, negative where one was refused too late.
    """

    at: Floats
    admitted: npt.NDArray[np.bool_]
    level: Floats
    residual: Floats


@dataclass(frozen=True, slots=True)
class TpsEstimate:
    """The limit on calls a second: what `infer_tps` found."""

    rate: Interval
    burst: Interval
    limiter: Limiter
    verdict: Verdict
    evidence: dict[str, Any] = field(default_factory=dict)
    """Plain numbers and texts, for capacity.json: see docs/limits.md."""
    region: Region | None = None
    trace: Trace | None = None

    def sentence(self) -> str:
        """Return what was found, for a manager, in one sentence."""
        return str(self.evidence.get("sentence", ""))

    def to_json(self) -> dict[str, Any]:
        """Return the `tps` object of capacity.json."""
        return {
            "rate": self.rate.to_json(),
            "burst": self.burst.to_json(),
            "limiter": self.limiter,
            "verdict": self.verdict,
            "evidence": self.evidence,
        }


@dataclass(frozen=True, slots=True)
class ActiveChatsEstimate:
    """The limit on chats open at once: what `infer_active_chats` found."""

    chats: Interval
    verdict: Verdict
    evidence: dict[str, Any] = field(default_factory=dict)
    at: Floats = field(default_factory=lambda: np.empty(0))
    """Moments at which the number of our open chats changed, shape (n,), for the figure."""
    open_chats: Floats = field(default_factory=lambda: np.empty(0))
    """Our open chats from each moment of `at` on, shape (n,)."""

    def sentence(self) -> str:
        """Return what was found, for a manager, in one sentence."""
        return str(self.evidence.get("sentence", ""))

    def to_json(self) -> dict[str, Any]:
        """Return the `active_chats` object of capacity.json."""
        return {**self.chats.to_json(), "verdict": self.verdict, "evidence": self.evidence}


def _plain(value: float | None) -> float | int | None:
    if value is None or not np.isfinite(value):
        return None
    return int(value) if float(value).is_integer() else float(f"{value:.6g}")
