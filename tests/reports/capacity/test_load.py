"""Reading capacity.json again: what this version writes, what 0.1 wrote, and what is not one."""

import json
from pathlib import Path

import pytest

from harness.command import main
from harness.errors import UsageError
from reports.capacity.load import load_capacity, parse_capacity
from reports.capacity.model import SCHEMA, to_json
from reports.capacity.sentences import headline, target
from tests.reports.answers import EMPTY
from tests.reports.conftest import MakeRun
from tests.support.locust_runs import ROOT

SCHEMA_1 = ROOT / "tests" / "golden" / "capacity-schema-1"


def test_what_is_written_reads_as_it_was(make_run: MakeRun) -> None:
    """An answer survives being written and read: no member is lost."""
    path = make_run()
    assert main(["report", str(path), "--quiet", "--no-figures"]) == 0
    answer = load_capacity(path)
    assert answer.schema == SCHEMA
    assert json.loads((path / "capacity.json").read_bytes()) == json.loads(to_json(answer))


def test_an_answer_of_schema_1_is_read() -> None:
    """The capacity.json that 0.1 wrote has its limits and its target, and no class."""
    answer = load_capacity(SCHEMA_1)
    assert answer.tps.exact
    assert answer.tps.class_ is None
    assert target(answer) == "LAB emulator http://127.0.0.1:4000"
    assert headline(answer).startswith("This instance starts ")


def test_schemas_1_and_2_compare(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    """A run of 0.1 and one of today compare without an exception; only their limits do."""
    path = make_run()
    main(["report", str(path), "--quiet", "--no-figures"])
    assert main(["compare", str(SCHEMA_1), str(path)]) in (0, 1)
    assert "tps.rate" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a capacity.json"),
        (b"[]", "is not a capacity.json"),
        (b'{"schema": 3}', "schema 3"),
        (b'{"schema": 2}', "is not a capacity.json"),
        (b"[" * 100_000, "is not a capacity.json"),
        (to_json(EMPTY).replace('"estimate": null', '"estimate": NaN').encode(), "is not a capacity.json"),
        (to_json(EMPTY).replace('"estimate": null', '"estimate": 1e999').encode(), "is not a capacity.json"),
        (
            to_json(EMPTY).replace('"quantile_error": 0.001', f'"quantile_error": {"9" * 5000}').encode(),
            "capacity.json",
        ),
    ],
)
def test_what_is_no_answer_is_refused_in_one_line(content: bytes, message: str) -> None:
    """Each says which file and how to make one."""
    with pytest.raises(UsageError, match=message) as refused:
        parse_capacity(content, "here")
    assert "\n" not in str(refused.value)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A FIFO in the place of capacity.json is refused at once."""
    import os

    os.mkfifo(tmp_path / "capacity.json")
    with pytest.raises(UsageError, match="not a plain file"):
        load_capacity(tmp_path)
