"""`--hold`: distributions of how long a chat stays open."""

import random
import re
from statistics import fmean, median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.durations import parse_duration, parse_hold


@pytest.mark.parametrize(("text", "seconds"), [("0s", 0), ("500ms", 0.5), ("30s", 30), ("5m", 300), ("1.5h", 5400)])
def test_duration_is_read_in_its_unit(text: str, seconds: float) -> None:
    """A duration is a number with a unit."""
    assert parse_duration(text) == seconds


NO_DISTRIBUTIONS = """5 s -3s 5\u00a0minutes exponential exponential: exponential:0s exponential:5m,3 exponential:inf
lognormal:8m lognormal:8m,-1 lognormal:8m,nan uniform:3m,1m gamma:3s 30s,40s"""


@pytest.mark.parametrize("text", ["", *NO_DISTRIBUTIONS.split()])
def test_anything_else_is_refused_with_the_forms_there_are(text: str) -> None:
    """What is not a distribution is refused, and the message shows how to write one."""
    with pytest.raises(ValueError, match=re.escape("lognormal:8m,0.6")):
        parse_hold(text)


def test_constant_hold_never_varies() -> None:
    """A plain duration is that duration for each chat."""
    hold = parse_hold("30s")
    assert {hold.draw(random.Random(seed)) for seed in range(20)} == {30.0}
    assert hold.mean == 30


@pytest.mark.parametrize("text", ["exponential:2m", "uniform:1m,3m", "lognormal:90s,0.5"])
def test_mean_is_the_mean_of_the_draws(text: str) -> None:
    """The stated mean is what many draws average to."""
    hold, rng = parse_hold(text), random.Random(7)
    assert fmean(hold.draw(rng) for _ in range(20_000)) == pytest.approx(hold.mean, rel=0.05)


def test_lognormal_is_named_by_its_median() -> None:
    """The first number of a lognormal hold is its median."""
    hold, rng = parse_hold("lognormal:8m,0.6"), random.Random(7)
    assert median(hold.draw(rng) for _ in range(20_000)) == pytest.approx(480, rel=0.05)


@given(st.text(max_size=30))
def test_no_text_breaks_the_reader(text: str) -> None:
    """Any text is either a distribution of times that are not negative, or a ValueError."""
    try:
        hold = parse_hold(text)
    except ValueError:
        return
    assert hold.draw(random.Random(1)) >= 0
