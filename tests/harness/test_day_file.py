"""A day of expected chats means the same to the load and to the plan."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.day_file import read_day_file
from harness.load.options.load_profile import parse_curve
from reports.plan.day import read_day

HEADERS = ("arrivals", "starts_per_s", "rate", "chats")


@pytest.mark.slow
@given(
    header=st.sampled_from(HEADERS),
    rows=st.dictionaries(st.integers(0, 23 * 60), st.integers(0, 9000), min_size=2, max_size=12),
)
def test_load_and_plan_read_the_same_day(
    header: str, rows: dict[int, int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """At any time of any file the load offers what the plan expects, within a step of the plan, and both end together."""
    rows[min(rows)] += 1
    path = tmp_path_factory.mktemp("day") / "day.csv"
    lines = [f"{minute // 60:02}:{minute % 60:02},{value}" for minute, value in sorted(rows.items())]
    path.write_text("\n".join([f"time,{header}", *lines]))
    curve, day = parse_curve(f"day:{path},60"), read_day(path)
    assert curve.seconds * 60 == pytest.approx(day.length)
    step = day.length / 1440
    for at in np.linspace(step, day.length - step, 40):
        around = [curve.at(moment / 60) for moment in (at - step, at, at + step)]
        if max(around) - min(around) < 1e-9:
            assert float(day.at(np.array([at]))[0]) == pytest.approx(around[1])
        else:
            near = [minute for minute in rows if abs(60 * (minute - min(rows)) - at) <= step]
            knots = [float(rows[minute]) for minute in near if header in ("starts_per_s", "rate")]
            assert min(around + knots) - 1e-9 <= float(day.at(np.array([at]))[0]) <= max(around + knots) + 1e-9


def test_counts_hold_until_the_next_row_and_rates_go_from_row_to_row(tmp_path: Path) -> None:
    """Thirty chats in ten minutes are 0.05 a second all the time; rates of 0 and 6 are 3 half-way."""
    path = tmp_path / "day.csv"
    path.write_text("time,arrivals\n08:00,30\n08:10,60\n")
    counts = read_day_file(str(path))
    assert [counts.at(at) for at in (0.0, 599.0, 600.0)] == [0.05, 0.05, 0.1]
    assert counts.length == 1200
    path.write_text("time,starts_per_s\n08:00,0\n10:00,6\n")
    rates = read_day_file(str(path))
    assert (rates.at(3600.0), rates.at(10 * 3600.0), rates.length) == (3.0, 6.0, 16 * 3600.0)
