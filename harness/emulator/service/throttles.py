"""One limiter for each operation and scope, built from the settings."""

import itertools
import math
import random
from collections.abc import Callable

from harness.emulator.service.limiters import (
    Changeable,
    Changing,
    Contended,
    Contrary,
    FixedWindow,
    Limiter,
    Nodes,
    Shards,
    SlidingWindow,
    TokenBucket,
    Unlimited,
)
from harness.emulator.settings.settings import Settings


class Throttles:
    """The throttling quotas of one account in one Region.

    `connection` is the number of the connection that the current call came in on; the caller sets it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._limiters: dict[tuple[str, str], Limiter] = {}
        self.connection = 0
        group = settings.shared.split("+") if settings.shared else []
        self._buckets = {name: group[0] if name in group else name for name in settings.limits}
        self._scopes = {name: settings.limit(bucket).scope for name, bucket in self._buckets.items()}
        if any(settings.limit(name).scope == "account" for name in group):  # what one of them shares, all share
            self._scopes |= dict.fromkeys(group, "account")

    def limiter(self, operation: str, instance: str) -> Limiter:
        """Return the limiter that a call of `operation` about `instance` meets."""
        key = (self._buckets[operation], instance if self._scopes[operation] == "instance" else "")
        limiter = self._limiters.get(key)
        if limiter is None:
            limiter = self._limiters[key] = self._build(*key)
        return limiter

    def keep_unchanged(self, before: "Throttles") -> None:
        """Take over from `before` the limiters that its settings would build alike: changed settings reset no others."""
        settings, limiters = before._settings, before._limiters  # noqa: SLF001 (another of its own kind)
        for (operation, instance), limiter in limiters.items():
            if _description(settings, operation) == _description(self._settings, operation):
                self._limiters[operation, instance] = limiter

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
        unlimited = math.isinf(limit.rate)
        debt = limit.burst if settings.throttle_costs_token else 0.0
        if operation != "StartChatContact":
            unlimited = unlimited or math.isinf(limit.burst)
            return Unlimited() if unlimited else TokenBucket(limit.rate, limit.burst, debt=debt)
        if unlimited and math.isinf(settings.change_at) and not settings.contrary:
            return Unlimited()
        # A generator of its own for each limiter: the calls of one instance do not shift the draws of another.
        rng = random.Random(f"{settings.seed} limiter {operation} {instance}")
        share = 1 / settings.shards
        parts = [_one(settings, share) for _ in range(max(settings.shards, settings.nodes))]
        limiter: Limiter = parts[0]
        if settings.nodes > 1:
            buckets = [part for part in parts if isinstance(part, TokenBucket)]
            limiter = Nodes(buckets, settings.sync, self._node_choice(rng))
        elif settings.shards > 1:
            limiter = Shards(parts, rng)
        if settings.background:
            memory = settings.window if settings.limiter != "token_bucket" else _memory(settings)
            limiter = Contended(limiter, settings.background, rng, memory)
        if not math.isinf(settings.change_at):
            limiter = Changing(limiter, settings.change_at, parts, share, settings.change_rate, settings.change_burst)
        if settings.contrary:
            limiter = Contrary(limiter, settings.contrary, random.Random(f"{settings.seed} contrary {instance}"))
        return limiter

    def _node_choice(self, rng: random.Random) -> Callable[[int], int]:
        choice = self._settings.node_choice
        if choice == "random":
            return rng.randrange
        if choice == "call":
            turns = itertools.count()
            return lambda nodes: next(turns) % nodes
        return lambda nodes: self.connection % nodes


def _one(settings: Settings, share: float) -> Changeable:
    if settings.limiter == "token_bucket":
        burst = math.inf if math.isinf(settings.rate) else settings.burst * share
        return TokenBucket(settings.rate * share, burst, settings.tick, burst if settings.throttle_costs_token else 0.0)
    limit = settings.rate * settings.window * share
    if settings.limiter == "fixed_window":
        return FixedWindow(limit, settings.window)
    return SlidingWindow(limit, settings.window)


def _description(settings: Settings, operation: str) -> tuple[object, ...]:
    """All that decides how the limiter of `operation` is built."""
    parts: tuple[object, ...] = (settings.limit(operation), settings.throttle_costs_token, settings.shared)
    if operation == "StartChatContact":
        parts += tuple(getattr(settings, name) for name in _START_CHAT)
    return parts


_START_CHAT = (
    "limiter", "window", "tick", "shards", "nodes", "sync", "node_choice", "contrary", "background", "change_at",
    "change_rate", "change_burst",
)  # fmt: skip


def _memory(settings: Settings) -> float:
    """Seconds after which a bucket's state no longer depends on how it was before (ten refills from empty)."""
    known = [(settings.rate, settings.burst)]
    if not math.isinf(settings.change_at):
        known.append((settings.change_rate, settings.change_burst))
    refills = [burst / rate for rate, burst in known if 0 < rate < math.inf and not math.isinf(burst)]
    return 10 * (max(refills) + settings.tick) if refills else 60.0


def _finite(value: float) -> float | None:
    return None if math.isinf(value) else round(value, 6)
