"""Locust's FastHttpUser with one constant, unsigned request: no chat, no signature, the least that Locust does itself."""

import json
import random
import sys
from pathlib import Path

from locust import FastHttpUser, constant, task

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks.rivals.parameters import draw

_BODY = json.dumps(draw(random.Random(1)))


class Unsigned(FastHttpUser):
    """Sends the same bytes as fast as it can."""

    wait_time = constant(0)

    @task
    def put(self) -> None:
        """One call."""
        self.client.put("/contact/chat", data=_BODY, headers={"Content-Type": "application/json"})
