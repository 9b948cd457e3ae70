"""The container image, really built and run: Debian's buildah on a base that mmdebstrap makes.

TEST_IMAGE_BASE may name a tarball of such a base that is there already.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.counting import CountingServer, counting_server
from tests.support.locust_runs import PATIENCE, ROOT, free_port, wait_until_started

TOOLS = ("buildah", "mmdebstrap")
missing = [tool for tool in TOOLS if shutil.which(tool) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(bool(missing), reason=f"{' and '.join(missing)} not installed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="a base made by mmdebstrap and chroot isolation need root"),
]
PACKAGES = "python3,python3-venv,ca-certificates"


def say(command: list[str]) -> str:
    """What a command prints; it must end with exit code 0."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@dataclass
class Image:
    """A built image and a container of it, in a storage of its own."""

    buildah: list[str]
    container: str

    def command(self, *arguments: str, **environment: str) -> list[str]:
        """The command line that runs `arguments` in the container."""
        variables = [part for name, value in environment.items() for part in ("--env", f"{name}={value}")]
        return [*self.buildah, "run", "--isolation", "chroot", *variables, self.container, "--", *arguments]

    def run(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run `arguments` in the container to their end."""
        command = self.command(*arguments, **environment)
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The image, built from this source tree with the locked wheels."""
    place = tmp_path_factory.mktemp("image")
    base = Path(os.environ.get("TEST_IMAGE_BASE", place / "base.tar"))
    if not base.exists():
        say(["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(base)])
    lock, wheels = str(ROOT / "requirements.lock"), str(place / "wheels")
    # With the index of this machine; the build itself then needs none.
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--dest", wheels]
    say([*download, "--python-version", "3.11", "--only-binary=:all:", "--requirement", lock])
    storage = ["--root", str(place / "storage"), "--runroot", str(place / "runroot"), "--storage-driver", "vfs"]
    buildah = ["buildah", *storage]
    try:
        scratch = say([*buildah, "from", "scratch"]).strip()
        say([*buildah, "add", "--quiet", scratch, str(base), "/"])
        say([*buildah, "commit", "--quiet", scratch, "localhost/base"])
        say([*buildah, "rm", scratch])
        options = ["--isolation", "chroot", "--format", "docker", "--volume", f"{wheels}:/wheels:ro"]
        arguments = ["BASE=localhost/base", "PIP_FIND_LINKS=/wheels", "PIP_NO_INDEX=1"]
        options += [part for argument in arguments for part in ("--build-arg", argument)]
        say([*buildah, "build", *options, "-f", str(ROOT / "deploy/Containerfile"), "-t", "chatquota", str(ROOT)])
        container = say([*buildah, "from", "localhost/chatquota"]).strip()
        yield Image(buildah, container)
    finally:
        for command in (["rm", "--all"], ["rmi", "--all", "--force"]):
            subprocess.run([*buildah, *command], capture_output=True, timeout=120, check=False)


def descendants(pid: int) -> list[int]:
    """The processes below a process, nearest first."""
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):  # any thread may have started one
        with suppress(OSError):
            children += [int(child) for child in task.read_text().split()]
    return children + [below for child in children for below in descendants(child)]


def chatquota_below(pid: int) -> int:
    """The first process of chatquota below a process: the one that a container engine would send its signal to."""
    for child in descendants(pid):
        words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        if b"python" in words[0] and words[1].endswith(b"bin/chatquota"):
            return child
    raise AssertionError(
        f"chatquota does not run: {[Path(f'/proc/{c}/cmdline').read_bytes() for c in descendants(pid)]}"
    )


def test_image_declares_how_to_run_it(image: Image) -> None:
    """A user without privileges, SIGTERM, the command, a health check and the two ports."""
    config = json.loads(say([*image.buildah, "inspect", "--type", "image", "localhost/chatquota"]))["Docker"]["config"]
    assert config["User"] == "10001:10001"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Entrypoint"] == ["chatquota"]
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert set(config["ExposedPorts"]) == {"8089/tcp", "5557/tcp"}


def test_image_holds_the_locked_versions_and_no_build_tools(image: Image) -> None:
    """Every package has the lock's version; neither pip nor setuptools nor a compiler nor our own sources are in it."""
    code = "import importlib.metadata as m; print('\\n'.join(f'{d.name}=={d.version}' for d in m.distributions()))"
    done = image.run("python", "-c", code)
    assert done.returncode == 0, done.stderr
    found = {line.lower().replace("_", "-").replace(".", "-") for line in done.stdout.split()}
    lock = re.findall(r"^([\w.-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    locked = {f"{name}=={version}".lower().replace("_", "-").replace(".", "-") for name, version in lock}
    assert len(found) > 40
    assert {line for line in found - locked if not line.startswith("chatquota==")} == set()
    for gone in ("import pip", "import setuptools", "import tests"):
        assert image.run("python", "-c", gone).returncode == 1
    for tool in ("gcc", "make", "git"):
        assert image.run("sh", "-c", f"command -v {tool}").returncode != 0
    assert image.run("sh", "-c", "ls /source").returncode != 0


def test_a_run_and_its_report_are_made_in_the_image(image: Image) -> None:
    """Without network and without privileges: the embedded emulator, the result table, the report with figures."""
    options = ("StartChat", "--headless", "-u", "10", "-r", "10", "-t", "8s", "--hold", "1s", "--run-dir", "runs/one")
    done = image.run("chatquota", "run", *options, "--only-summary")
    assert "first limit" in done.stdout + done.stderr, done.stderr
    assert done.returncode in (0, 5), done.stderr  # a busy machine may have made it late
    report = image.run("chatquota", "report", "runs/one")
    assert report.returncode == 0, report.stderr
    assert image.run("test", "-s", "runs/one/report.html").returncode == 0


def test_sigterm_drains_a_hundred_chats_within_a_grace_of_20_s(image: Image) -> None:
    """What an orchestrator does: SIGTERM, then 20 seconds. All chats are stopped, and the exit code is 0."""
    with counting_server("--latency", "0.02") as server:
        with running(image, server) as process:
            wait_until_started(server, 100)
            os.kill(chatquota_below(process.pid), signal.SIGTERM)
            assert process.wait(20) == 0
        counts = server.count()
        assert (counts["open"], counts["stopped"]) == (0, counts["started"])


class running:
    """A run with chats that last for ten minutes, in the image, against a server of this machine."""

    def __init__(self, image: Image, server: CountingServer) -> None:
        keys = ("access_key_id", "secret_access_key")
        environment = {f"AWS_{name.upper()}": server.announcement[name] for name in keys}
        load = ("--headless", "-u", "10", "-r", "10", "--hold", "600s", "--run-dir", "runs/two")
        command = image.command("chatquota", "run", "StartChat", "--host", server.endpoint, *load, **environment)
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self) -> "subprocess.Popen[bytes]":
        return self._process

    def __exit__(self, *_: object) -> None:
        for pid in (*descendants(self._process.pid), self._process.pid):
            if self._process.poll() is None:
                os.kill(pid, signal.SIGKILL)
        self._process.wait()


def test_health_check_knows_whether_the_web_ui_answers(image: Image) -> None:
    """It fails while nothing answers, passes once the page is there, and is content where no web UI is asked for."""
    config = json.loads(say([*image.buildah, "inspect", "--type", "image", "localhost/chatquota"]))["Docker"]["config"]
    check = config["Healthcheck"]["Test"][1:]
    port = str(free_port())
    address = {"HEALTH_URL": f"http://127.0.0.1:{port}/"}
    assert image.run(*check).returncode == 0
    assert image.run(*check, **address).returncode != 0
    web = subprocess.Popen(image.command("chatquota", "run", "--web-port", port), stderr=subprocess.DEVNULL)
    try:
        give_up = time.monotonic() + PATIENCE
        while image.run(*check, **address).returncode != 0:
            assert time.monotonic() < give_up
        os.kill(chatquota_below(web.pid), signal.SIGTERM)
        assert web.wait(PATIENCE) == 0
    finally:
        for pid in (*descendants(web.pid), web.pid):
            if web.poll() is None:
                os.kill(pid, signal.SIGKILL)
        web.wait()
