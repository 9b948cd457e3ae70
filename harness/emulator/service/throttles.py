"""One limiter for each operation and scope, built from the settings."""

import math
import random

from harness.emulator.service.limiters import (
    Changeable,
    Contended,
    FixedWindow,
    Limiter,
    Moving,
    Shards,
    SlidingWindow,
    TokenBucket,
    Unlimited,
)
from harness.emulator.settings.settings import Settings


class Throttles:
    """The throttling quotas of one account in one Region."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._limiters: dict[tuple[str, str], Limiter] = {}
        self._scopes = {operation: settings.limit(operation).scope for operation in settings.limits}

    def limiter(self, operation: str, instance: str) -> Limiter:
        """The limiter that a call of `operation` about `instance` meets."""
        key = (operation, instance if self._scopes[operation] == "instance" else "")
        limiter = self._limiters.get(key)
        if limiter is None:
            limiter = self._limiters[key] = self._build(operation, key[1])
        return limiter

    def describe(self, now: float) -> dict[str, dict[str, float | str | None]]:
        """Rate, burst, scope and calls available at `now`, of every operation (a level per limiter in use)."""
        described: dict[str, dict[str, float | str | None]] = {}
        for operation in self._settings.limits:
            limit = self._settings.limit(operation)
            described[operation] = {
                "rate": _finite(limit.rate),
                "burst": _finite(limit.burst),
                "scope": limit.scope,
            }
        for (operation, instance), limiter in self._limiters.items():
            described[operation][f"level:{instance}" if instance else "level"] = _finite(limiter.level(now))
        return described

    def _build(self, operation: str, instance: str) -> Limiter:
        settings = self._settings
        limit = settings.limit(operation)
        if operation != "StartChatContact":
            return Unlimited() if math.inf in (limit.rate, limit.burst) else TokenBucket(limit.rate, limit.burst)
        if math.isinf(limit.rate):
            return Unlimited()
        # A generator of its own for each limiter: the calls of one instance do not shift the coins of another.
        rng = random.Random(f"{settings.seed} limiter {operation} {instance}")
        parts = [_one(settings, 1 / settings.shards) for _ in range(settings.shards)]
        limiter: Limiter = parts[0] if len(parts) == 1 else Shards(parts, rng)
        if settings.background:
            memory = settings.window if settings.limiter != "token_bucket" else _memory(settings)
            limiter = Contended(limiter, settings.background, rng, memory)
        if not math.isinf(settings.change_at):
            limiter = Moving(limiter, settings.change_at, parts, settings.change_rate, settings.change_burst)
        return limiter


def _one(settings: Settings, share: float) -> Changeable:
    if settings.limiter == "token_bucket":
        return TokenBucket(settings.rate * share, settings.burst * share, settings.tick)
    limit = settings.rate * settings.window * share
    if settings.limiter == "fixed_window":
        return FixedWindow(limit, settings.window)
    return SlidingWindow(limit, settings.window)


def _memory(settings: Settings) -> float:
    """Seconds after which a bucket's state no longer depends on how it was before (ten refills from empty)."""
    return 10 * (settings.burst / settings.rate + settings.tick) if settings.rate else 60.0


def _finite(value: float) -> float | None:
    return None if math.isinf(value) else round(value, 6)
