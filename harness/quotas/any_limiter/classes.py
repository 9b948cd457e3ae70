"""The class of a limiter: what kind it is, said only as far as it was shown."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.quotas.any_limiter.blocking import blocking
from harness.quotas.any_limiter.burst import Volley
from harness.quotas.any_limiter.estimates import NO_EXACT_LIMITER, BurstFromRest, Contrary, LimiterClass, Sustained
from harness.quotas.any_limiter.safe import Batch
from harness.quotas.estimates import TpsEstimate

_CONTRARY_OF_EXACT = 0.004
_CONTRARY_OF_PROVED = 0.003
"""What the share of contrary decisions is at the most, with 97.5 %, where an exact limiter is proved."""
DECISIONS_OF_PROOF = math.ceil(math.log(0.025) / math.log1p(-_CONTRARY_OF_PROVED))
"""So many decisions, none of them contrary, show that: some 1,230."""
_FEW_CONTRARY = 2
"""So few contrary decisions do not speak against a limiter that explains the whole record, however short it is."""
_TELLS_PARTS = 20.0
"""How much better a record must fit one bucket than replays of its parts, in sd of those: true buckets of up to 80/s mostly
had 35 and more, none less than 20, parts that were taken for one bucket 5 and 15."""
_HOLDS_ONE = 2.0
"""Tokens of a bucket below which it holds one call."""
_NEARLY = 0.08
_DIFFER = 0.02
"""Rates under two pressures that differ by less are called the same."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the class is decided on."""

    tps: TpsEstimate | None
    sustained: Sustained
    mild: Sustained | None
    check: Sustained | None
    volleys: tuple[Volley, ...]
    burst: BurstFromRest | None
    batches: tuple[Batch, ...]
    contrary: Contrary | None


def class_of(evidence: Evidence) -> tuple[LimiterClass, tuple[str, ...]]:
    """Return the class, and in sentences what speaks against an exact limiter."""
    against = _against_exact(evidence)
    exact = explained(evidence.tps)
    if exact == "window":
        return ("window" if not _moved(evidence) else "not_stationary"), tuple(against)
    if exact == "token_bucket" and not against:
        return ("exact" if _proved(evidence) else "exact_within_jitter"), ()
    if evidence.sustained.blocks or (evidence.mild is not None and evidence.mild.blocks):
        return "blocks", tuple(against)
    if _moved(evidence):
        return "not_stationary", tuple(against)
    contrary = evidence.contrary
    if differ(evidence.sustained, evidence.mild) and not _contrary_explains(evidence):
        return "depends_on_pressure", tuple(against)
    if contrary is None:
        return "approximate", tuple(against)
    if contrary.share < _CONTRARY_OF_EXACT and exact is None and not against:
        return "exact_within_jitter" if _bucket_within_jitter(evidence) else "nearly_bucket", ()
    if contrary.one_way and contrary.share > 2 * _CONTRARY_OF_EXACT:
        return "shared", tuple(against)
    return ("nearly_bucket" if contrary.share < _NEARLY else "approximate"), tuple(against)


def explained(tps: TpsEstimate | None) -> str | None:
    """Which exact limiter explains the record: "token_bucket", "window", or None."""
    if tps is None or tps.verdict != "explained" or tps.rate.estimate is None:
        return None
    return "token_bucket" if tps.limiter == "token_bucket" else "window"


def differ(one: Sustained | None, other: Sustained | None) -> bool:
    """Return whether two sustained rates cannot be the same: their intervals do not meet, and they are over 2 % apart."""
    if one is None or other is None:
        return False
    apart = abs(one.estimate / other.estimate - 1) > _DIFFER
    return apart and (one.low > other.high or other.low > one.high)


def _contrary_explains(evidence: Evidence) -> bool:
    """Return True if contrary decisions make about the difference: refusals under more pressure turn into starts."""
    strong, mild, contrary = evidence.sustained, evidence.mild, evidence.contrary
    if mild is None or contrary is None or contrary.share > _NEARLY:
        return False
    apart = abs(strong.estimate / mild.estimate - 1)
    return apart < 1.5 * contrary.high * abs(strong.pressure - mild.pressure) + _DIFFER


def _moved(evidence: Evidence) -> bool:
    told = any(s.moved for s in (evidence.sustained, evidence.mild) if s is not None)
    return told or check_differs(evidence.sustained, evidence.check, evidence.tps)


def check_differs(first: Sustained, check: Sustained | None, tps: TpsEstimate | None) -> bool:
    """Return whether the last pressure disagrees with the first, and was long enough to tell: five windows or turns,
    if any.
    """
    if check is None or check.blocks or first.blocks:
        return False
    window = tps.evidence.get("window_seconds", 0.0) if tps is not None else 0.0
    long_enough = check.seconds > 5 * float(window or 0.0) and check.admitted >= 15
    return long_enough and differ(first, check) and abs(check.estimate / first.estimate - 1) > 0.04


