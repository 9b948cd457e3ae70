"""Workers on other machines than the master: own addresses, own file systems, slow and lossy links, clocks that differ."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.counting import CountingServer, counting_server
from tests.support.locust_runs import LOCUST, ROOT, chatquota, compare, free_port, locust, manifest, samples, started

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
LINK = ("delay", "20ms", "5ms", "loss", "1%")
"""For netem, where the kernel has it; elsewhere the forwarder delays and loses as much."""
FORWARDER = str(ROOT / "tests" / "support" / "forwarder.py")


def _why_not() -> str | None:
    """Why this machine cannot play several, None where it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in ("ip", "tc", "unshare") if shutil.which(name) is None]
    if missing or FAKETIME is None:
        return f"{', '.join(missing) or 'libfaketime'} is not installed"
    probe = f"cq-probe-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False).returncode:
        return "this machine allows no network namespaces"
    subprocess.run(["ip", "netns", "del", probe], check=False)
    return None


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=20)


class Host:
    """Another machine: a network namespace with an address of its own on a link to this one."""

    def __init__(self, number: int) -> None:
        self.name = f"cq{os.getpid() % 10_000}-{number}"
        self.slow = False
        """Whether the link itself delays and loses."""
        self.ours, self.theirs = f"10.213.{number}.1", f"10.213.{number}.2"

    def make(self) -> None:
        """Make the namespace and the link, with netem on both ends."""
        near, far = f"{self.name}a", f"{self.name}b"
        _run("ip", "netns", "add", self.name)
        _run("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", self.name)
        _run("ip", "address", "add", f"{self.ours}/24", "dev", near)
        _run("ip", "link", "set", near, "up")
        _run("ip", "-n", self.name, "link", "set", "lo", "up")
        _run("ip", "-n", self.name, "address", "add", f"{self.theirs}/24", "dev", far)
        _run("ip", "-n", self.name, "link", "set", far, "up")
        for device in (["dev", near], ["-n", self.name, "dev", far]):
            option = device[:-2]
            command = ["tc", *option, "qdisc", "add", *device[-2:], "root", "netem", *LINK]
            self.slow = subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0

    def remove(self) -> None:
        """Remove both; what is not there does not matter."""
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, check=False, timeout=20)
        subprocess.run(["ip", "link", "del", f"{self.name}a"], capture_output=True, check=False, timeout=20)

    def command(self, *command: str) -> list[str]:
        """The command line that runs `command` there."""
        return ["ip", "netns", "exec", self.name, *command]


@contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    """So many other machines."""
    made = [Host(number) for number in range(1, count + 1)]
    try:
        for host in made:
            host.make()
        yield made
    finally:
        for host in made:
            host.remove()


def _forward(stack: ExitStack, here: str, there: str, host: Host | None = None) -> None:
    """Hand connections to `here` on to `there`, from another machine or on this one, until the end of the test."""
    command = [sys.executable, FORWARDER, here, there, *(["slow"] if host and not host.slow else [])]
    process = subprocess.Popen(host.command(*command) if host else command, stdout=subprocess.PIPE)
    stack.callback(process.wait, 10)
    stack.callback(process.kill)
    assert process.stdout is not None
    assert process.stdout.readline() == b"listening\n"


def _worker(host: Host, place: Path, hidden: Path, port: str) -> list[str]:
    """A worker there that does not see the master's disk, and reaches its port by way of the link."""
    command = [*LOCUST, "--worker", "--master-host", "127.0.0.1", "--master-port", port]
    script = 'mount -t tmpfs none "$1" && cd "$2" && shift 2 && exec "$@"'
    return host.command("unshare", "--mount", "sh", "-c", script, "sh", str(hidden), str(place), *command)


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_workers_with_clocks_of_their_own_make_one_record(tmp_path: Path) -> None:
    """Clocks 50 ms and 2 s ahead on links of 40 ms there and back that lose 1 %: every sample arrives, its times are the
    master's to within what the record says, and the limit that is inferred from both workers together is the true one.
    """
    if why := _why_not():
        pytest.skip(why)
    places = [tmp_path / name for name in ("master", "first", "second")]
    for place in places:
        place.mkdir()
    with counting_server("--rate", "20", "--burst", "20") as server, hosts(2) as made, ExitStack() as stack:
        _play(server, made, places, stack)
        master = places[0] / "run"
        assert compare(server, master) == (set(), set())
        _check_times(server, master)
    with started(chatquota("report", "run"), places[0], server) as report:
        assert report.wait().code == 0
    answer = json.loads((master / "capacity.json").read_bytes())
    assert answer["clocks"]["moved"] == 2
    assert 1.95 < answer["clocks"]["most_moved"] < 2.05
    assert answer["generator"]["valid"], answer["generator"]["reasons"]
    rate = answer["tps"]["rate"]
    assert rate["low"] <= 20 <= rate["high"]


def _play(server: CountingServer, made: list[Host], places: list[Path], stack: ExitStack) -> None:
    """Let two workers with clocks that are ahead offer twice what is admitted, and the master record it."""
    target = server.endpoint.removeprefix("http://")
    port, far = str(free_port()), free_port()
    for host in made:
        _forward(stack, f"{host.ours}:{far}", target)
        _forward(stack, target, f"{host.ours}:{far}", host)
        _forward(stack, f"127.0.0.1:{port}", f"{host.ours}:{port}", host)
    options = ("-u", "40", "-r", "40", "-t", "10s", "--hold", "1s", "--stop-rate", "100", "--run-dir", "run")
    master = [*locust(server, *options), "--master", "--master-bind-port", port, "--expect-workers", "2"]
    run = stack.enter_context(started(master, places[0], server))
    for host, place, ahead in zip(made, places[1:], ("+0.05", "+2"), strict=True):
        fake = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": ahead}
        still = {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
        stack.enter_context(started(_worker(host, place, places[0], port), place, server, **fake, **still))
    done = run.wait(120)
    assert done.code == 0, done.said


def _check_times(server: CountingServer, run: Path) -> None:
    """Each call was taken by the server between its times in the record, which are of this machine's clock."""
    clocks = manifest(run)["clocks"]
    moved = sorted(clock["moved"] for clock in clocks.values())
    assert moved[0] == pytest.approx(-2.0, abs=0.05)
    assert moved[1] == pytest.approx(-0.05, abs=0.045)
    took = {entry["request_id"]: entry["at"] for entry in server.record()}
    rows = [row for row in samples(run) if row["request_id"] in took]
    assert {row["worker"] for row in rows} == set(clocks)
    for row in rows:
        within = clocks[row["worker"]]["within"]
        assert row["sent"] - within <= took[row["request_id"]] <= row["received"] + within
