"""The safe rate: blocking of a token bucket, and the search that offers one batch after another."""

import random

import numpy as np
import pytest

from harness.quotas.any_limiter.blocking import blocked, blocking, load_refused
from harness.quotas.any_limiter.estimates import LimiterClass
from harness.quotas.any_limiter.safe import (
    Batch,
    SafeSearch,
    even_rate,
    least_seconds,
    next_batch,
    next_even,
    of_class,
    safe_of,
)
from tests.support.virtual.services import Limiter, Shards, TokenBucket
from tests.support.virtual.shared_limiters import Contrary, OnOff


def refused_share(limiter: Limiter, rate: float, calls: int, rng: random.Random, begin: float = 0.0) -> float:
    """The share refused of Poisson arrivals."""
    now, refused = begin, 0
    for _ in range(calls):
        now += rng.expovariate(rate)
        refused += not limiter.admit(now)
    return refused / calls


@pytest.mark.parametrize(("load", "burst"), [(0.9, 8.0), (0.7, 3.0), (1.1, 8.0), (1.02, 10.0), (0.8, 1.0), (0.9, 8.5)])
def test_blocking_is_that_of_a_simulated_bucket(load: float, burst: float) -> None:
    """The share refused is within a tenth of what 100,000 simulated calls see, and so is the table's."""
    seen = refused_share(TokenBucket(1.0, burst), load, 100_000, random.Random(1))
    assert float(blocking(load, burst)[0]) == pytest.approx(seen, rel=0.1)
    assert float(blocked(np.array([load]), np.array([burst]))[0, 0]) == pytest.approx(seen, rel=0.1)


def test_the_load_that_refuses_one_per_cent_grows_with_the_burst() -> None:
    """With burst 8 it is 81 % of the rate; it never falls as the burst grows."""
    loads = load_refused(0.01, np.array([1.0, 2.0, 8.0, 20.0, 100.0]))
    assert loads[2] == pytest.approx(0.81, abs=0.01)
    assert np.all(np.diff(loads) > 0)


def searched(
    limiter: Limiter,
    rate: float,
    burst: float,
    seed: int,
    kind: LimiterClass = "exact_within_jitter",
    contrary: float | None = None,
) -> SafeSearch:
    """Drive the search against a limiter of which the class is known, and the sustained rate to 2.5 %."""
    rng, now = random.Random(seed), 0.0
    search = SafeSearch(rate, 0.975 * rate, 1.025 * rate, burst, contrary, least_seconds(kind))
    for _ in range(100):
        search, batch = next_batch(search)
        if batch is None:
            return search
        refused = 0
        for _ in range(batch.calls):
            now += rng.expovariate(batch.rate)
            refused += not limiter.admit(now)
        search = search.seen(Batch(batch.rate, batch.calls, refused))
    raise AssertionError("the search did not end")


def test_less_is_claimed_of_a_limiter_that_others_use() -> None:
    """Its refusals come in bouts that some minutes do not show: the claim is 7 % lower, the estimate is as it was."""
    safe = safe_of(searched(TokenBucket(10.0, 16.0), 10.0, 16.0, 1))
    assert safe is not None
    shared, exact = of_class(safe, "shared"), of_class(safe, "exact_within_jitter")
    assert safe.poisson is not None
    assert shared.poisson is not None
    assert shared.poisson.low == pytest.approx(0.93 * safe.poisson.low)
    assert shared.poisson.estimate == safe.poisson.estimate
    assert exact == safe


def test_a_limiter_that_others_use_is_looked_at_for_two_minutes() -> None:
    """A claim that holds closely ends the search of a bucket before that."""
    bucket, shared = (
        searched(TokenBucket(50.0, 80.0), 50.0, 80.0, 1, kind) for kind in ("exact_within_jitter", "shared")
    )
    assert 40 <= bucket.seconds < 100
    assert 120 <= shared.seconds < 130


@pytest.mark.slow
def test_the_claim_holds_beside_a_neighbour_that_comes_and_goes() -> None:
    """The refused share at the claim, offered on for an hour and a half, is at most 1.5 % for eleven of twelve, and half
    of the rate is claimed where others take a quarter of it.
    """
    held = []
    for seed in range(12):
        service = OnOff(TokenBucket(13.0, 20.0), 6.0, 3.0, random.Random(seed))
        safe = safe_of(searched(service, 11.8, 20.0, seed, "shared"))
        assert safe is not None
        claim = of_class(safe, "shared").poisson
        assert claim is not None
        again = OnOff(TokenBucket(13.0, 20.0), 6.0, 3.0, random.Random(seed + 50))
        held.append((claim.low, refused_share(again, claim.low, 30_000, random.Random(seed)) <= 0.015))
    assert sum(good for _, good in held) >= 11
    assert float(np.median([claim for claim, _ in held])) > 5.0


def test_the_claimed_rate_refuses_at_most_one_per_cent() -> None:
    """For a bucket and for shards: offered on, the claims (95 % each) hold but for one, and are worth more than half."""
    held = []
    for seed in range(6):
        rng = random.Random(seed + 100)
        for halves in (1, 2):
            limiter, again = (
                Shards([TokenBucket(10.0 / halves, 20.0 / halves) for _ in range(halves)], rng) for _ in range(2)
            )
            found = safe_of(searched(limiter, 10.0, 20.0, seed))
            assert found is not None
            assert found.poisson is not None
            held.append(refused_share(again, found.poisson.low, 30_000, rng) <= 0.012)
            assert 5.0 < found.poisson.low <= 0.95 * 9.75
    assert sum(held) >= 11


def test_no_safe_rate_is_claimed_where_three_per_cent_are_refused_at_any_load() -> None:
    """Where the share refused does not depend on the load, nothing is claimed."""
    found = safe_of(searched(Contrary(TokenBucket(10.0, 20.0), 0.03, random.Random(4)), 10.0, 20.0, 1))
    assert found is not None
    assert found.poisson is not None
    assert found.poisson.low < 4.0


def test_no_safe_rate_is_claimed_of_a_slow_limiter_that_refuses_more_at_any_load() -> None:
    """Some 450 calls are few to tell 1.6 % from 1 %; the share of contrary decisions under pressure says where to look."""
    for seed in range(8):
        service = Contrary(TokenBucket(5.0, 8.0), 0.016, random.Random(seed))
        found = safe_of(searched(service, 5.0, 8.0, seed, "nearly_bucket", contrary=0.016))
        assert found is not None
        assert found.poisson is not None
        assert found.poisson.low < 0.5


def test_the_refused_share_grows_with_the_load() -> None:
    """The curve rises, and each point lies in its interval."""
    found = safe_of(searched(TokenBucket(5.0, 8.0), 5.0, 8.0, 3))
    assert found is not None
    shares = [point.refused for point in found.curve]
    assert shares == sorted(shares)
    assert all(point.low <= point.refused <= point.high or point.refused < 1e-3 for point in found.curve)
    assert set(found.refused_at) == {0.5, 0.7, 0.85}


def test_even_arrivals_step_down_until_one_rate_passes() -> None:
    """0.95 of the rate fails with three refusals in 630 calls; 0.8 passes after 300 without one."""
    batches = [Batch(9.5, 300, 1)]
    assert next_even(batches, 10.0) == Batch(9.5, 175)
    batches += [Batch(9.5, 175, 2)]
    assert next_even(batches, 10.0) == Batch(8.0, 300)
    batches += [Batch(8.0, 300, 0)]
    assert next_even(batches, 10.0) is None
    passed = even_rate(batches)
    assert passed is not None
    assert passed.low == 8.0
