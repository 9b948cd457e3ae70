"""Locust's side of a master or a worker without a connection: what is sent is kept, what arrives a test decides."""

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


@dataclass
class FakeRunner:
    """A `MasterRunner` or `WorkerRunner` as far as the harness uses one; `sent` holds (name, data, worker)."""

    clients: dict[str, Any] = field(default_factory=dict)
    sent: list[tuple[str, Any, str | None]] = field(default_factory=list)
    client_id: str = "host_1"
    worker_index: int = 0
    quits: int = 0
    reports: int = 0
    target_user_count: int = 1

    def __post_init__(self) -> None:
        self._listeners: dict[str, Callable[..., None]] = {}
        self._indices: dict[str, int] = {}

    def register_message(self, name: str, listener: Callable[..., None], concurrent: bool = False) -> None:
        """Keep who listens to messages called `name`."""
        self._listeners[name] = listener

    def deliver(self, name: str, data: Any, sender: str = "host_1") -> None:
        """Let a message arrive."""
        self._listeners[name](environment=None, msg=SimpleNamespace(type=name, data=data, node_id=sender))

    def send_message(self, name: str, data: Any = None, client_id: str | None = None) -> None:
        """Keep a message that is sent."""
        self.sent.append((name, data, client_id))

    def get_worker_index(self, worker: str) -> int:
        """Number the workers in the order in which they are asked for."""
        return self._indices.setdefault(worker, len(self._indices))

    def _send_stats(self) -> None:
        self.reports += 1

    def quit(self) -> None:
        """Count how often Locust was ended."""
        self.quits += 1

    def stop(self) -> None:
        """Count how often the load was ended."""
        self.quits += 1

    def named(self, name: str) -> list[Any]:
        """Return the data of the messages called `name` that were sent."""
        return [data for sent, data, _ in self.sent if sent == name]


class Hook:
    """One of Locust's events."""

    def __init__(self) -> None:
        self._listeners: list[Callable[..., None]] = []

    def add_listener(self, listener: Callable[..., None]) -> None:
        """Tell `listener` of what is fired."""
        self._listeners.append(listener)

    def fire(self, **told: Any) -> None:
        """Tell all listeners."""
        for listener in self._listeners:
            listener(**told)


@dataclass
class FakeEnvironment:
    """A Locust environment without a web UI, as far as the harness uses one."""

    parsed_options: Namespace
    runner: FakeRunner
    host: str | None = None
    web_ui: None = None
    process_exit_code: int | None = None
    available_user_classes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = ("worker_report", "heartbeat_sent", "heartbeat_received", "report_to_master", "request")
        self.events = SimpleNamespace(**{name: Hook() for name in names})
