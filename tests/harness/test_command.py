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
        "import signal, sys, types",
        "signal.signal(signal.SIGINT, signal.default_int_handler)",  # which a shell's background jobs ignore
        "import harness.command as command",
        "sys.modules['raising'] = types.SimpleNamespace(main=lambda rest: signal.raise_signal(2))",
        "command.COMMANDS['runs'] = ('raising:main', '')",
        "command.main()",
    )
    ended = subprocess.run(
        [sys.executable, "-c", "\n".join(lines), "runs"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")


MAIN = "import sys; from harness.command import main; sys.exit(main())"


def shell(line: str, cwd: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a line of a shell in which `chatquota` is the command of this checkout."""
    command = f"chatquota() {{ {sys.executable} -c '{MAIN}' \"$@\"; }}; {line}"
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        ["bash", "-c", command], cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_changes_nothing(closed: str, tmp_path: Path) -> None:
    """What would be said goes nowhere, and into no file that the command opens; the exit code is what it would be."""
    assert shell(f"chatquota init made {closed}", tmp_path).returncode == 0
    assert shell("chatquota init whole", tmp_path).returncode == 0
    for file in (tmp_path / "whole").iterdir():
        assert (tmp_path / "made" / file.name).read_bytes() == file.read_bytes()
    assert shell(f"chatquota repotr {closed}", tmp_path).returncode == 2
    ended = shell(f"chatquota completion bash {closed}", tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_reader_that_has_gone_changes_no_exit_code(tmp_path: Path) -> None:
    """A command behind `| head` does what it does to the end: a gate that is breached is told."""
    main = "lambda rest: [print(line) for line in range(99999)] and 1"
    lines = f"import sys, types, harness.command as command; sys.modules['long'] = types.SimpleNamespace(main={main})"
    script = f"{lines}; command.COMMANDS['runs'] = ('long:main', ''); sys.exit(command.main())"
    (tmp_path / "long.py").write_text(script, "utf-8")
    for unbuffered in ("", "1"):
        line = f"{sys.executable} long.py runs | head -n 1; exit ${{PIPESTATUS[0]}}"
        ended = shell(line, tmp_path, PYTHONUNBUFFERED=unbuffered)
        assert (ended.returncode, ended.stdout, ended.stderr) == (1, "0\n", "")


def test_what_the_encoding_of_the_terminal_lacks_is_written_as_escapes(tmp_path: Path) -> None:
    """A plus-minus sign of a plan, or a name, ends in no traceback where the locale is none of Unicode."""
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ended = shell("chatquota plan --arrivals 4/s --length 8m", tmp_path, **ascii_only)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "\\xb1" in ended.stdout


@pytest.mark.parametrize("seconds", ["0", "-5", "1e3", "1000000", "\u0665"])
def test_a_demonstration_lasts_whole_seconds(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no number of seconds is refused in one line, before anything is offered."""
    with pytest.raises(SystemExit) as leaving:
        main(["demo", f"--seconds={seconds}"])
    assert leaving.value.code == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)


@pytest.mark.slow
def test_a_demonstration_reports_on_no_earlier_run(tmp_path: Path) -> None:
    """Where its directory holds a run already, that is the one line: the report of the other run would pass for its own."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"schema": 1, "status": "finished"}')
    ended = shell("chatquota demo --run-dir run", tmp_path)
    assert ended.returncode == 2
    assert "it already holds a run; name a new directory" in ended.stderr
    assert not (tmp_path / "run" / "report.html").exists()
