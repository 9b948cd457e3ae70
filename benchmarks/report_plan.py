"""What `chatquota plan` predicts, against runs on the emulator: the share of customers that each limit refuses.

The rival of a prediction is reality: Poisson chats are offered to an emulated Amazon Connect whose limits the planner is
told, and what was refused is counted from the samples, after the time in which the chats fill up.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from reports.plan.day import parse_arrivals
from reports.plan.lengths import parse_length
from reports.plan.planning import Limits, plan

_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Case:
    """Offered chats a second, their length, and the limits of the service."""

    offered: int
    length: str
    limits: Limits


CASES = (
    Case(45, "exponential:300ms", Limits(50.0, 8.0, 1000, "emulator")),
    Case(45, "exponential:800ms", Limits(50.0, 8.0, 33, "emulator")),
    Case(30, "exponential:1s", Limits(50.0, 8.0, 28, "emulator")),
)


def run(case: Case, seconds: int, folder: Path) -> dict[str, float]:
    """Offer the case for `seconds` and return the calls and the share of each refusal, after five mean lengths."""
    limits = case.limits
    spec = f"rate={limits.tps:g},burst={limits.burst:g},active_chats={limits.active_chats}"
    command = [
        *(
            sys.executable,
            "-m",
            "locust",
            "--headless",
            "--only-summary",
            "-f",
            str(_ROOT / "locustfile.py"),
            "StartChat",
        ),
        *("-u", str(case.offered), "-r", str(case.offered), "-t", f"{seconds}s", "--hold", case.length),
        *("--stop-rate", "1000", "--emulator", f"{spec},StopContact.rate=inf", "--run-dir", str(folder / "run")),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 5):
        raise SystemExit(f"locust failed: {done.stderr.strip().splitlines()[-1]}")
    columns = ["operation", "sent", "outcome"]
    samples = pq.read_table(folder / "run" / "samples", columns=columns).to_pandas()
    starts = samples[samples["operation"] == "StartChatContact"]
    settled = starts[starts["sent"] >= starts["sent"].min() + 5 * parse_length(case.length).mean]
    shares = settled["outcome"].value_counts(normalize=True)
    return {
        "calls": float(len(settled)),
        "tps": float(shares.get("tps_throttled", 0.0)),
        "active_chats": float(shares.get("active_chat_limit", 0.0)),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Print predicted and observed shares; exit code 1 if one is off by over three points."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report_plan", description=__doc__)
    parser.add_argument("--seconds", type=int, default=90, help="how long each case is offered (default: 90)")
    options = parser.parse_args(argv)
    print(f"{'offered':>9}{'length':>18}{'limits':>16}{'calls':>8}{'TPS refused':>24}{'chats refused':>24}")
    good = True
    for case in CASES:
        day, length = parse_arrivals(f"{case.offered}/s"), parse_length(case.length)
        planned = plan(day, length, case.limits, refused=0.001, margin=0.2)
        predicted = planned["refused"] if planned["simulated"]["agrees"] else planned["simulated"]
        with tempfile.TemporaryDirectory() as folder:
            found = run(case, options.seconds, Path(folder))
        good &= all(abs(predicted[name] - found[name]) <= 0.03 for name in ("tps", "active_chats"))
        cells = [f"{predicted[name]:.2%} -> {found[name]:.2%}" for name in ("tps", "active_chats")]
        limits = f"{case.limits.tps:g}/s, {case.limits.burst:g}, {case.limits.active_chats}"
        print(f"{case.offered:>7}/s{case.length:>18}{limits:>16}{found['calls']:>8.0f}{cells[0]:>24}{cells[1]:>24}")
    print("each cell: predicted -> observed")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
