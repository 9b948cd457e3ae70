"""The page holds AWS credentials: which addresses a process listens on, by the kernel's own account."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.harness.webui.support import wait_for
from tests.support.locust_runs import ROOT, chatquota_environment, children_of, free_port

LOCUST_IN_CHECKOUT = ([sys.executable, "-m", "locust"], ROOT)
CHATQUOTA = ([sys.executable, "-P", "-m", "harness", "run"], None)


def listening(pid: int) -> set[tuple[str, int]]:
    """Address and port of each TCP socket on which a process or a child of it listens."""
    sockets = set()
    for each in (pid, *children_of(pid)):
        for link in Path(f"/proc/{each}/fd").iterdir():
            with suppress(OSError):
                sockets |= set(re.findall(r"socket:\[(\d+)\]", str(link.readlink())))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:
                address, port = fields[1].split(":")
                words = [bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)]
                found.add((str(ip_address(b"".join(words))), int(port, 16)))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("command", "where"), [LOCUST_IN_CHECKOUT, CHATQUOTA], ids=["locust", "chatquota run"])
def test_nothing_listens_beyond_this_machine(command: list[str], where: Path | None, tmp_path: Path) -> None:
    """Neither `locust` in the checkout nor `chatquota run` elsewhere, with a run going on and its emulator."""
    port = free_port()
    begin = ["--autostart", "StartChat", "-u", "1", "--web-port", str(port), "--run-dir", str(tmp_path / "run")]
    with (tmp_path / "printed.txt").open("wb") as sink:
        process = subprocess.Popen(
            [*command, *begin], cwd=where or tmp_path, env=chatquota_environment(), stdout=sink, stderr=sink
        )
    try:
        wait_for(_runs(tmp_path / "run"), "run")
        found = listening(process.pid)
        assert port in {number for _, number in found}
        assert len(found) >= 2, "the page and the emulator"
        assert all(ip_address(address).is_loopback for address, _ in found), found
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.slow
def test_it_listens_where_it_is_told_to(tmp_path: Path) -> None:
    """The option on the command line wins over locust.conf."""
    port = free_port()
    command = [*LOCUST_IN_CHECKOUT[0], "--web-host", "0.0.0.0", "--web-port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=chatquota_environment(), stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: ("0.0.0.0", port) in listening(process.pid), "page on every interface")
    finally:
        process.kill()
        process.wait(60)


def _runs(run: Path) -> Callable[[], bool]:
    def started() -> bool:
        with suppress(OSError, ValueError):
            return bool(json.loads((run / "run.json").read_bytes())["target"]["endpoint"])
        return False

    return started
