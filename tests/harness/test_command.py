"""The `chatquota` command: which subcommand runs, and what a wrong one is told."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness import __version__
from harness.command import COMMANDS, main

ROOT = Path(__file__).parents[2]


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`chatquota --help` lists each subcommand."""
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in COMMANDS)


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    """`chatquota --version` prints the version of the package."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"chatquota {__version__}"


def test_unknown_command_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A command that is not there is refused with the list of those that are, and exit code 2."""
    assert main(["repotr"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "repotr" in said[0]
    assert "report" in said[0]


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each subcommand explains itself."""
    with pytest.raises(SystemExit) as leaving:
        main([command, "--help"])
    assert leaving.value.code == 0
    assert f"chatquota {command}" in capsys.readouterr().out


def test_missing_run_directory_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    """A command's usage error is one line on standard error that names the command and what to do."""
    assert main(["report", "/nowhere/at/all"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("chatquota report: /nowhere/at/all")


@pytest.mark.parametrize("odd", ["a\nb", "a\r\n::error::b", "\x1b[31mred", "\u202egnp.exe", "gr\udcff\u00dfe"])
@pytest.mark.parametrize(
    "command",
    [
        ("report",),
        ("runs",),
        ("cleanup",),
        ("plan", "--length", "4s", "--arrivals"),
        ("plan", "--arrivals", "3/s", "--length", "4s", "--run"),
        ("emulator", "--emulator"),
        ("repotr",),
    ],
    ids=" ".join,
)
def test_a_name_that_cannot_be_printed_is_still_one_line(
    command: tuple[str, ...], odd: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Line ends, escapes of a terminal and bytes that are no text are written as escapes, whatever command refuses them."""
    try:
        code = main([*command, odd])
    except SystemExit as leaving:
        code = int(str(leaving.code))
    said = capsys.readouterr().err
    assert code == 2, said
    assert said.count("\n") == 1
    assert said.rstrip("\n").isprintable()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
@pytest.mark.parametrize("arguments", [["completion", "bash"], ["emulator", "--list-settings"]])
def test_what_cannot_be_written_for_want_of_room_is_one_line(arguments: list[str], tmp_path: Path) -> None:
    """A full disk behind standard output is no breached gate (exit code 1), and no traceback."""
    begin = "import sys; from harness.command import main; sys.exit(main())"
    command = [sys.executable, "-c", begin, *arguments]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            timeout=60,
            check=False,
        )
    said = f"chatquota {arguments[0]}: what it says cannot be written: no space left on device\n"
    assert (ended.returncode, ended.stderr) == (2, said)


def test_a_command_that_is_interrupted_ends_of_that_without_a_traceback() -> None:
    """Ctrl-C ends the process as a shell expects it, so that a script that called it ends too."""
    lines = (
        "import signal",
        "signal.signal(signal.SIGINT, signal.default_int_handler)",  # which a shell's background jobs ignore
        "import harness.command as command",
        "command.COMMANDS['report'] = ('signal:raise_signal', '')",
        "command._done = lambda name, raises, rest: raises(2)",
        "command.main()",
    )
    ended = subprocess.run(
        [sys.executable, "-c", "\n".join(lines), "report"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")
