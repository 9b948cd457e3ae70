"""Gates files: what is accepted, what is refused and how, and which gates end a run early."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.gates import METRICS, Gate, early_breach, parse_gates, read_gates
from harness.quotas.attempts import OUTCOMES


def one(**entry: Any) -> dict[str, Any]:
    """A gates file of one gate, as TOML reads it."""
    return {"gate": [entry]}


def test_a_file_of_gates_is_read(tmp_path: Path) -> None:
    """Bounds, names and early ends come from the file; a gate is named by its metric unless it says otherwise."""
    path = tmp_path / "gates.toml"
    path.write_text(
        '[[gate]]\nmetric = "latency_ms.started.p99"\nmax = 800\n'
        '[[gate]]\nmetric = "outcome_share.service_error"\nmax = 0.01\nabort = true\nafter = 50\nname = "faults"\n'
        '[[gate]]\nmetric = "locust.POST /x.y.fail_ratio"\nmax = 0.5\n'
    )
    assert read_gates(path) == (
        Gate("latency_ms.started.p99", None, 800.0, "latency_ms.started.p99"),
        Gate("outcome_share.service_error", None, 0.01, "faults", abort=True, after=50),
        Gate("locust.POST /x.y.fail_ratio", None, 0.5, "locust.POST /x.y.fail_ratio"),
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "has no gates"),
        ({"gate": []}, "has no gates"),
        ({"gates": [{}]}, "has no gates"),
        (
            one(metric="latency_ms.startd.p99", max=1),
            "did you mean 'latency_ms.started.p99'. docs/gates.md has them all",
        ),
        (one(metric="locust.x.p33", max=1), "locust.<request name>.<statistic>.*p99_response_time"),
        (one(metric="tps.rate.low"), "neither min nor max"),
        (one(max=3), "has no metric"),
        (one(metric="tps.rate.low", maximum=3), "unknown key 'maximum'"),
        (one(metric="tps.rate.low", min="3"), "min must be a number"),
        (one(metric="tps.rate.low", min=True), "min must be a number"),
        (one(metric="tps.rate.low", min=4, max=3), "nothing can pass"),
        (one(metric="tps.rate.low", min=4, abort=True), "can end a run early"),
        (one(metric="outcomes.timeout", min=4, abort=True), "can end a run early"),
        (one(metric="outcomes.timeout", max=4, abort=True, after=0), "1 or more"),
        (one(metric="outcomes.timeout", max=4, after=200), "after counts only with abort = true"),
        (
            one(metric="locust.StartChat.num_failures", max=4),
            "StartChat is a user class.*locust.StartChatContact.num_f",
        ),
        (one(metric="locust.QuotaProbe.fail_ratio", max=4), "QuotaProbe is a user class"),
        (one(metric="outcomes.timeout", max=float("nan")), "must be a number"),
    ],
)
def test_a_mistake_is_refused_with_its_mend(table: dict[str, Any], message: str) -> None:
    """Each mistake is one line that names the gate and what is allowed."""
    with pytest.raises(UsageError, match=message) as error:
        parse_gates(table)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"not toml = = 1", b"\xff\xfe"])
def test_what_is_no_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    """A file that is no TOML, or not there, is a usage error."""
    path = tmp_path / "gates.toml"
    with pytest.raises(UsageError, match="no such file; name a TOML file of gates"):
        read_gates(path)
    path.write_bytes(content)
    with pytest.raises(UsageError):
        read_gates(path)


@given(st.sampled_from(METRICS), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_gate_holds_between_its_bounds(metric: str, bound: float, value: float) -> None:
    """Bounds are included; not-a-number never passes."""
    assert parse_gates(one(metric=metric, max=bound))[0].holds(value) == (value <= bound)
    assert parse_gates(one(metric=metric, min=bound))[0].holds(value) == (value >= bound)
    assert not parse_gates(one(metric=metric, min=bound))[0].holds(float("nan"))


def test_every_outcome_can_be_gated() -> None:
    """The metrics name every outcome that the inference knows."""
    assert {metric.split(".")[1] for metric in METRICS if metric.startswith("outcomes.")} == set(OUTCOMES)


def test_a_gate_ends_a_run_early_only_when_it_may() -> None:
    """A breach counts from the gate's number of calls on, and only for gates that say abort."""
    abort = one(metric="outcome_share.service_error", max=0.1, abort=True, after=50)
    gates = parse_gates(abort)
    early, late, fine = ({"started": n, "service_error": m} for n, m in ((30, 19), (31, 19), (95, 5)))
    assert early_breach(gates, early, {}) is None
    sentence = early_breach(gates, late, {})
    assert sentence is not None
    assert "outcome_share.service_error is 0.38, wanted <= 0.1" in sentence
    assert early_breach(gates, fine, {}) is None
    assert early_breach(parse_gates(one(metric="outcome_share.service_error", max=0.1)), late, {}) is None
    dropped = parse_gates(one(metric="generator.dropped", max=0, abort=True, after=1))
    assert early_breach(dropped, {"started": 1}, {"dropped": 2}) is not None
    assert early_breach(dropped, {"started": 1}, {"dropped": 0}) is None
