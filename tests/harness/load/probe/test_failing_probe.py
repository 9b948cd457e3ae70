"""A fault of the probe itself ends the run, which would otherwise wait for its end for ever."""

from pathlib import Path

from harness.errors import EXIT_INVALID
from harness.vocabulary import PROBE_FAILED
from tests.support.counting import counting_server
from tests.support.locust_runs import ROOT, locust, manifest, started

BROKEN = f"""
import locust
import runpy

globals().update(runpy.run_path({str(ROOT / "locustfile.py")!r}))

from harness.load.probe.capacity_plan import CapacityPlan


def act(plan, now):
    raise ZeroDivisionError("in the plan")


CapacityPlan.act = act
"""


def test_a_probe_that_fails_ends_its_run_as_invalid(tmp_path: Path) -> None:
    """The run ends by itself, says whose fault it was, and what was raised."""
    with counting_server("--rate", "40", "--burst", "26", "--active-chats", "45") as server:
        command = locust(server, "-u", "1", "--run-dir", str(tmp_path / "run"), user="QuotaProbe")
        broken = tmp_path / "broken.py"
        broken.write_text(BROKEN)
        command[command.index("-f") + 1] = str(broken)
        with started(command, tmp_path, server) as running:
            done = running.wait(60)
    assert done.code == EXIT_INVALID, done.said
    assert "the probe has failed" in done.said
    assert "in the plan" in done.said
    assert manifest(tmp_path / "run")["ended_by"] == PROBE_FAILED
