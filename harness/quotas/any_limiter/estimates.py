"""The answers about any limiter: numbers with intervals, and the class that says what kind of limiter it is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from harness.counting import counted
from harness.quotas.attempts import Floats

LimiterClass = Literal[
    "exact",
    "exact_within_jitter",
    "window",
    "nearly_bucket",
    "shared",
    "depends_on_pressure",
    "approximate",
    "blocks",
    "not_stationary",
    "not_met",
]


NO_EXACT_LIMITER = "No single exact limiter explains the record."
"""A finding."""
_CLASS_IN_WORDS: dict[LimiterClass, str] = {
    "exact": "a token bucket, exactly",
    "exact_within_jitter": "a token bucket, as far as the jitter of the network lets it be seen",
    "window": "a window",
    "nearly_bucket": "nearly a token bucket",
    "shared": "a token bucket that others use too",
    "depends_on_pressure": "what it sustains depends on the pressure",
    "approximate": "no limiter that has a name",
    "blocks": "it admits and refuses in long turns",
    "not_stationary": "it moved while it was measured",
    "not_met": "no throttle was met",
}


@dataclass(frozen=True, slots=True)
class Sustained:
    """Calls a second that were admitted while more were offered, with a 95 % interval.

    `pressure` is the offered rate over the admitted one. `blocks` says that long silences were seen between admissions,
    `moved` that the rate changed on the way; both widen the interval. `batch_end` (m,) seconds on the attempts' clock and
    `batch_rate` (m,) calls a second are the batches behind the estimate, for a figure.
    """

    estimate: float
    low: float
    high: float
    pressure: float
    seconds: float
    admitted: int
    begin: float
    end: float
    blocks: bool = False
    moved: bool = False
    batch_end: tuple[float, ...] = ()
    batch_rate: tuple[float, ...] = ()

    @property
    def half_width(self) -> float:
        """Half of the interval, as a share of the estimate."""
        return (self.high - self.low) / (2 * self.estimate) if self.estimate else float("inf")

    def widened(self, below: float, above: float) -> Sustained:
        """Return the same with an interval that holds these shares `below` and `above` the estimate."""
        low, high = max(0.0, 1 - below) * self.estimate, (1 + above) * self.estimate
        return replace(self, low=min(self.low, low), high=max(self.high, high))

    def to_json(self) -> dict[str, float | int]:
        return {
            "estimate": plain(self.estimate),
            "low": plain(self.low),
            "high": plain(self.high),
            "pressure": plain(self.pressure),
            "seconds": round(self.seconds, 3),
            "admitted": self.admitted,
        }


@dataclass(frozen=True, slots=True)
class BurstFromRest:
    """Calls admitted at once after a rest of `rest_s` seconds, without what was refilled meanwhile.

    `median`, `low` and `high` are those of single volleys; `mean_low` and `mean_high` a 95 % interval of their mean.
    `counts` holds each volley at that rest. `enough` is False where a longer rest might have admitted more.
    """

    median: float
    low: float
    high: float
    mean_low: float
    mean_high: float
    volleys: int
    rest_s: float
    counts: tuple[float, ...] = ()
    enough: bool = True

    def to_json(self) -> dict[str, float | int]:
        return {
            "median": plain(self.median),
            "low": plain(self.low),
            "high": plain(self.high),
            "mean_low": plain(self.mean_low),
            "mean_high": plain(self.mean_high),
            "volleys": self.volleys,
            "rest_s": round(self.rest_s, 3),
        }


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The share of calls refused at `rate` offered calls a second: the model's estimate with a 95 % interval."""

    rate: float
    refused: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        return {name: plain(getattr(self, name)) for name in ("rate", "refused", "low", "high")}


@dataclass(frozen=True, slots=True)
class SafeRate:
    """The highest rate at which at most `refused_share` is refused: `low` is a 95 % lower bound, the number to plan with."""

    refused_share: float
    estimate: float
    low: float
    calls: int
    seconds: float

    def to_json(self) -> dict[str, float | int]:
        return {
            "refused_share": self.refused_share,
            "estimate": plain(self.estimate),
            "low": plain(self.low),
            "calls": self.calls,
            "seconds": round(self.seconds, 1),
        }


@dataclass(frozen=True, slots=True)
class Safe:
    """The safe rates that were measured, and the share refused at lower rates.

    `refused_at` goes by the share of the sustained rate (0.5, 0.7, 0.85); `curve` has more points, for figures and plans;
    `batches` holds (offered calls a second, calls, refused) of each batch.
    """

    poisson: SafeRate | None
    even: SafeRate | None = None
    refused_at: dict[float, CurvePoint] = field(default_factory=dict)
    curve: tuple[CurvePoint, ...] = ()
    batches: tuple[tuple[float, int, int], ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "poisson": self.poisson.to_json() if self.poisson else None,
            "even": self.even.to_json() if self.even else None,
            "refused_at": {f"{share:g}": point.to_json() for share, point in self.refused_at.items()},
            "curve": [point.to_json() for point in self.curve],
            "batches": [list(batch) for batch in self.batches],
        }


