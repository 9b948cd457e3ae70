"""Numbers that nobody plans with: `chatquota plan` refuses them in one line, or is done with them soon."""

import math
from pathlib import Path

import pytest
from scipy.stats import poisson

from harness.command import main
from reports.plan.queueing import bucket_refusal, erlang_b


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--arrivals", "100001/s", "--length", "5m"], "can be planned (100,000/s)"),
        (["--arrivals", "4/s", "--length", "9999999999h"], "over 7 days (168h)"),
        (["--arrivals", "4/s", "--length", "lognormal:8m,40"], "is not a distribution of lengths"),
        (["--arrivals", "90000/s", "--length", "160h"], "chats would be open at once"),
    ],
)
def test_more_than_any_account_has_is_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Arrivals, lengths and open chats have bounds, as quotas have."""
    assert main(["plan", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "arguments", "said"),
    [
        ("time,rate\n0,1e300\n60,1\n", [], "more than can be planned"),
        ("time,arrivals\n0,1\n0.001,1\n", ["--abandoned", "5%"], "give the arrivals of a day"),
    ],
)
def test_a_day_that_no_service_has_is_refused(
    content: str, arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rates without end, and a day so short that thousands of it are remembered, are one line."""
    (tmp_path / "day.csv").write_text(content)
    length = ["--length", "8m", "--tps", "90000", "--burst", "90000", "--active-chats", "500"]
    assert main(["plan", "--arrivals", str(tmp_path / "day.csv"), *length, *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def refused_by_all_terms(arrivals: float, rate: float, burst: int) -> float:
    """The formula of `bucket_refusal` with each term that there is."""
    load = arrivals / rate
    more = [float(poisson.sf(n - 1, load)) for n in range(burst + 2)]
    left = [1.0]
    for level in range(burst - 1):
        up = left[0] * more[level + 1] + sum(left[k] * more[level + 2 - k] for k in range(1, level + 1))
        left.append(up / math.exp(-load))
    return 1.0 - 1.0 / (left[0] / sum(left) + load)


@pytest.mark.parametrize(("arrivals", "burst"), [(4.99, 500), (5.0, 300), (5.2, 300), (4.0, 200), (40.0, 60)])
def test_terms_without_any_chance_are_left_out_and_change_nothing(arrivals: float, burst: int) -> None:
    """The short sum is that of all terms, below, at and over the rate."""
    full = refused_by_all_terms(arrivals, 5.0, burst)
    assert bucket_refusal(arrivals, 5.0, burst) == pytest.approx(full, rel=1e-9, abs=1e-12)


def test_a_bucket_of_any_size_needs_no_memory_of_that_size() -> None:
    """Of tokens that no call ever takes nothing is computed."""
    assert bucket_refusal(50.0, 51.0, 1e15) == pytest.approx(0.0, abs=1e-9)


def erlang_b_from_below(load: float, servers: int) -> float:
    """The classic recursion, over every server."""
    inverse = 1.0
    for taken in range(1, servers + 1):
        inverse = 1.0 + inverse * taken / load
    return 1.0 / inverse


@pytest.mark.parametrize(("load", "servers"), [(0.01, 3), (3.0, 100), (500.0, 480), (1e5, 10), (99_900.0, 100_000)])
def test_erlang_b_needs_few_of_its_terms(load: float, servers: int) -> None:
    """The sum from above, ended where nothing more counts, is the recursion from below."""
    assert erlang_b(load, servers) == pytest.approx(erlang_b_from_below(load, servers), rel=1e-9)