def _against_exact(evidence: Evidence) -> list[str]:
    """In sentences, what one exact limiter would not have done."""
    told: list[str] = []
    tps, contrary = evidence.tps, evidence.contrary
    if not _holds_one(tps):
        told += _against_rates(evidence)
    if evidence.check is not None and check_differs(evidence.sustained, evidence.check, tps):
        told.append(
            f"At the end it sustained {evidence.check.estimate:.4g} a second, at first {evidence.sustained.estimate:.4g}."
        )
    if contrary is not None and contrary.share >= _CONTRARY_OF_EXACT and not _by_chance(contrary, tps):
        told.append(
            f"{100 * contrary.share:.2g} % of the decisions go against the nearest token bucket "
            f"({contrary.refused} refused though a token was due, {contrary.admitted} admitted though none was)."
        )
    if explained(tps) == "token_bucket" and tps is not None:
        told += _volleys_and_batches(evidence, tps)
    elif tps is not None and tps.verdict == "not_explained":
        told.append(NO_EXACT_LIMITER)
    return told


def _holds_one(tps: TpsEstimate | None) -> bool:
    """Return whether an exact bucket holds one call: it admits less than its rate of even calls, as much as they fall behind
    its tokens.
    """
    return (
        tps is not None
        and explained(tps) == "token_bucket"
        and tps.burst.high is not None
        and tps.burst.high < _HOLDS_ONE
    )


def _by_chance(contrary: Contrary, tps: TpsEstimate | None) -> bool:
    """Return whether a record that an exact limiter explains holds so few contrary decisions that late answers make them."""
    return explained(tps) is not None and contrary.refused + contrary.admitted <= _FEW_CONTRARY


def _against_rates(evidence: Evidence) -> list[str]:
    told: list[str] = []
    strong, mild = evidence.sustained, evidence.mild
    for name, found in (("under pressure", strong), ("under mild pressure", mild)):
        if found is not None:
            told += _against_rate(name, found, evidence.tps)
    if mild is not None and differ(strong, mild):
        told.append(f"It sustains {_at_its_load(strong)}, and {_at_its_load(mild)}.")
    return told


def _at_its_load(found: Sustained) -> str:
    rate = f"{found.estimate:.4g} a second" if found.admitted else "next to nothing"
    return f"{rate} where {found.pressure * found.estimate:.3g} are offered"


def _against_rate(name: str, found: Sustained, tps: TpsEstimate | None) -> list[str]:
    told: list[str] = []
    if found.blocks:
        told.append(f"It admits and refuses in long turns ({name}).")
    if found.moved:
        told.append(f"The rate {name} moved while it was measured.")
    if tps is None or tps.rate.low is None or tps.rate.high is None or not explained(tps):
        return told
    slack = 0.002 * found.estimate
    if tps.rate.high < found.low - slack or tps.rate.low > found.high + slack:
        told.append(
            f"The rate {name} is {found.estimate:.4g} a second, and the exact limiter's {tps.rate.estimate:.4g}."
        )
    return told


def _volleys_and_batches(evidence: Evidence, tps: TpsEstimate) -> list[str]:
    told: list[str] = []
    low, high = tps.burst.low or 0.0, tps.burst.high
    if high is not None and evidence.burst is not None and evidence.burst.enough:
        off = [count for count in evidence.burst.counts if not low - 1.5 <= count <= high + 1.5]
        if off:
            told.append(f"Volleys from rest admitted {min(off):.3g} to {max(off):.3g}, the exact burst being {low:g}.")
    rate, burst = tps.rate.estimate or 1.0, tps.burst.estimate or low
    expected = variance = 0.0
    seen = 0
    for batch in evidence.batches:
        load = batch.rate / rate
        mean = batch.calls * float(blocking(load, max(1.0, burst))[0])
        grouped = 1.15 if load >= 1 else min(1.1 + 0.6 / max(abs(load - 1), 1e-3), max(1.15, 0.68 * burst))
        expected, variance, seen = expected + mean, variance + grouped * mean, seen + batch.refused
    if evidence.batches and evidence.batches[0].rate < rate:  # the first one finds the bucket empty
        load = min(evidence.batches[0].rate / rate, 0.9)
        more = load / (2 * (1 - load))
        expected, variance = expected + more, variance + more * (1 + more)
    if evidence.batches and abs(seen - expected) > 4 * np.sqrt(variance + 1.0):
        told.append(f"{seen} Poisson arrivals were refused where the exact limiter refuses {expected:.0f}.")
    return told


def to_be_proved(evidence: Evidence) -> bool:
    """Return whether all speaks for one token bucket, so sharply that more decisions are all it takes to prove it."""
    return explained(evidence.tps) == "token_bucket" and not _against_exact(evidence) and _sharp(evidence)


def _proved(evidence: Evidence) -> bool:
    """Return whether everything that proves an exact limiter was measured, and sharply enough to speak against another."""
    poisson = sum(batch.calls for batch in evidence.batches) >= 150
    told = evidence.contrary is not None and evidence.contrary.high < _CONTRARY_OF_PROVED
    return poisson and told and _sharp(evidence)


def _sharp(evidence: Evidence) -> bool:
    tps = evidence.tps
    assert tps is not None
    sharp = evidence.sustained.half_width < 0.05 and evidence.mild is not None and evidence.mild.half_width < 0.08
    volleys = evidence.burst is not None and evidence.burst.volleys >= 3 and tps.burst.high is not None
    return sharp and volleys and _told_from_parts(tps)


def _told_from_parts(tps: TpsEstimate) -> bool:
    """Return whether the record fits one bucket far better than parts of it that take calls in turn would have."""
    return float(tps.evidence.get("parts_in_turn_z", 0.0)) > _TELLS_PARTS


def _bucket_within_jitter(evidence: Evidence) -> bool:
    return evidence.contrary is not None and evidence.contrary.share < _CONTRARY_OF_EXACT
