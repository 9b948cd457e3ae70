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


class _Length(Struct, frozen=True):
    mean_s: _Positive


class Volumes(Struct, frozen=True):
    """Expected chats, as `chatquota plan --out DIR` wrote them into plan.json."""

    arrivals: _Arrivals
    length: _Length

    def sentence(self) -> str:
        """Say them in one line."""
        a_day = self.arrivals.a_day if self.arrivals.a_day is not None else self.arrivals.peak_per_s * 86_400
        when = "" if self.arrivals.peak_at == "any time" else f" at {self.arrivals.peak_at}"
        return (
            f"{counted(number(round(a_day)), 'chat')} a day are expected; the busiest hour{when} has "
            f"{number(round(3600 * self.arrivals.peak_per_s))} ({number(self.arrivals.peak_per_s)} a second); a mean chat "
            f"lasts {seconds(self.length.mean_s)}"
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
