"""Shell completion: the scripts offer what the commands declare."""

import shutil
import subprocess
from pathlib import Path

import pytest

from harness.cli.completion import SHELLS, script, words_by_command
from harness.command import COMMANDS
from harness.load.options.reading import OPTIONS


@pytest.fixture(scope="module")
def words() -> dict[str, tuple[str, ...]]:
    """What may follow each command."""
    return words_by_command()


def test_every_command_and_option_is_offered(words: dict[str, tuple[str, ...]]) -> None:
    """Each command is there; `run` has the harness's options, Locust's and the user classes."""
    assert set(words) == set(COMMANDS)
    assert {each.flag for each in OPTIONS} <= set(words["run"])
    assert {"--headless", "--run-time", "QuotaProbe"} <= set(words["run"])
    assert "--gates" in words["report"]


def test_bash_completes(words: dict[str, tuple[str, ...]], tmp_path: Path) -> None:
    """A bash that has read the script completes a command and an option of `run`."""
    path = tmp_path / "completion.bash"
    path.write_text(script("bash", words))
    ask = (
        f"source {path}; COMP_WORDS=(chatquota comp); COMP_CWORD=1; _chatquota; echo ${{COMPREPLY[@]}};"
        "COMP_WORDS=(chatquota run --max-ch); COMP_CWORD=2; _chatquota; echo ${COMPREPLY[@]}"
    )
    said = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True).stdout.splitlines()
    assert said == ["compare completion", "--max-chats"]


@pytest.mark.parametrize("shell", SHELLS)
def test_scripts_are_accepted_by_their_shells(shell: str, words: dict[str, tuple[str, ...]], tmp_path: Path) -> None:
    """Each shell that is installed here finds no mistake in its script."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    path = tmp_path / "completion"
    path.write_text(script(shell, words))
    assert subprocess.run([shell, "-n", str(path)], check=False).returncode == 0
