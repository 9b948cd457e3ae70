"""`chatquota cleanup` of any damaged or hostile run directory does its work or ends in one line."""

import random
import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.command import main
from tests.support.locust_runs import ROOT

GOLDEN = ROOT / "tests" / "golden"
ODD: list[Any] = [
    *(
        None,
        True,
        -1,
        0,
        2,
        1.5,
        1e300,
        2**63,
        2**64 - 1,
        "",
        "x",
        "\x00",
        "../../x",
        "*",
        "http://203.0.113.9:1",
        "us east",
    ),
    *("https://connect.us-east-1.amazonaws.com", [], [1], [[]], {}, {"a": {}}, {"1e9": -1}, "y" * 3000),
]
several = settings(max_examples=150, suppress_health_check=list(HealthCheck), deadline=None)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A place for a run directory that each example makes anew."""
    return tmp_path / "run"


def _fresh(run: Path, golden: str = "run-0.1") -> Path:
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(GOLDEN / golden, run)
    return run


def _clean(run: Path, capsys: pytest.CaptureFixture[str], *options: str) -> int:
    """Run the command; whatever it finds, it returns an exit code, and a refusal is one line."""
    code = main(["cleanup", str(run), *options])
    said = capsys.readouterr().err
    assert code in (0, 2, 3, 5)
    assert "Traceback" not in said
    if code == 2:
        assert said.startswith("chatquota cleanup: ")
        assert said.count("\n") == 1
    return code


def _mutate(value: Any, draw: random.Random) -> Any:
    """Replace, remove or add one thing somewhere in a JSON value."""
    if isinstance(value, dict) and value and draw.random() < 0.85:
        key = draw.choice(list(value))
        if draw.random() < 0.1:
            return {name: item for name, item in value.items() if name != key}
        return {**value, key: _mutate(value[key], draw)}
    if isinstance(value, list) and value and draw.random() < 0.7:
        index = draw.randrange(len(value))
        return [*value[:index], _mutate(value[index], draw), *value[index + 1 :]]
    return draw.choice(ODD)


def _damage(content: bytes, draw: random.Random) -> bytes:
    """Flip, cut or repeat some bytes."""
    data = bytearray(content)
    kind = draw.random()
    if kind < 0.6:
        for _ in range(draw.choice([1, 1, 3, 20])):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    elif kind < 0.8:
        del data[draw.randrange(len(data)) :]
    else:
        at = draw.randrange(len(data))
        data[at:at] = data[: draw.randrange(200)]
    return bytes(data)


@pytest.mark.slow
@several
@given(seed=st.integers(0, 2**32), killed=st.booleans())
def test_any_manifest(seed: int, killed: bool, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run.json with up to three odd values."""
    _fresh(run, "run-0.1-killed" if killed else "run-0.1")
    draw = random.Random(seed)
    tables = orjson.loads((run / "run.json").read_bytes())
    for _ in range(draw.randrange(1, 4)):
        tables = _mutate(tables, draw)
    (run / "run.json").write_bytes(orjson.dumps(tables) if draw.random() < 0.9 else _damage(orjson.dumps(tables), draw))
    _clean(run, capsys)


@pytest.mark.slow
@several
@given(seed=st.integers(0, 2**32))
def test_any_ledger(seed: int, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A ledger with odd values, torn lines, foreign lines or lost endings."""
    _fresh(run)
    draw = random.Random(seed)
    path = run / draw.choice(["contacts.local.jsonl", "contacts.cleanup.jsonl"])
    lines = path.read_bytes().splitlines()
    if draw.random() < 0.6:
        index = draw.randrange(len(lines))
        lines[index] = orjson.dumps(_mutate(orjson.loads(lines[index]), draw))
        content = b"\n".join(lines) + b"\n"
    else:
        content = _damage(path.read_bytes(), draw)
    path.write_bytes(content)
    _clean(run, capsys)


@pytest.mark.slow
@several
@given(seed=st.integers(0, 2**32))
def test_any_parquet_file(seed: int, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Samples whose file is damaged anywhere are read as far as they can be, or are said to be lost."""
    _fresh(run)
    path = run / "samples" / "local-00000.parquet"
    path.write_bytes(_damage(path.read_bytes(), random.Random(seed)))
    tables = orjson.loads((run / "run.json").read_bytes())
    (run / "run.json").write_bytes(orjson.dumps({**tables, "status": "running"}))
    _clean(run, capsys)


@pytest.mark.slow
@several
@given(seed=st.integers(0, 2**32))
def test_any_journal_is_read_whole_or_kept(seed: int, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No byte of a damaged journal is lost; one that ends early, between two batches, is found out by the tally."""
    _fresh(run, "run-0.1-killed")
    path = run / "samples" / "local-00000.arrows"
    content = _damage(path.read_bytes(), random.Random(seed))
    path.write_bytes(content)
    code = _clean(run, capsys)
    kept = [file for file in (run / "samples").iterdir() if file.suffix in (".arrows", ".damaged")]
    if code == 0:
        generator = orjson.loads((run / "run.json").read_bytes())["generator"]
        assert kept or generator["samples_recorded"] + generator["samples_lost"] >= 12
    assert all(file.read_bytes() == content for file in kept)


def test_a_word_of_many_megabytes_or_a_deep_table_is_one_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sizes are bounded before anything is read."""
    _fresh(run)
    (run / "run.json").write_bytes(b'{"schema":1,"options":' + b"[" * 100_000)
    assert _clean(run, capsys) == 2
    with (run / "run.json").open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    assert _clean(run, capsys) == 2
    _fresh(run)
    with (run / "contacts.local.jsonl").open("ab") as file:
        file.write(b'{"event":"started","at":1,"contact_id":"' + b"x" * 5_000_000 + b'"}\n')
    assert _clean(run, capsys) == 0
