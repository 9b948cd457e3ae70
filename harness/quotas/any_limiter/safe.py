"""The safe rate: how many calls a second may be offered so that at most 1 % is refused, and what to offer next to learn it.

A limiter of any kind is described by four numbers: the rate and the effective burst of a bucket that refuses as much, a
share that is refused whatever the load, and how much more its refusals bunch than a bucket's do. Batches of Poisson arrivals
make a posterior over them. Pure: a state goes in, the next batch comes out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from harness.quotas.any_limiter.blocking import blocked, load_refused
from harness.quotas.any_limiter.estimates import CurvePoint, LimiterClass, Safe, SafeRate
from harness.quotas.attempts import Floats
from harness.quotas.cost import ENOUGH_SAFE_CALLS, MOST_SAFE_SECONDS, SAFE_SECONDS
from harness.quotas.special import gammaln

REFUSED_SHARE = 0.01
"""What may be refused at the safe rate."""
_RATES = np.concatenate((np.geomspace(0.25, 0.8, 14)[:-1], np.linspace(0.8, 1.15, 29)))
"""Of the sustained rate."""
_BURSTS = np.geomspace(1.0, 1500.0, 44)
_FLOORS = np.array([0.0, 0.0005, 0.001, 0.002, 0.004, 0.007, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1])
_FLOOR_PRIOR = np.array([400.0, 10, 8, 8, 6, 4, 2, 1, 1, 1, 1, 1])
"""Refusals that do not depend on the load are rare, and where they are not the decisions contrary to a bucket show it."""
_BUNCHED = np.array([1.0, 2.0, 4.0, 8.0])
_BUNCHED_PRIOR = np.array([0.7, 0.17, 0.09, 0.04])
"""How many times as far apart the counts of refusals lie as a bucket's: others' calls and slow nodes come in bouts."""
_AS_CONTRARY, _AS_EITHER_WAY = 3.0, 60.0
"""How many times likelier a floor is that is about the share of contrary decisions; the second where these go either way
alike, as of a limiter that errs now and then, at any load."""
_AS_SOME_CONTRARY, _AS_SOME_EITHER_WAY = 6.0, 20.0
"""The same for a floor of 1 to 2 % where more are contrary: it decides whether any rate is safe, so it is no rare one."""
_OF_FLOOR = 1.1
"""How far apart counts of refusals lie that come at any load, each by itself: hardly farther than a Poisson count."""
_LEAST_SECONDS = 40.0
_FAR_BELOW = 0.6
"""Share of the likely safe rate that is offered to a slow limiter while it is in doubt whether 1 % is refused at any load:
hardly any other refusals come there. A fast one has calls enough, and a pause would hide for long that it is overloaded."""
_DOUBT, _NO_DOUBT = 0.5, 0.95
"""It is in doubt while its chance is over this share of what a claim may fail by, until it is that likely."""
_CLAIM_QUANTILE, _NEARLY_SURE = 0.40, 0.80
_FEW_CALLS, _MANY_CALLS = 400, 3000
_SURE_OF_FEW, _SURE_OF_MANY = 0.82, 0.95
"""How likely a claim has to hold. Of few calls most of the doubt is what the posterior begins with (small effective bursts,
bunched refusals): what it then calls 80 % sure held in 97 of 100 replays, and of many calls what it calls 95 % sure."""
_CALLS_OF_BUCKET = 300
"""So many calls are enough of a limiter that is exact within jitter: the search begins near its safe rate."""
_MOST_OF_TIME = 0.97
"""Share of the longest time after which no batch is begun any more."""
_CLOSE = 0.94
"""A claim over this share of the estimate is close enough to end the search before the time is over."""
_CAUTION_OF_CLASS: dict[LimiterClass, float] = {
    "exact": 1.0,
    "exact_within_jitter": 1.0,
    "blocks": 0.93,
    "shared": 0.9,
    "depends_on_pressure": 0.9,
    "not_stationary": 0.9,
}
_CAUTION = 0.96
"""Share of the bound that is claimed, by class: a limiter which is not a bucket is described by one only so well (few calls
leave a margin of their own), and some minutes do not show how far apart bouts of refusals lie."""
_OF_SUSTAINED = 0.95
"""No safe rate is claimed over this share of the sustained rate's lower bound."""
_LEAST = 0.2
"""No batch is offered below this share of the sustained rate."""
_SHARES = (0.5, 0.7, 0.85)
_UNLIKELY = 1e-7
"""Points of the grid that are less likely than this share of the likeliest do not change what is told of the curve."""


