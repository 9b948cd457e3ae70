"""Which part of a record is which: the stages that a probe went through, as plain data for the run directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

StageKind = Literal["pressure", "volley", "poisson", "even", "check", "climb", "again"]


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a record with one purpose: the calls sent from `begin` to `end` (seconds on the attempts' clock).

    `pressure` and `check`: calls at `offered` a second, above the rate; `check` is the last one, compared with the first.
    `climb`: the most that a limiter which counts refused calls admitted, of calls at `offered` a second.
    `again`: a short pressure at `offered` a second right after a volley, so that it began at rest.
    `volley`: calls at once after `rest` seconds without any. `poisson` and `even`: a batch at `offered` a second, below
    the rate, at random moments or evenly spaced.
    """

    kind: StageKind
    begin: float
    end: float
    offered: float = 0.0
    rest: float = 0.0

    def to_json(self) -> dict[str, str | float]:
        """Plain data, as `of_json` reads it."""
        return {
            "kind": self.kind,
            "begin": round(self.begin, 6),
            "end": round(self.end, 6),
            "offered": round(self.offered, 6),
            "rest": round(self.rest, 6),
        }

    @classmethod
    def of_json(cls, told: Mapping[str, object]) -> Stage:
        """Read what `to_json` wrote. Raises ValueError where it is not a stage."""
        kind = told.get("kind")
        if kind not in get_args(StageKind):
            raise ValueError(f"stage kind {kind!r} is not known; known are {', '.join(get_args(StageKind))}")
        numbers = {name: told.get(name, 0.0) for name in ("begin", "end", "offered", "rest")}
        for name, value in numbers.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ValueError(f"stage {name} {value!r} is not a number of seconds or calls a second")
        return cls(kind, **{name: float(value) for name, value in numbers.items()})  # type: ignore[arg-type]
