"""Many workers in one process, as far as their master can tell.

`python -m benchmarks.fleet.simulated_workers PORT WORKERS CALLS RATE`: each speaks Locust's protocol and the harness's, as a
worker on another machine does: heartbeats each second, and a report every three with Locust's statistics of CALLS a second,
a summary, and the samples and ledger lines of a run with RATE samples a second, half of them chat starts and half their
stops. Prints `running` when all have begun, and on each line of standard input the samples that the master has
acknowledged so far.
"""

import sys
import time
import uuid
from collections import deque
from typing import Any

import gevent
from locust import __version__
from locust.rpc import Message, zmqrpc
from locust.stats import RequestStats

from harness.load.distributed.messages import Announcement, Drain, Drained, Item, Report, Tick, Tock, read, write
from harness.load.distributed.shipping import LEDGER_ITEM, SAMPLES_ITEM, Outbox
from harness.recording.format.schema import Sample, to_batch
from harness.recording.summary import Cpu, OutcomeCount, Summary

REPORT_EVERY, BATCHES = 3.0, 6
POOL = 40
"""Batches that are made beforehand: enough that none is in a cache of the master's."""


def batch(number: int, rows: int) -> bytes:
    """The content of an item with so many samples, which came in batches of half a second."""
    outbox = Outbox()
    samples = []
    for row in range(rows):
        at = 1_795_000_000.0 + number + row / rows / 2
        contact, request = str(uuid.uuid4()), str(uuid.uuid4())
        samples.append(
            Sample(
                operation="StopContact" if row % 2 else "StartChatContact",
                scheduled=at,
                sent=at + 0.0004,
                received=at + 0.05,
                outcome="ok" if row % 2 else "started",
                status=200,
                worker="worker-0",
                contact_id=contact,
                content_types=None if row % 2 else "text/plain,text/markdown",
                attribute_bytes=0 if row % 2 else 400 + row,
                message_bytes=0 if row % 2 else 52,
                request_id=request,
                kind=None if row % 2 else "rich",
            )
        )
    for part in range(BATCHES):
        outbox.add_samples(to_batch(samples[part * rows // BATCHES : (part + 1) * rows // BATCHES]))
    return outbox.take(0.0)[0].content


def statistics(requests: int) -> dict[str, Any]:
    """Locust's part of a report."""
    stats = RequestStats()
    for number in range(requests):
        stats.log_request(
            "PUT" if number % 2 else "POST", "StartChatContact" if number % 2 else "StopContact", 40 + number % 30, 300
        )
    return {"stats": stats.serialize_stats(), "stats_total": stats.total.get_stripped_report(), "errors": {}}


class Worker:
    """One of them. `acknowledged` counts the samples that the master has written."""

    def __init__(self, number: int, port: int, contents: list[bytes], calls: int, rows: int) -> None:
        self.id = f"simulated_{number:04d}"
        self.acknowledged = 0
        self.running = False
        self._number, self._contents, self._rows = number, contents, rows
        self._client = zmqrpc.Client("127.0.0.1", port, self.id)
        self._name = self._run_id = ""
        self._items = 0
        self._due: deque[tuple[int, int]] = deque()
        self._users: dict[str, int] = {}
        self._statistics = statistics(calls * int(REPORT_EVERY))
        gevent.spawn(self._receive)
        self._client.send(Message("client_ready", __version__, self.id))

    def _send(self, kind: str, data: Any) -> None:
        self._client.send(Message(kind, data, self.id))

    def _receive(self) -> None:
        while True:
            message = self._client.recv()
            if message.type == "ack":
                gevent.spawn(self._beat)
            elif message.type == Tick.NAME:
                said = read(Tick, message.data)
                self._send(Tock.NAME, write(Tock(run_id=said.run_id, number=said.number, at=time.time())))
            elif message.type == "spawn":
                self._begin(message.data)
            elif message.type == "chatquota_ack":
                while self._due and self._due[0][0] <= message.data["number"]:
                    self.acknowledged += self._due.popleft()[1]
            elif message.type == Drain.NAME:
                self._send(Drained.NAME, write(Drained(run_id=self._run_id, complete=True)))

    def _begin(self, data: dict[str, Any]) -> None:
        self._users = data["user_classes_count"]
        if not self.running:
            run = read(Announcement, data["parsed_options"][Announcement.NAME])
            self._run_id, self._name = run.run_id, run.names[self.id]
            gevent.spawn(self._report)
        self.running = True
        self._send("spawning", None)
        users = sum(self._users.values())
        self._send("spawning_complete", {"user_classes_count": self._users, "user_count": users})

    def _beat(self) -> None:
        while True:
            state = "running" if self.running else "ready"
            self._send("heartbeat", {"state": state, "current_cpu_usage": 20.0, "current_memory_usage": 10**8})
            gevent.sleep(1.0)

    def _report(self) -> None:
        gevent.sleep(REPORT_EVERY * (self._number % 100) / 100)
        due = time.monotonic()
        offered = 0
        while True:
            items = self._ship() if self._rows else None
            offered += self._rows * BATCHES // 2
            summary = Summary(
                worker=self._name,
                offered=offered,
                sent=offered,
                offering_seconds=offered / 50,
                outcomes=(
                    OutcomeCount("StartChatContact", "started", offered),
                    OutcomeCount("StopContact", "ok", offered),
                ),
                lateness={number: 1 + number for number in range(30)},
                cpu=Cpu(1.0, 10.0, 20.0),
                samples=2 * offered,
            )
            users = {"user_classes_count": self._users, "user_count": sum(self._users.values())}
            report = write(Report(run_id=self._run_id, summary=summary, items=items))
            self._send("stats", {**self._statistics, **users, Report.NAME: report})
            due += REPORT_EVERY
            gevent.sleep(max(due - time.monotonic(), 0.0))

    def _ship(self) -> list[Item]:
        lines = []
        for number in range(self._rows * BATCHES):  # a line as a chat starts, and one as it ends
            event = b"ended" if number % 2 else b"started"
            lines.append(
                b'{"event":"%s","at":%.6f,"contact_id":"%032x"}\n' % (event, time.time(), self._items + number)
            )
        content = self._contents[self._items % len(self._contents)]
        items = [self._item(LEDGER_ITEM, b"".join(lines)), self._item(SAMPLES_ITEM, content)]
        self._due.append((self._items, self._rows * BATCHES))
        return items

    def _item(self, kind: int, content: bytes) -> Item:
        self._items += 1
        return Item(self._items, kind, content)


if __name__ == "__main__":
    port, count, calls, rate = (int(text) for text in sys.argv[1:5])
    per_batch = rate // 2
    made = [batch(number, per_batch * BATCHES) for number in range(POOL)] if per_batch else []
    workers = [Worker(number, port, made, calls, per_batch) for number in range(count)]
    while not all(worker.running for worker in workers):
        gevent.sleep(0.1)
    print("running", flush=True)
    pool = gevent.get_hub().threadpool
    while pool.apply(sys.stdin.readline):
        print(sum(worker.acknowledged for worker in workers), flush=True)