@dataclass(frozen=True, slots=True)
class Batch:
    """`calls` Poisson arrivals at `rate` a second, of which `refused` were refused."""

    rate: float
    calls: int
    refused: int = 0

    @property
    def seconds(self) -> float:
        """What it takes on average."""
        return self.calls / self.rate


@dataclass(frozen=True, slots=True)
class SafeSearch:
    """The state of the search: what is known of the sustained rate, the batches so far, and the claim under test."""

    sustained: float
    sustained_low: float
    sustained_high: float
    burst: float | None = None
    contrary: float | None = None
    least_seconds: float = _LEAST_SECONDS
    batches: tuple[Batch, ...] = ()
    claim: float | None = None
    log_p: Floats | None = None
    either_way: bool = False

    @property
    def rates(self) -> Floats:
        """Rates of the grid (k,)."""
        return np.asarray(self.sustained * _RATES)

    def seen(self, batch: Batch) -> SafeSearch:
        """Return the state after `batch`; a claim that its refusals make unlikely is dropped."""
        before = self.log_p if self.log_p is not None else _prior(self)
        after = replace(self, batches=(*self.batches, batch), log_p=before + _likelihood(self.rates, batch))
        if self.claim is not None and _chance(after, self.claim) < 0.6:
            return replace(after, claim=None)
        return after

    @property
    def calls(self) -> int:
        """Calls offered so far."""
        return sum(batch.calls for batch in self.batches)

    @property
    def seconds(self) -> float:
        """Seconds that the batches took."""
        return sum(batch.seconds for batch in self.batches)


def next_batch(search: SafeSearch) -> tuple[SafeSearch, Batch | None]:
    """Return what to offer next, or None when the claim holds closely or enough was spent; and the state that goes with it.

    Four batches look for the rate. Then a claim is tested that is likely to hold, and raised whenever it does.
    """
    if not search.batches:
        top = _OF_SUSTAINED * search.sustained_low
        return search, _batch(search, min(0.85 * search.sustained, max(top, 0.5 * search.sustained)))
    if _spent(search):
        return search, None
    if len(search.batches) < 4:
        return search, _batch(search, _offerable(search, 0.5))
    claim = search.claim
    if _floor_in_doubt(search):
        return search, _batch(search, max(_FAR_BELOW * _offerable(search, 0.5), _LEAST * search.sustained))
    if claim is not None and _holds(search, claim):
        if search.seconds >= search.least_seconds and _is_close(search, claim):
            return search, None
        claim = max(claim, _offerable(search, _CLAIM_QUANTILE))
    elif claim is None:
        claim = _offerable(search, _CLAIM_QUANTILE)
    return replace(search, claim=claim), _batch(search, claim)


def least_seconds(kind: LimiterClass) -> float:
    """Return how long at least the safe rate of a limiter of this class is looked for: bouts have to be seen, and turns."""
    if kind == "blocks":
        return MOST_SAFE_SECONDS
    return _LEAST_SECONDS if kind in ("exact", "exact_within_jitter") else SAFE_SECONDS


def _spent(search: SafeSearch) -> bool:
    longer = 1.0
    if _claimable(search) < 0.3 * search.sustained:  # nothing could be claimed yet
        longer = 2.5 if search.claim is not None and _chance(search, search.claim) > _NEARLY_SURE else 1.5
    few = search.least_seconds <= _LEAST_SECONDS
    wanted = _CALLS_OF_BUCKET if few else ENOUGH_SAFE_CALLS
    seconds = max(longer * SAFE_SECONDS, _MOST_OF_TIME * search.least_seconds)
    enough = search.calls >= longer * wanted and search.seconds >= seconds and not _floor_in_doubt(search)
    return enough or search.seconds >= _MOST_OF_TIME * MOST_SAFE_SECONDS


def _offerable(search: SafeSearch, share: float) -> float:
    """Return the safe rate's quantile, as far as it may be offered."""
    top = _OF_SUSTAINED * search.sustained_low
    return float(np.clip(_quantile(search, share), _LEAST * search.sustained, top))


def _floor_in_doubt(search: SafeSearch) -> bool:
    """Return whether a slow limiter may well refuse 1 % at any load."""
    if search.sustained * SAFE_SECONDS > ENOUGH_SAFE_CALLS:
        return False
    chance = float(_probability(search)[..., _FLOORS >= REFUSED_SHARE].sum())
    return _DOUBT * (1 - _sure(search)) < chance < _NO_DOUBT


