"""Run by test_locust_statistics.py in a process of its own, since loading Locust patches the whole process."""

import json
import random
from typing import Any
from unittest import mock

from locust import stats as locust_stats
from locust.env import Environment
from locust.stats import RequestStats

from harness.connect.client import Reply
from harness.load.run.host import Host
from harness.load.session.locust_statistics import add, reporter
from harness.vocabulary import NOT_AWAITED, OK, SEND_MESSAGE, START_CHAT, STARTED, TPS_THROTTLED

ATTEMPTS = [
    (operation, Reply(outcome=outcome, sent=0.0, received=random.Random(number).expovariate(3), body_bytes=number))
    for number, (operation, outcome) in enumerate(
        [(START_CHAT, STARTED), (START_CHAT, TPS_THROTTLED), (SEND_MESSAGE, OK), (SEND_MESSAGE, NOT_AWAITED)] * 25
    )
]


def _said(statistics: RequestStats) -> list[dict[str, Any]]:
    """Return what the statistics say, but for when."""
    entries = [statistics.total, *statistics.entries.values()]
    said: list[dict[str, Any]] = [dict(entry.serialize()) for entry in sorted(entries, key=lambda entry: entry.name)]
    for entry in said:
        entry["num_reqs_per_sec"] = sum(entry["num_reqs_per_sec"].values())
        entry["num_fail_per_sec"] = sum(entry["num_fail_per_sec"].values())
        entry["total_response_time"] = round(entry["total_response_time"], 6)
        entry["response_times"] = dict(sorted(entry["response_times"].items()))
        del entry["start_time"], entry["last_request_timestamp"]
    errors = sorted(statistics.errors.values(), key=lambda error: error.name)
    return [*said, *({"error": repr(error.error), "name": error.name, "times": error.occurrences} for error in errors)]


def _environment() -> Environment:
    environment = Environment()
    environment.create_local_runner()
    return environment


def _one_by_one() -> list[dict[str, Any]]:
    environment = _environment()
    reporter(environment.events.request.fire, lambda: None)(ATTEMPTS)
    return _said(environment.stats)


def _together() -> list[dict[str, Any]]:
    statistics = RequestStats()
    add(statistics, ATTEMPTS[:30])
    add(statistics, ATTEMPTS[30:])
    return _said(statistics)


def _heard() -> dict[str, Any]:
    """Tell of four attempts before and four after somebody begins to listen."""
    environment = _environment()
    report = Host(environment).report
    report(ATTEMPTS[:4])
    heard: list[tuple[str, str]] = []
    environment.events.request.add_listener(lambda name, exception, **_: heard.append((name, repr(exception))))
    report(ATTEMPTS[:4])
    return {"heard": heard, "counted": environment.stats.total.num_requests}


def _rounded_in_an_own_way() -> list[int]:
    kept, locust_stats.bucket_response_time = locust_stats.bucket_response_time, lambda response_time: 7
    statistics = RequestStats()
    add(statistics, ATTEMPTS)
    locust_stats.bucket_response_time = kept
    return list(statistics.total.response_times)


def _lately() -> list[list[int | None]]:
    """Return the medians of the last ten seconds after sparse calls, which were told one by one and together."""
    one_by_one, together = _environment(), RequestStats()
    report = reporter(one_by_one.events.request.fire, lambda: None)
    found: list[list[int | None]] = []
    with mock.patch("time.time") as present:
        for second in range(0, 60, 5):
            present.return_value = 2e9 + second
            if second % 15 == 0:
                report(ATTEMPTS[second : second + 4])
                add(together, ATTEMPTS[second : second + 4])
            both = (one_by_one.stats.total, together.total)
            found.append([total.get_current_response_time_percentile(0.5) for total in both])
    return found


print(
    json.dumps(
        {
            "one_by_one": _one_by_one(),
            "together": _together(),
            "heard": _heard(),
            "lately": _lately(),
            "rounded": _rounded_in_an_own_way(),
        }
    )
)