MOST_SINGLE = 0.12
"""Share of contrary decisions above which they are no single ones, but a limiter of another kind."""
_AS_MANY = 0.4
"""How many times the share of contrary refusals that of contrary admissions is from which decisions err either way."""


@dataclass(frozen=True, slots=True)
class Contrary:
    """Decisions that differ from those of the token bucket that comes nearest, where jitter does not explain it.

    `share` with a 95 % interval; `refused` of them were refused although a token was due, as one was at `due` decisions;
    `admitted` the other way round.
    `at` (n,) are their moments, `was_admitted` (n,) which way each went. `rate` and `burst` are that bucket's.
    """

    share: float
    low: float
    high: float
    refused: int
    admitted: int
    decisions: int
    due: int
    rate: float
    burst: float
    at: Floats
    was_admitted: Floats

    @property
    def one_way(self) -> bool:
        """True if tokens are missing again and again, and hardly ever there too early: somebody else takes them."""
        of_due = self.refused / max(1, self.due)
        expected = of_due * (self.decisions - self.due)  # if contrary decisions went either way alike
        return self.refused >= 10 and expected >= 8 and self.admitted < 0.25 * expected

    @property
    def either_way(self) -> bool:
        """True if few decisions are contrary, and about as many of those that had no token to give as of those that had."""
        of_due, of_none = self.refused / max(1, self.due), self.admitted / max(1, self.decisions - self.due)
        return 0 < self.share <= MOST_SINGLE and of_none > _AS_MANY * of_due

    def to_json(self) -> dict[str, float | int]:
        return {
            "share": plain(self.share),
            "low": plain(self.low),
            "high": plain(self.high),
            "refused_though_due": self.refused,
            "admitted_though_empty": self.admitted,
            "decisions": self.decisions,
        }


@dataclass(frozen=True, slots=True)
class Penalty:
    """A token bucket of `rate` and `burst` in which a refused call costs `tokens` too; all but `share` follow from it."""

    tokens: float
    rate: float
    burst: float
    share: float

    def sentence(self) -> str:
        """Say what it means for whoever retries."""
        return (
            f"A refused call costs about {self.tokens:.2g} of a token: a bucket of {self.rate:.3g} a second and burst "
            f"{self.burst:.3g} then explains all but {100 * self.share:.2g} % of the decisions. Retries make it worse."
        )


@dataclass(frozen=True, slots=True)
class AnyLimiterEstimate:
    """What holds whatever the limiter is: what `measure_capacity` found. `kind` is the class."""

    kind: LimiterClass
    sustained: Sustained | None = None
    sustained_mild: Sustained | None = None
    burst_from_rest: BurstFromRest | None = None
    safe: Safe | None = None
    contrary: Contrary | None = None
    findings: tuple[str, ...] = ()
    """What speaks against an exact limiter, in sentences; empty where nothing does."""

    @property
    def exact_numbers_hold(self) -> bool:
        """True where the rate and burst of the exact inference may be used; else use the numbers here."""
        return self.kind in ("exact", "exact_within_jitter")

    def sentence(self) -> str:
        """Return what was found, in one sentence; which kind of limiter it is comes last."""
        told = []
        if self.sustained is not None:
            rate = self.sustained
            told.append(
                f"sustains {counted(f'{rate.estimate:.3g}', 'start')} a second under pressure "
                f"({rate.low:.3g} to {rate.high:.3g})"
            )
        if self.burst_from_rest is not None:
            burst = self.burst_from_rest
            span = f"{burst.low:.3g}" if burst.low == burst.high else f"{burst.low:.3g} to {burst.high:.3g}"
            told.append(f"admits {span} at once from rest")
        if self.safe is not None and self.safe.poisson is not None and self.safe.poisson.low > 0:
            safe = self.safe.poisson
            told.append(f"refuses at most {100 * safe.refused_share:g} % of {safe.low:.3g} a second at random moments")
        if not told:
            return (
                "No throttle was met." if self.kind == "not_met" else "It was not under pressure long enough to count."
            )
        return f"It {', '.join(told)}: {_CLASS_IN_WORDS[self.kind]}."

    def to_json(self) -> dict[str, Any]:
        """Return what capacity.json's `tps` has beside the exact limiter."""
        return {
            "class": self.kind,
            "sustained": self.sustained.to_json() if self.sustained else None,
            "sustained_mild": self.sustained_mild.to_json() if self.sustained_mild else None,
            "burst_from_rest": self.burst_from_rest.to_json() if self.burst_from_rest else None,
            "safe": self.safe.to_json() if self.safe else None,
            "contrary_share": self.contrary.to_json() if self.contrary else None,
            "findings": list(self.findings),
        }


def plain(value: float) -> float | int:
    """Six significant digits; whole numbers as int."""
    return int(value) if float(value).is_integer() else float(f"{value:.6g}")
