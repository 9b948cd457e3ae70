"""Reads from a plan what AWS asks of a request: the contact volume, the busiest time and the mean length of a chat."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from harness.counting import counted
from harness.errors import UsageError
from harness.recording.format.files import read_plain
from reports.wording.numbers import number, seconds

_LONGEST = 1 << 20
_Positive = Annotated[float, Meta(ge=0, le=1e12)]
_Label = Annotated[str, Meta(max_length=100)]


class _Arrivals(Struct, frozen=True):
    peak_per_s: _Positive
    peak_at: _Label
    a_day: _Positive | None = None
    busiest_hour: _Positive | None = None
    busiest_hour_at: _Label | None = None

    @property
    def chats_a_day(self) -> float:
        """How many a day has; a constant rate holds all day."""
        return self.a_day if self.a_day is not None else self.peak_per_s * 86_400

    @property
    def in_busiest_hour(self) -> float:
        """How many the busiest hour has, or where an older version's plan does not say it, has at most."""
        return self.busiest_hour if self.busiest_hour is not None else min(self.chats_a_day, 3600 * self.peak_per_s)


class _Length(Struct, frozen=True):
    mean_s: _Positive


class Volumes(Struct, frozen=True):
    """Expected chats, as `chatquota plan --out DIR` wrote them into plan.json."""

    arrivals: _Arrivals
    length: _Length

    def sentence(self) -> str:
        """Say them in one line."""
        arrivals, hour = self.arrivals, self.arrivals.busiest_hour_at
        when = "" if hour is None or hour == "any time" else f" from {hour} on"
        peak = f"{number(arrivals.peak_per_s)} a second"
        if arrivals.peak_at != "any time":
            peak = f"{peak} at the busiest moment, {arrivals.peak_at}"
        return (
            f"{counted(number(round(arrivals.chats_a_day)), 'chat')} a day are expected; the busiest hour{when} has "
            f"{number(round(arrivals.in_busiest_hour))} ({peak}); a mean chat lasts {seconds(self.length.mean_s)}"
        )


def read_volumes(path: Path) -> Volumes:
    """Read plan.json, or the directory that has it. Raises UsageError, in one line, where it is of no use."""
    file = path / "plan.json" if path.is_dir() else path
    try:
        return msgspec.json.decode(read_plain(file, _LONGEST), type=Volumes)
    except (OSError, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise UsageError(
            f"--from-plan {path}: not a plan ({error}); make one with `chatquota plan ... --out DIR`"
        ) from error
