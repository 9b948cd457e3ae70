"""Files that a user names: whatever they hold, they are read or refused in one line, and soon."""

import json
import os
from pathlib import Path

import pytest

from harness.cli.init import main as init
from harness.emulator.http.page_requests import Condition, PageError
from harness.emulator.settings.flow import read_flow
from harness.emulator.settings.values import SettingsError
from harness.errors import UsageError
from harness.gates import read_gates
from harness.load.workload.toml import load_workload

NESTED = b"a = " + b"[" * 20_000
TOML = [
    pytest.param(NESTED, "nested too deeply", id="nested"),
    pytest.param(b"a = " + b"9" * 5_000, "digits", id="digits"),
    pytest.param(b".".join([b"a"] * 20_000) + b" = 1", "200 dotted parts", id="dotted"),
    pytest.param(b"[" + b'"a" . ' * 20_000 + b"a]", "200 dotted parts", id="dotted-header"),
]


@pytest.mark.parametrize(("content", "said"), TOML)
def test_toml_that_no_person_writes_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    """Gates, workload and flow: nesting, digits and keys without end are one line."""
    path = tmp_path / "file.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=said):
        read_gates(path)
    with pytest.raises(UsageError, match=said):
        load_workload(str(path))
    with pytest.raises(SettingsError, match=said):
        read_flow(str(path))


def test_a_flow_is_a_regular_file_of_a_bounded_size(tmp_path: Path) -> None:
    """A pipe, a device, a directory and a file that is far too long are refused, and not waited for."""
    pipe, long = tmp_path / "pipe", tmp_path / "long.toml"
    os.mkfifo(pipe)
    long.write_bytes(b"#" * (5 << 20))
    for path, said in ((pipe, "not a regular file"), (Path("/dev/zero"), "not a regular file"), (long, "4,194,304")):
        with pytest.raises(SettingsError, match=said):
            read_flow(str(path))
    with pytest.raises(SettingsError, match="irectory"):
        read_flow(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[queue]\nagents = 1000000000000000", "queue.agents: wants 0 to 100,000"),
        ("[queue]\nagents = -3", "queue.agents: wants 0 to 100,000"),
        ('[[rules]]\non = "message"\nmatches = "a{99999999999}"\nsteps = [{ end = true }]', "not a regular expression"),
    ],
)
def test_numbers_of_a_flow_are_bounded(content: str, said: str, tmp_path: Path) -> None:
    """No number of a flow file fills the memory or ends the emulator."""
    path = tmp_path / "flow.toml"
    path.write_text(content)
    with pytest.raises(SettingsError, match=said):
        read_flow(str(path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b'{"Transcript": [{"Type": "MESSAGE", "ParticipantId": [1], "Content": "x"}]}', "says nothing"),
        (b'{"Transcript": [], "Participants": [{"ParticipantId": {}, "ParticipantRole": "AGENT"}]}', "says nothing"),
    ],
)
def test_a_transcript_of_anything_is_refused_in_one_line(content: bytes, said: str, tmp_path: Path) -> None:
    """Nesting without end and ids that are no texts are one line."""
    path = tmp_path / "transcript.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=said):
        init([str(tmp_path / "new"), "--script", str(path)])


def test_a_line_about_a_long_value_is_short_and_keeps_its_advice() -> None:
    """Of a value that fills a screen the middle is left out."""
    advice = "is no rate; write 4/s"
    for error in (
        UsageError(f"{'x' * 50_000} {advice}"),
        UsageError("\0" * 50_000 + advice),
        SettingsError("y" * 50_000 + advice),
    ):
        assert len(str(error)) < 3_100
        assert str(error).endswith("; write 4/s")


@pytest.mark.parametrize("pattern", ["(", "a{99999999999}", "(" * 3000 + ")" * 3000])
def test_a_condition_on_a_message_is_a_regular_expression(pattern: str) -> None:
    """What the emulator is asked to wait for is refused as any other mistake, not with an error of the server's."""
    with pytest.raises(PageError, match="until=message="):
        Condition.read({"until": f"message={pattern}"})


def test_a_transcript_whose_name_is_no_text_becomes_a_script(tmp_path: Path) -> None:
    """The conversation is named after the file, whatever bytes its name holds."""
    said = {"Type": "MESSAGE", "ParticipantRole": "CUSTOMER", "Content": "hi", "AbsoluteTime": "2026-01-01T00:00:00Z"}
    path = tmp_path / os.fsdecode(b"t\xff.json")
    path.write_text(json.dumps({"Transcript": [said]}))
    assert init([str(tmp_path / "new"), "--script", str(path)]) == 0
    assert load_workload(str(tmp_path / "new" / "conversations.toml")).conversations
