"""What the generator's benchmarks share: processes on one core and their CPU, an nginx that answers, tables."""

import contextlib
import os
import platform
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RIVALS = Path(__file__).resolve().parent / "rivals"
_TICKS = os.sysconf("SC_CLK_TCK")
_PATIENCE = 60.0
_TOKEN = "QVFJREFIZ" + "x4Kd9".join("AbCdEfGhIjKlMnOpQrSt")
"""As long as AWS's participant tokens are, about."""

_NGINX = """
worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_body_buffer_size 64k;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  default_type application/json;
  map $request_id $contact_id {{ "~^(.{{8}})(.{{4}})(.{{4}})(.{{4}})(.{{12}})$" $1-$2-$3-$4-$5; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096 {tls};
    {certificate}
    location = /contact/chat {{
      return 200 '{{"ContactId":"$contact_id","ParticipantId":"$contact_id","ParticipantToken":"{token}"}}';
    }}
    location = /contact/stop {{ return 200 '{{}}'; }}
  }}
  server {{ listen 127.0.0.1:{status_port}; location = /status {{ stub_status; access_log off; }} }}
}}
"""


@dataclass(frozen=True)
class Nginx:
    """A running nginx that answers StartChatContact and StopContact with JSON as long as AWS's, and a UUID for each chat."""

    url: str
    status_url: str
    certificate: str

    def served(self) -> int:
        """Requests answered since it was started."""
        with urllib.request.urlopen(self.status_url, timeout=10) as answer:
            text = answer.read().decode()
        return int(re.findall(r"\n +\d+ +\d+ +(\d+)", text)[0])


def cores() -> tuple[int, int]:
    """The core for what is measured and the one for its target; the same one where there is no other."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


@contextlib.contextmanager
def nginx(tls: bool = False) -> Iterator[Nginx]:
    """Start nginx on the target's core. Raises SystemExit, with what to do, where there is none."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise SystemExit("nginx is not installed; this benchmark needs it as its target: apt-get install nginx-light")
    with tempfile.TemporaryDirectory(prefix="bench-nginx-") as directory:
        Path(directory).chmod(0o755)  # its worker is another user
        port, status_port = free_port(), free_port()
        certificate = _certificate(Path(directory)) if tls else ""
        lines = f"ssl_certificate {certificate}; ssl_certificate_key {certificate};" if tls else ""
        config = Path(directory) / "nginx.conf"
        config.write_text(
            _NGINX.format(
                directory=directory,
                port=port,
                status_port=status_port,
                tls="ssl" if tls else "",
                certificate=lines,
                token=_TOKEN,
            )
        )
        process = start([program, "-p", directory, "-c", str(config)], cores()[1], stderr=subprocess.DEVNULL)
        try:
            target = Nginx(f"http{'s' * tls}://127.0.0.1:{port}", f"http://127.0.0.1:{status_port}/status", certificate)
            _wait_until_up(process, status_port, Path(directory) / "error.log")
            yield target
        finally:
            process.terminate()
            process.wait(10)


def take_core(core: int) -> None:
    """Run on one core and, where we may, in real time: before whatever else this machine has to do.

    Otherwise a process would be measured waiting for its core.
    """
    os.sched_setaffinity(0, {core})
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def start(command: Sequence[str], core: int, **options: Any) -> "subprocess.Popen[bytes]":
    """Start a process as `take_core` does it for this one."""
    return subprocess.Popen(command, preexec_fn=lambda: take_core(core), start_new_session=True, **options)


def locust(arguments: Sequence[str], locustfile: Path = ROOT / "locustfile.py") -> list[str]:
    """The command of a headless Locust."""
    return [sys.executable, "-m", "locust", "-f", str(locustfile), "--headless", *arguments]


def cpu_seconds(pid: int) -> float:
    """User and system CPU of a process so far."""
    values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(values[11]) + int(values[12])) / _TICKS


@dataclass(frozen=True)
class Window:
    """What a process did in a while: CPU microseconds a call, calls per second, and how busy its core was (0 to 1)."""

    us_per_call: float
    per_second: float
    busy: float


def measure(command: Sequence[str], target: Nginx, warm_up: float, seconds: float, env: dict[str, str]) -> Window:
    """Run `command` until it has called for `warm_up` seconds, then watch it for `seconds`. Raises RuntimeError."""
    with tempfile.TemporaryFile("w+") as said:
        process = start(command, cores()[0], cwd=ROOT, stdout=said, stderr=said, env={**os.environ, **env})
        try:
            before, deadline = target.served(), time.monotonic() + _PATIENCE
            while target.served() < before + 200:
                if process.poll() is not None or time.monotonic() > deadline:
                    said.seek(0)
                    raise RuntimeError(f"{' '.join(command)} makes no calls:\n{said.read()[-2000:]}")
                time.sleep(0.2)
            time.sleep(warm_up)
            calls, cpu, began = target.served(), cpu_seconds(process.pid), time.perf_counter()
            time.sleep(seconds)
            calls, cpu, took = (
                target.served() - calls,
                cpu_seconds(process.pid) - cpu,
                time.perf_counter() - began,
            )
        finally:
            process.kill()
            process.wait()
    return Window(cpu / max(calls, 1) * 1e6, calls / took, cpu / took)


def raise_file_limit() -> None:
    """Allow this process as many open files as the system lets it have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def spread(figures: Sequence[float], form: str = ",.1f") -> str:
    """Median and, in brackets, the least and the most."""
    return f"{statistics.median(figures):{form}} [{min(figures):{form}}, {max(figures):{form}}]"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side, the first one to the left."""
    lines = [list(heads), *(list(row) for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def machine() -> str:
    """What it was measured on, in a line."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    return f"{len(os.sched_getaffinity(0))} cores of {model}, Linux {platform.release()}, Python {platform.python_version()}"


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_up(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"nginx did not start: {log.read_text() if log.exists() else 'no log'}")


def _certificate(directory: Path) -> str:
    path = directory / "server.pem"
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        ["openssl", "req", "-x509", *key, *name, "-keyout", str(path), "-out", str(directory / "cert"), "-days", "30"],
        check=True,
        capture_output=True,
    )
    path.write_bytes(path.read_bytes() + (directory / "cert").read_bytes())
    return str(path)
