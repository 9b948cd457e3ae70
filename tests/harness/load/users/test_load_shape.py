"""Load shapes: curves as functions of time, and a run that follows one."""

from pathlib import Path

import pytest

from harness.load.options.load_profile import parse_curve
from tests.harness.emulator.support import running
from tests.support.emulated import STOPS_AT_ONCE, load
from tests.support.locust_runs import samples


@pytest.mark.parametrize(
    ("text", "seconds", "points"),
    [
        ("ramp:2m", 120, {0: 0, 60: 0.5, 119.9: 0.999}),
        ("steps:4,30s", 120, {0: 0.25, 29: 0.25, 30: 0.5, 119: 1}),
        ("spike:10s,5s", 25, {0: 0.1, 9.9: 0.1, 10: 1, 14.9: 1, 15: 0.1}),
        ("waves:3,10s,5s", 45, {0: 1, 9.9: 1, 10: 0, 14.9: 0, 15: 1, 40: 0}),
        ("spike:10s,5s,0.5", 25, {0: 0.5, 12: 1}),
        ("soak:8h", 28800, {0: 1, 20000: 1}),
    ],
)
def test_curves_are_shares_of_the_peak(text: str, seconds: float, points: dict[float, float]) -> None:
    """Each profile lasts as long and is as high as its text says."""
    curve = parse_curve(text)
    assert curve.seconds == seconds
    assert {at: pytest.approx(curve.at(at), abs=1e-3) for at in points} == points


def test_day_is_read_from_csv_and_runs_faster_than_life(tmp_path: Path) -> None:
    """Rates are interpolated between the rows, and a speed of 3600 makes an hour a second."""
    path = tmp_path / "day.csv"
    path.write_text("time,starts_per_s\n00:00,0\n06:00,12\n12:00,6\n\n")
    curve = parse_curve(f"day:{path},3600")
    assert (curve.seconds, curve.absolute) == (24, True)
    assert [curve.at(hour) for hour in (0, 3, 6, 9, 12, 20)] == [0, 6, 12, 9, 6, 6]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("banana", "write ramp:2m"),
        ("ramp:0s", "a duration over 0"),
        ("steps:x,1m", "not a whole number of 1 or more"),
        ("spike:1m,1m,2", "from 0 to 1"),
        ("day:/nowhere.csv", "no such file"),
        ("ramp:1m,2m", "write ramp:2m"),
    ],
)
def test_wrong_shape_is_one_line_with_the_forms_there_are(text: str, said: str) -> None:
    """A shape that cannot be read names itself and the forms that there are."""
    with pytest.raises(ValueError, match="^" + repr(text)[:-1].replace(".", r"\.")) as refusal:
        parse_curve(text)
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("row", ["1", "25:xx,3", "00:00,-1", "00:00,nan"])
def test_wrong_line_of_a_day_is_named(row: str, tmp_path: Path) -> None:
    """The line that does not fit is named by its number."""
    path = tmp_path / "day.csv"
    path.write_text(f"time,starts_per_s\n{row}\n")
    with pytest.raises(ValueError, match="row 2"):
        parse_curve(f"day:{path}")


@pytest.mark.slow
def test_run_follows_its_shape_and_ends_with_it(tmp_path: Path) -> None:
    """Steps offer more from step to step, and the run ends by itself with exit code 0."""
    run = tmp_path / "run"
    with running("rate=100,burst=100", STOPS_AT_ONCE) as emulator:
        said = load(emulator, "StartChat", run, "-u", "30", "--load-shape", "steps:2,2s", "--arrivals", "uniform")
    starts = sorted(row["scheduled"] for row in samples(run) if row["operation"] == "StartChatContact")
    first, last = (sum(begin <= at < begin + 1 for at in starts) for begin in (starts[0], starts[-1] - 1))
    assert 1.4 * first <= last
    assert said["generator"]["valid"], said["generator"]["reasons"]