def _is_close(search: SafeSearch, claim: float) -> bool:
    low = max(claim, _claimable(search))
    return low >= min(_CLOSE * _quantile(search, 0.5), 0.99 * _OF_SUSTAINED * search.sustained_low)


def _batch(search: SafeSearch, rate: float) -> Batch:
    """Return a batch at `rate` that ends within the time."""
    left = math.ceil((MOST_SAFE_SECONDS - search.seconds) * rate)
    return Batch(rate, min(max(25, min(50, round(15 * rate)), round(4 * rate)), max(left, 1)))


def safe_of(
    search: SafeSearch, even: SafeRate | None = None, kind: LimiterClass = "exact_within_jitter"
) -> Safe | None:
    """Return the answer so far, its claim as cautious as the class of the limiter asks for; None before the first batch."""
    if not search.batches:
        return Safe(None, even) if even else None
    top = _OF_SUSTAINED * search.sustained_low
    low = _claimable(search)
    if search.claim is not None and _holds(search, search.claim):
        low = max(low, search.claim)
    estimate = max(min(low, top), min(_quantile(search, 0.5), search.sustained_high))
    poisson = SafeRate(
        REFUSED_SHARE,
        estimate,
        min(_CAUTION_OF_CLASS.get(kind, _between(search.calls, 1.0, _CAUTION)) * low, top),
        search.calls,
        search.seconds,
    )
    return Safe(
        poisson,
        even,
        {share: refused_at(search, share * search.sustained) for share in _SHARES},
        tuple(refused_at(search, share * search.sustained) for share in np.linspace(0.4, 1.5, 23)),
        tuple((batch.rate, batch.calls, batch.refused) for batch in search.batches),
    )


def refused_at(search: SafeSearch, rate: float) -> CurvePoint:
    """Return the share refused of Poisson arrivals at `rate` a second, with a 95 % interval."""
    p = _probability(search)
    likely = p > _UNLIKELY * p.max()  # of many points, hundreds
    share, p = _shares(search.rates, rate)[likely], p[likely] / p[likely].sum()
    order = np.argsort(share)
    total = np.cumsum(p[order])
    low, high = share[order][np.minimum(np.searchsorted(total, (0.025, 0.975)), len(share) - 1)]
    return CurvePoint(rate, float(p @ share), float(low), float(high))


def _prior(search: SafeSearch) -> Floats:
    spread = max(0.05, (search.sustained_high - search.sustained_low) / (2 * search.sustained))
    off = np.log(search.rates / search.sustained)
    rate = -2.5 * np.log1p((off / (1.5 * spread)) ** 2 / 3)  # wide tails: with Poisson arrivals a limiter may do worse
    burst = np.zeros(len(_BURSTS))
    if search.burst is not None:  # shards have less of it each, nodes that are slow to agree more
        away = np.log(_BURSTS / max(1.0, search.burst))
        burst = np.maximum(-0.5 * np.where(away > 0, (away / 0.3) ** 2, (away / 0.8) ** 2), -4.0)
    floor = np.log(_FLOOR_PRIOR / _FLOOR_PRIOR.sum())
    if search.contrary is not None:
        floor = np.where(max(3 * search.contrary, 0.004) < _FLOORS, floor - 3.0, floor)
        alike = (max(0.6 * search.contrary, 0.005) <= _FLOORS) & (1.7 * search.contrary >= _FLOORS)
        some = (_FLOORS >= REFUSED_SHARE) & (min(2 * REFUSED_SHARE, 1.7 * search.contrary) >= _FLOORS)
        as_alike = _AS_EITHER_WAY if search.either_way else _AS_CONTRARY
        as_some = _AS_SOME_EITHER_WAY if search.either_way else _AS_SOME_CONTRARY
        floor = floor + np.log(np.where(alike, as_alike, np.where(some, as_some, 1.0)))
    bunched = np.log(_BUNCHED_PRIOR)
    return np.asarray(rate[:, None, None, None] + burst[:, None, None] + floor[:, None] + bunched)


def _shares(rates: Floats, rate: float) -> Floats:
    """Return the share refused at `rate`, for each point of the grid."""
    refused = blocked(rate / rates, _BURSTS)
    return np.asarray(_FLOORS + (1 - 2 * _FLOORS) * refused[:, :, None])


