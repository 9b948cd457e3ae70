"""A Locust web UI as a process of its own, and Debian's Chromium to look at it."""

import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.locust_runs import LOCUST, ROOT, free_port

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 60.0


@dataclass
class WebUi:
    """Where a web UI is, where its runs are recorded, where what it prints goes, and its process."""

    url: str
    directory: Path
    log: Path
    pid: int

    @property
    def runs(self) -> list[Path]:
        """The run directories, oldest first."""
        return sorted((self.directory / "runs").glob("*"), key=lambda path: path.stat().st_mtime_ns)

    def manifests(self) -> list[dict[str, Any]]:
        """Their manifests."""
        return [json.loads((run / "run.json").read_bytes()) for run in self.runs]


@contextlib.contextmanager
def web_ui(directory: Path, *options: str, base: str = "", **environment: str) -> Iterator[WebUi]:
    """Run Locust's web UI in `directory`; it and its children are killed at the end."""
    port = free_port()
    where = ["--web-host", "127.0.0.1", "--web-port", str(port)]
    if "--processes" in options:  # on a port of its own: another test may have workers at the same time
        talk = str(free_port())
        where += ["--master-bind-port", talk, "--master-port", talk]
    log = directory / "printed.txt"
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LOCUST_", "CHATQUOTA_"))},
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONPATH": str(ROOT),
        **environment,
    }
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [*LOCUST, *where, *options],
            cwd=directory,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    found = WebUi(f"http://127.0.0.1:{port}{base}", directory, log, process.pid)
    try:
        try:
            wait_for(lambda: _answers(found.url), "web UI")
        except AssertionError as error:
            error.add_note(log.read_text())
            raise
        yield found
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(reached: Callable[[], bool], what: str) -> None:
    """Wait until it is so."""
    give_up = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < give_up, f"no {what} within {PATIENCE:g} s"
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/", timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


@contextlib.contextmanager
def browser_page() -> Iterator[Any]:
    """A page of Chromium; without Chromium the test is skipped, but never in CI."""
    if not CHROMIUM.exists():
        reason = f"{CHROMIUM} is not there; Debian has it as the package chromium"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE * 500)  # Playwright's own five seconds are few on a busy machine

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
            page.set_default_timeout(PATIENCE * 1000)
            yield page
        finally:
            browser.close()
