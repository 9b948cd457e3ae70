"""CPU of the load generator for each call: StartChat with everything on, against what a user would write otherwise.

One core for the generator, nginx with a fixed answer on another. Each contender runs in turn, several rounds; once it
has warmed up, its user and system CPU over a window is divided by the calls that nginx counted in that window. The harness
draws, signs, classifies, records and reports each call and stops each chat; all its calls count, starts and stops alike.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import bench

WANTED = 12.0
"""How many times cheaper than the naive user a call must be."""
WANTED_TLS = 2.0
"""How much dearer TLS with keep-alive may be than plain HTTP."""
_ROUNDS, _SECONDS = 3, 3.0
_NAIVE, _HARNESS = "Locust user + boto3 client (naive)", "chatquota StartChat"
_FULL = f"{_HARNESS}, 18,000/s"
"""As busy as the rivals are, which call as fast as they can: a core that is half idle finds colder caches at each call."""


@dataclass(frozen=True)
class Contender:
    """Something that offers load: its name and, given nginx and a scratch directory, its command."""

    name: str
    command: Callable[[bench.Nginx, str], list[str]]
    tls: bool = False
    per_user: str = "0"
    warm_up: float = 2.0


def _harness(users: int, per_user: float) -> Callable[[bench.Nginx, str], list[str]]:
    load = ["-u", str(users), "-r", "1000", "--starts-per-user", str(per_user)]
    return lambda target, scratch: bench.locust(["StartChat", *load, "--host", target.url, "--run-dir", scratch])


def _rival(name: str, users: int) -> Callable[[bench.Nginx, str], list[str]]:
    return lambda target, scratch: bench.locust(
        ["-u", str(users), "-r", "50", "--host", target.url], bench.RIVALS / f"{name}.py"
    )


def _bare(target: bench.Nginx, scratch: str) -> list[str]:
    return [sys.executable, str(bench.RIVALS / "bare_socket.py"), target.url]


AS_FAST_AS_IT_GOES = (
    Contender(_HARNESS, _harness(80, 100)),
    Contender(_FULL, _harness(80, 225)),
    Contender(_NAIVE, _rival("boto3_user", 50)),
    Contender("botocore's serialiser and signer, geventhttpclient", _rival("botocore_direct", 50)),
    Contender("FastHttpUser, constant and unsigned", _rival("fast_http_user", 50)),
    Contender("bare socket loop, constant and unsigned (the floor)", _bare),
)
AT_ONE_RATE = (
    Contender(f"{_HARNESS}, 500/s", _harness(500, 1)),
    Contender(f"{_NAIVE}, 500/s", _rival("boto3_user", 500), per_user="1", warm_up=11.0),
)
OVER_TLS = (
    Contender(f"{_HARNESS}, TLS", _harness(80, 100), tls=True),
    Contender(f"{_NAIVE}, TLS", _rival("boto3_user", 50), tls=True),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; exit code 1 when a wanted ratio is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generator_cpu", description=__doc__)
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help=f"alternated rounds of each (default: {_ROUNDS})")
    parser.add_argument("--seconds", type=float, default=_SECONDS, help=f"length of a window (default: {_SECONDS:g})")
    parser.add_argument("--only", default="", metavar="TEXT", help="only contenders whose name contains this")
    options = parser.parse_args(argv)
    contenders = [c for c in (*AS_FAST_AS_IT_GOES, *AT_ONE_RATE, *OVER_TLS) if options.only in c.name]
    windows: dict[str, list[bench.Window]] = {contender.name: [] for contender in contenders}
    with bench.nginx() as plain, bench.nginx(tls=True) as tls:
        for _ in range(options.rounds):
            for contender in contenders:
                windows[contender.name].append(_window(contender, tls if contender.tls else plain, options.seconds))
    return _report(windows)


def _window(contender: Contender, target: bench.Nginx, seconds: float) -> bench.Window:
    env = {"BENCH_PER_USER": contender.per_user, "AWS_EC2_METADATA_DISABLED": "true"}
    if target.certificate:
        env["AWS_CA_BUNDLE"] = target.certificate
    with tempfile.TemporaryDirectory(prefix="bench-run-") as scratch:
        command = contender.command(target, str(Path(scratch) / "run"))
        return bench.measure(command, target, contender.warm_up, seconds, env)


def _report(windows: dict[str, list[bench.Window]]) -> int:
    print(f"{bench.machine()}; median [least, most] of {len(next(iter(windows.values())))} alternated rounds")
    if len(os.sched_getaffinity(0)) == 1:
        print("(one core only: generator and nginx share it)")
    base, as_fast = windows.get(_NAIVE), {contender.name for contender in AS_FAST_AS_IT_GOES}
    rows = []
    for name, rounds in windows.items():
        rows.append(
            [
                name,
                bench.spread([window.us_per_call for window in rounds]),
                bench.spread([window.per_second for window in rounds], ",.0f"),
                f"{100 * statistics.median(window.busy for window in rounds):.0f} %",
                f"1/{_ratio(base, rounds):.1f}" if base and name in as_fast else "",
            ]
        )
    print(bench.table(["", "CPU us a call", "calls per second", "of a core", "of naive"], rows))
    met = True
    for wanted, dearer, cheaper, text in (
        (WANTED, _NAIVE, _HARNESS, "naive / chatquota"),
        (WANTED, _NAIVE, _FULL, "naive / chatquota, 18,000/s"),
        (0.0, f"{_NAIVE}, 500/s", f"{_HARNESS}, 500/s", "naive / chatquota, both at 500/s"),
        (0.0, f"{_NAIVE}, TLS", f"{_HARNESS}, TLS", "naive / chatquota, TLS"),
        (-WANTED_TLS, f"{_HARNESS}, TLS", _HARNESS, "chatquota TLS / plain"),
    ):
        if dearer in windows and cheaper in windows:
            met &= _print_ratio(text, wanted, windows[dearer], windows[cheaper])
    return 0 if met else 1


def _print_ratio(text: str, wanted: float, dearer: list[bench.Window], cheaper: list[bench.Window]) -> bool:
    ratios = [a.us_per_call / b.us_per_call for a, b in zip(dearer, cheaper, strict=True)]
    limit = f"; wanted: at {'least' if wanted > 0 else 'most'} {abs(wanted):g}" if wanted else ""
    print(f"{text}, paired by round: {bench.spread(ratios)}{limit}")
    median = statistics.median(ratios)
    return median >= wanted if wanted >= 0 else median <= -wanted


def _ratio(dearer: list[bench.Window], cheaper: list[bench.Window]) -> float:
    return statistics.median(a.us_per_call / b.us_per_call for a, b in zip(dearer, cheaper, strict=True))


if __name__ == "__main__":
    sys.exit(main())