def _likelihood(rates: Floats, batch: Batch) -> Floats:
    """How likely the batch's refusals are, for each point of the grid: negative binomial, as a bucket's come in groups."""
    load = (batch.rate / rates)[:, None]
    share = np.clip(_shares(rates, batch.rate), 1e-9, 1 - 1e-9)
    grouped = np.where(load >= 1, 1.15, 1.1 + 0.6 / np.maximum(np.abs(load - 1), 1e-3))
    of_bucket = np.maximum(1.05, np.minimum(grouped, np.maximum(1.15, 0.68 * _BURSTS[None, :])))
    of_floor = np.minimum(_FLOORS / share, 1.0)[..., None]
    dispersion = of_floor * _OF_FLOOR + (1 - of_floor) * of_bucket[:, :, None, None] * _BUNCHED
    size = (batch.calls * share)[..., None] / (dispersion - 1)
    k = batch.refused
    return np.asarray(
        gammaln(k + size) - gammaln(size) - gammaln(k + 1.0) - size * np.log(dispersion) + k * np.log1p(-1 / dispersion)
    )


def _probability(search: SafeSearch) -> Floats:
    """Return the posterior of (rate, burst, floor), whatever the bunching."""
    log_p = search.log_p if search.log_p is not None else _prior(search)
    p = np.exp(log_p - log_p.max()).sum(axis=-1)
    return np.asarray(p / p.sum())


@lru_cache(maxsize=1)
def _safe_shares() -> tuple[Floats, npt.NDArray[np.intp]]:
    """Return the safe rates of (rate, burst, floor) in order, as shares of the sustained rate, and that order.

    They are 0 where the share refused at any load is 1 % or more.
    """
    loads = np.stack([load_refused((REFUSED_SHARE - floor) / (1 - 2 * floor), _BURSTS) for floor in _FLOORS], axis=1)
    shares = (_RATES[:, None, None] * loads).ravel()
    order = np.argsort(shares)
    return shares[order], order


def _quantile(search: SafeSearch, share: float) -> float:
    shares, order = _safe_shares()
    total = np.cumsum(_probability(search).ravel()[order])
    return search.sustained * float(shares[min(int(np.searchsorted(total, share)), len(total) - 1)])


def _sure(search: SafeSearch) -> float:
    """Return how likely a claim has to hold after so many calls."""
    return _between(search.calls, _SURE_OF_FEW, _SURE_OF_MANY)


def _between(calls: int, of_few: float, of_many: float) -> float:
    """Return what goes with so many calls, between what goes with few and with many."""
    ends = np.log((_FEW_CALLS, _MANY_CALLS))
    return float(np.interp(np.log(max(calls, 1)), ends, (of_few, of_many)))


def _claimable(search: SafeSearch) -> float:
    """Return the rate that is safe for all that is known, calls a second; 0 where none is, or only one far below what was
    offered.
    """
    rate = _quantile(search, 1 - _sure(search))
    return rate if rate >= 0.5 * _LEAST * search.sustained else 0.0


def _holds(search: SafeSearch, claim: float) -> bool:
    return _chance(search, claim) >= _sure(search)


def _chance(search: SafeSearch, claim: float) -> float:
    """Return the chance that at most 1 % is refused at `claim`."""
    share = _shares(search.rates, claim)
    return float(_probability(search)[share <= REFUSED_SHARE].sum())


# -- evenly spaced arrivals ---------------------------------------------------------------------------------------------

_TRIES = (0.95, 0.8, 0.6, 0.4)
_PASSES = ((300, 0), (475, 1), (630, 2))
"""(calls, most refused): from so many calls with so few refused, 1 % is not exceeded, with 95 %."""


def next_even(batches: Sequence[Batch], sustained_low: float) -> Batch | None:
    """Return the next evenly spaced batch (its `calls` are those still to send), or None when one rate passed or all
    failed.
    """
    for share in _TRIES:
        rate = share * sustained_low
        some = [batch for batch in batches if abs(batch.rate - rate) < 1e-3 * rate]
        calls, refused = sum(b.calls for b in some), sum(b.refused for b in some)
        need = next((calls_needed for calls_needed, most in _PASSES if refused <= most), None)
        if need is None:
            continue
        return Batch(rate, need - calls) if calls < need else None
    return None


def even_rate(batches: Sequence[Batch]) -> SafeRate | None:
    """Return the highest evenly spaced rate that passed, as the safe one; None where none did."""
    passed = None
    for rate in sorted({round(batch.rate, 9) for batch in batches}):
        some = [batch for batch in batches if abs(batch.rate - rate) < 1e-3 * rate]
        calls, refused = sum(b.calls for b in some), sum(b.refused for b in some)
        if any(calls >= needed and refused <= most for needed, most in _PASSES):
            passed = SafeRate(REFUSED_SHARE, rate, rate, calls, calls / rate)
    return passed
