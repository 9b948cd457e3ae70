"""What the wire adds to a call: latency, jitter and faults, drawn from the seed."""

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from harness.emulator.settings.settings import Settings

Fault = Literal["500", "503", "reset", "stall", "garbage"]
_FAULTS: tuple[Fault, ...] = ("500", "503", "reset", "stall", "garbage")


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What happens to one call: seconds of delay each way, a fault or none, whether it has its effect first."""

    delay_in: float
    delay_out: float
    fault: Fault | None
    after_effect: bool


NO_DISTURBANCE = Disturbance(0.0, 0.0, None, False)


class FaultPlan:
    """Draws the disturbance of each call; `active` says whether there is anything to draw. `now` is real time."""

    def __init__(self, settings: Settings, now: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._now = settings, now
        self._rng = random.Random(f"{settings.seed} weather")
        self._tail = random.Random(f"{settings.seed} latency")
        self._bounds: list[tuple[float, Fault]] = []
        total = 0.0
        for fault in _FAULTS:
            share: float = getattr(settings, f"fault_{fault}")
            total += share
            if share:
                self._bounds.append((total, fault))
        names = settings.fault_operations
        self._faulty = None if names == "all" else frozenset(names.split("+"))
        delays = bool(settings.latency or settings.jitter or settings.latencies or settings.slow_share)
        delays = delays or bool(settings.throttle_latency)
        self.active = bool(self._bounds or delays)

    def draw(self, operation: str) -> Disturbance:
        """Return the disturbance of a call of `operation`."""
        settings, rng = self._settings, self._rng
        latency = settings.round_trip(operation)
        half = latency.median / 2 * math.exp(latency.sigma * self._tail.gauss())
        # Always the same number of draws a call, so that what one call meets does not shift another's.
        there, back, fate, coin = abs(rng.gauss()), abs(rng.gauss()), rng.random(), rng.random()
        fault: Fault | None = None
        if self._faulty is None or operation in self._faulty:
            fault = next((name for bound, name in self._bounds if fate < bound), None)
        after = settings.fault_when == "after" or (settings.fault_when == "mixed" and coin < 0.5)
        if settings.slow_share and self._is_slow():
            half += settings.slow_latency / 2
        return Disturbance(half + there * settings.jitter, half + back * settings.jitter, fault, after)

    def _is_slow(self) -> bool:
        """Whether this is a slow spell: all calls of one spell are slow, whatever their number."""
        spell = int(self._now() / self._settings.slow_length)
        return random.Random(f"{self._settings.seed} slow {spell}").random() < self._settings.slow_share
