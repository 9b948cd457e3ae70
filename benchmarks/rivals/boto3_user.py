"""The usual Locust user around boto3: a client of its own for each user, one call a task, one event a call."""

import os
import random
import sys
import time
from pathlib import Path
from typing import Any

from locust import User, constant, constant_throughput, task  # before boto3: Locust must patch the sockets first

import boto3  # isort: skip

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks.rivals.parameters import draw

_PER_USER = float(os.environ.get("BENCH_PER_USER", "0"))


class Boto3User(User):
    """Starts chats as fast as it can, or BENCH_PER_USER times a second."""

    wait_time = constant_throughput(_PER_USER) if _PER_USER else constant(0)

    def on_start(self) -> None:
        """A client and a random generator for this user."""
        create: Any = boto3.client
        self.connect = create(
            "connect",
            region_name="us-east-1",
            endpoint_url=self.host,
            aws_access_key_id="AKIDLABEXAMPLE",
            aws_secret_access_key="lab-secret-example",
        )
        self.rng = random.Random(id(self))

    @task
    def start_chat(self) -> None:
        """One StartChatContact call."""
        failure: Exception | None = None
        began = time.perf_counter()
        try:
            self.connect.start_chat_contact(**draw(self.rng))
        except Exception as error:
            failure = error
        self.environment.events.request.fire(
            request_type="Connect",
            name="StartChatContact",
            response_time=(time.perf_counter() - began) * 1000,
            response_length=0,
            response=None,
            context={},
            exception=failure,
        )
