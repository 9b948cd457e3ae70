"""Wrong command lines of Locust: each is one line that says what to do, with the documented exit code, and no call."""

import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.support.locust_runs import LOCUST, ROOT, chatquota_environment


def run(directory: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run Locust to its end and return its exit code and what it printed."""
    done = subprocess.run(
        [*LOCUST, *arguments],
        cwd=directory,
        env=chatquota_environment(**environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--headless", "StrtChat"], "no user class 'StrtChat'; did you mean StartChat?"),
        (["--headless", "StartChat", "-u", "-3"], "'-3': a whole number of users from 1"),
        (["--headless", "StartChat", "-u", "0"], "'0': a whole number of users from 1"),
        (["--headless", "StartChat", "--processes", "0"], "'0': a whole number of processes from 1"),
        (["--headless", "StartChat", "--processes", "-5"], "'-5': a whole number of processes from 1"),
        (["--headless", "StartChat", "--tags", "foo"], "--tags foo leaves StartChat no task"),
        (["--headless", "StartChat", "--starts-per-user", "1e300"], "--starts-per-user 1e+300"),
        (["--headless", "StartChat", "--run-dir", "/proc/x"], "--run-dir /proc/x: /proc cannot be written to"),
        (["--headless", "StartChat", "--instance-id", "abc"], "--instance-id without --host or --live"),
        (["--live"], "--live needs --approval"),
        (["--worker", "--master"], "--master and --worker do not go together: a process is the one or the other"),
        (
            ["StartChat", "--processes", "2", "--master"],
            "--master and --processes do not go together: leave --master out",
        ),
        (["--web-base-path", "load"], "'load' does not begin with a slash; write /load"),
    ],
)
def test_wrong_command_line_is_one_line_and_exit_code_2(tmp_path: Path, arguments: list[str], said: str) -> None:
    """What Locust would take as it comes, or answer with a traceback, is a usage error before anything runs."""
    code, printed = run(tmp_path, *arguments)
    assert code == 2, printed
    assert said in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "runs").exists()
    errors = [line for line in printed.splitlines() if not re.match(r"\[\d{4}-", line)]
    assert len(errors) == 1, printed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["QuotaProbe", "-u", "5"], "QuotaProbe probes once, however many users there are; the other 4 do nothing"),
        ([], "no user class is named: the run is of StartChat"),
    ],
)
def test_what_locust_would_do_in_silence_is_said(tmp_path: Path, arguments: list[str], said: str) -> None:
    """Users that a probe has no use for, and the class that a run has by default, are named before the first call."""
    code, printed = run(tmp_path, "--headless", "-t", "1s", "--host", "http://127.0.0.1:9", *arguments)
    assert said in printed
    assert code == 3, printed


@pytest.mark.slow
def test_port_in_use_is_one_line(tmp_path: Path) -> None:
    """A web UI whose port another program has says so and ends."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, printed = run(tmp_path, "--web-port", str(taken.getsockname()[1]))
    assert code == 2, printed
    assert "address already in use; choose another with --web-port" in printed
    assert "Traceback" not in printed


def test_port_for_workers_in_use_is_one_line(tmp_path: Path) -> None:
    """A master beside another one says so and ends, though Locust binds before any listener is asked."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, printed = run(tmp_path, "StartChat", "--headless", "--master", "--master-bind-port", port)
    assert code == 2, printed
    assert "choose another port with --master-bind-port" in printed
    assert "Traceback" not in printed


def test_https_to_a_port_that_speaks_http_says_what_to_write(tmp_path: Path) -> None:
    """The commonest mistake with a local server is named, with the URL that works."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        code, printed = run(tmp_path, "--headless", "StartChat", "-t", "1s", "--host", url)
        thread.join(10)
    assert code == 3, printed
    assert f"speaks http: write {url.replace('https', 'http')}" in printed


@pytest.mark.slow
def test_run_that_cannot_begin_ends_with_one_line(tmp_path: Path) -> None:
    """An answer that no SDK expects, in the middle of beginning, ends the run instead of leaving it idle."""
    (tmp_path / "locustfile.py").write_text(
        "import locustfile_of_chatquota as base\n"
        "from harness.load.run.local import LocalCoordinator\n"
        "def broken(self, *arguments):\n    raise RuntimeError('captive portal')\n"
        "LocalCoordinator._begin_load = broken\n"
        "StartChat = base.StartChat\n"
    )
    (tmp_path / "locustfile_of_chatquota.py").write_text((ROOT / "locustfile.py").read_text())
    command = [*LOCUST[:-1], str(tmp_path / "locustfile.py"), "--headless", "StartChat", "-t", "20s"]
    done = subprocess.run(
        command, cwd=tmp_path, env=chatquota_environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "the run could not begin: RuntimeError: captive portal" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("shape", [(), ("--load-shape", "soak:1h")], ids=["", "shape"])
def test_live_run_is_ended_in_its_countdown_by_ctrl_c(tmp_path: Path, number: int, shape: tuple[str, ...]) -> None:
    """Ctrl-C between the announcement and the first call: exit code 4, no run directory, and no chat. So other signals."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        guard = ("--live", "--approval", "case 1", "--max-chats", "5", "--any-hour", "--region", "us-east-1")
        command = [*LOCUST, "--headless", "StartChat", "-u", "3", "--host", url, *guard]
        command += ["--instance-id", "i-1", "--contact-flow-id", "f-1", *shape]
        keys = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL_STS": url}
        with (tmp_path / "printed").open("wb") as sink:
            process = subprocess.Popen(
                command,
                cwd=tmp_path,
                env=chatquota_environment(**keys),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )
        thread = threading.Thread(target=_answer_all, args=(server,), daemon=True)
        thread.start()
        try:
            give_up = time.monotonic() + 60
            while "the first call leaves in 5 s" not in (tmp_path / "printed").read_text():
                assert time.monotonic() < give_up
                assert process.poll() is None, (tmp_path / "printed").read_text()
                time.sleep(0.05)
            process.send_signal(number)
            code = process.wait(30)
        finally:
            process.kill()
            process.wait()
    printed = (tmp_path / "printed").read_text()
    assert code == 4, printed
    assert "LIVE account unknown" in printed
    assert "up to 3 starts/s (3 users x 1); at most 5 chats in all" in printed
    assert not (tmp_path / "runs").exists()
    assert "Traceback" not in printed


def _answer_all(server: socket.socket) -> None:
    try:
        while True:
            connection = server.accept()[0]
            if connection.recv(65_536).startswith(b"GET / "):  # STS and the rest get no answer
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            connection.close()
    except OSError:
        pass
