"""The readers of foreign bytes hold under fuzzing: hypothesis with grammars, and atheris with coverage feedback, bounded."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, outcome, run_directory, workload
from tests.support.locust_runs import ROOT

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["schema", "status", "generator", "chats", "event", "contact_id", "at", "how", "ledger", "__type", "code", "message"]
    ), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
CODES = st.sampled_from(
    ["TooManyRequestsException", "LimitExceededException", "a:b", "ns#ThrottlingException", "", "#", ":"]
)

TOML_VALUES = st.one_of(
    st.integers(-5, 70_000), st.floats(), st.booleans(), st.text(max_size=5), st.lists(st.integers(-2, 99), max_size=3)
)
KEYS = st.sampled_from(
    ["name", "weight", "display_names", "content_types", "duration_minutes", "invalid", "seed", "request", "nonsense"]
)
TABLE_KEYS = st.sampled_from(
    ["count", "value_bytes", "unicode", "total_bytes", "content_type", "texts", "share", "fixed"]
)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return orjson.dumps(value).decode()
    return str(value)


@st.composite
def workloads(draw: st.DrawFn) -> bytes:
    """TOML that looks like a workload, with values of the right and the wrong type."""
    lines: list[str] = []
    for _ in range(draw(st.integers(0, 2))):
        lines.append("[[kind]]")
        lines += [
            f"{key} = {_toml(value)}" for key, value in draw(st.dictionaries(KEYS, TOML_VALUES, max_size=4)).items()
        ]
        for table in draw(st.lists(st.sampled_from(["attributes", "message"]), unique=True)):
            lines.append(f"[kind.{table}]")
            inner = draw(st.dictionaries(TABLE_KEYS, TOML_VALUES, max_size=3))
            lines += [f"{key} = {_toml(value)}" for key, value in inner.items()]
    return "\n".join(lines).encode("utf-8", "replace")


@given(
    st.integers(0, 255), st.integers(0, 65535), CODES | st.text(max_size=10), JSON | st.none(), st.binary(max_size=30)
)
def test_any_answer_has_exactly_one_outcome(first: int, status: int, code: str, body: object, junk: bytes) -> None:
    """Whatever the service answers, it is classified, and a 429 as one of the three kinds there are."""
    head = bytes([first]) + status.to_bytes(2, "big") + code.encode("utf-8", "replace").replace(b"\n", b"") + b"\n"
    outcome(head + (orjson.dumps(body) if body is not None else junk))


@given(workloads() | st.binary(max_size=100))
@settings(max_examples=200, deadline=None)
def test_any_workload_is_refused_in_one_line_or_draws_json(data: bytes) -> None:
    """No file makes the reader raise anything but the one line that says what is wrong."""
    workload(data)


@given(
    st.lists(st.binary(max_size=60) | JSON.map(orjson.dumps), min_size=1, max_size=4),
    st.lists(JSON.map(orjson.dumps) | st.binary(max_size=20), max_size=5),
)
@settings(max_examples=80, deadline=None)
def test_any_run_directory_is_read_or_refused_in_one_line(parts: list[bytes], ledger: list[bytes]) -> None:
    """Torn, foreign, or newer: harness and report read what there is or say in one line why not."""
    run_directory(b"\n--\n".join([parts[0], b"\n".join(ledger), *parts[1:]]))


SEEDS = {
    "outcome": [
        b"\x01\x00\xe5TooManyRequestsException\n{}",
        b'\x01\x00\xe5\n{"__type":"com.amazonaws.connect#LimitExceededException","message":"m"}',
    ],
    "workload": [
        (ROOT / "harness" / "load" / "workload" / "builtin.toml").read_bytes(),
        b'[[kind]]\nname="a"\ninvalid=true\n[kind.attributes]\ncount=[1,2]\n[kind.message]\ntexts="hi"\n',
    ],
    "run_directory": [
        b'{"schema":1,"status":"running"}\n--\n{"ledger":1}\n{"event":"started","contact_id":"c","at":1}\n--\n\n--\nPAR1'
    ],
}


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris has no wheel for this platform")
@pytest.mark.parametrize(("target", "runs"), [("outcome", 20_000), ("workload", 2_000), ("run_directory", 150)])
def test_coverage_guided_fuzzing_finds_nothing(tmp_path: Path, target: str, runs: int) -> None:
    """A bounded run of libFuzzer over each target, from a fixed seed, ends without a finding."""
    assert target in TARGETS
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(SEEDS[target]):
        (corpus / str(number)).write_bytes(seed)
    command = [sys.executable, "-m", "tests.fuzz.targets", target, f"-runs={runs}", "-seed=1", "-max_total_time=10"]
    done = subprocess.run(
        [*command, f"-artifact_prefix={tmp_path}/", str(corpus)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
