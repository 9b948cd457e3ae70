"""What the wire adds to a call: delay, jitter and faults, drawn from the seed."""

import random
from dataclasses import dataclass
from typing import Literal

from harness.emulator.settings.settings import Settings

Fault = Literal["500", "503", "reset", "stall", "garbage"]
_FAULTS: tuple[Fault, ...] = ("500", "503", "reset", "stall", "garbage")


@dataclass(frozen=True, slots=True)
class Weather:
    """What happens to one call: seconds of delay each way, a fault or none, whether it has its effect first."""

    delay_in: float
    delay_out: float
    fault: Fault | None
    after_effect: bool


CALM = Weather(0.0, 0.0, None, False)


class Sky:
    """Draws the weather of each call; `clear` when there is nothing to draw."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rng = random.Random(f"{settings.seed} weather")
        self._bounds: list[tuple[float, Fault]] = []
        total = 0.0
        for fault in _FAULTS:
            share: float = getattr(settings, f"fault_{fault}")
            total += share
            if share:
                self._bounds.append((total, fault))
        names = settings.fault_operations
        self._struck = None if names == "all" else frozenset(names.split("+"))
        self.clear = not (self._bounds or settings.latency or settings.jitter)

    def draw(self, operation: str) -> Weather:
        """The weather of a call of `operation`."""
        settings, rng = self._settings, self._rng
        half = settings.latency / 2
        # Always the same number of draws a call, so that one call's fate does not shift another's.
        there, back, fate, coin = abs(rng.gauss()), abs(rng.gauss()), rng.random(), rng.random()
        fault: Fault | None = None
        if self._struck is None or operation in self._struck:
            fault = next((name for bound, name in self._bounds if fate < bound), None)
        after = settings.fault_when == "after" or (settings.fault_when == "mixed" and coin < 0.5)
        return Weather(half + there * settings.jitter, half + back * settings.jitter, fault, after)
