"""Records for the inference's tests: open arrivals against a hidden service in virtual time."""

import random

from harness.quotas.attempts import Attempts
from tests.support.virtual.services import Clockwork, Latency, Limiter, Service, TokenBucket

NO_QUOTA = 10**9


def arrivals(
    limiter: Limiter,
    load: float,
    seconds: float,
    *,
    seed: int = 1,
    up: float = 0.5,
    trip: float = 0.03,
    faults: float = 0.0,
    even: bool = False,
    rests: tuple[float, float] | None = None,
) -> Attempts:
    """Poisson (or even) arrivals of `load` calls a second for some seconds, as a StartChat run would record them.

    With `rests` the load lasts for so many seconds, then a call a second comes for so many, and so on.
    """
    rng = random.Random(seed)
    clock = Clockwork(Service(limiter, NO_QUOTA, Latency(trip, 0.1, up, rng), fault_share=faults))
    at = 1.0
    while at < 1.0 + seconds:
        clock.at(at, lambda: clock.send(lambda _answer: None))
        now = load if rests is None or (at - 1.0) % sum(rests) < rests[0] else 1.0
        at += 1 / now if even else rng.expovariate(now)
    clock.run_out()
    return attempts_of(clock)


def attempts_of(clock: Clockwork) -> Attempts:
    """What a clockwork's calls saw."""
    record = clock.record
    return Attempts.of([a.sent for a in record], [a.received for a in record], [a.outcome for a in record])


def default_bucket(level: float = -1.0) -> TokenBucket:
    """AWS's documented default for StartChatContact: 5 a second, burst 8; full unless `level` says otherwise."""
    return TokenBucket(5.0, 8.0, level=level)
