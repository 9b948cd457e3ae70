"""Locust's own way to offer a rate: FastHttpUsers with `constant_throughput(1)`, one call a second each.

Writes each call's user and time to BENCH_TIMES when Locust quits.
"""

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

from locust import FastHttpUser, constant_throughput, events, task

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks.rivals.parameters import draw

_BODY = json.dumps(draw(random.Random(1)))
_times: list[tuple[int, float]] = []


class OneASecond(FastHttpUser):
    """Calls once a second, as long as answers come in time."""

    wait_time = constant_throughput(1)

    @task
    def put(self) -> None:
        """One call."""
        _times.append((id(self), time.time()))
        self.client.put("/contact/chat", data=_BODY, headers={"Content-Type": "application/json"})


def _write(**_: Any) -> None:
    Path(os.environ["BENCH_TIMES"]).write_text(json.dumps(_times))


quitting: Any = events.quit  # its methods have no types
quitting.add_listener(_write)
