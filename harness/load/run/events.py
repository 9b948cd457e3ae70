"""Notes what happened to a run, and when: how many users there were, when its chats began to be stopped, who was lost."""

import time
from collections.abc import Callable

import gevent

from harness.recording.format.manifest import Event, EventKind

LOOK_EVERY = 1.0
_MOST = 2000


class Events:
    """The events of one run, in the order in which they were noted."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._events: list[Event] = []

    def note(self, kind: EventKind, value: float | None = None, note: str = "", at: float | None = None) -> None:
        """Note that something happened now, or `at` (unix s). Too long a record loses every other change of users."""
        self._events.append(Event(self._clock() if at is None else at, kind, value, note))
        if len(self._events) > _MOST:
            users = [event for event in self._events if event.kind == "users"]
            dropped = set(map(id, users[1:-1:2]))
            self._events = [event for event in self._events if id(event) not in dropped]

    @property
    def noted(self) -> list[Event]:
        """All events by their time."""
        return sorted(self._events, key=lambda event: event.at)


def watch_users(events: Events, users: Callable[[], int]) -> gevent.Greenlet:
    """Note how many users there are whenever that has changed, looking once a second, until the greenlet is killed."""

    def look() -> None:
        last = None
        while True:
            if (now := users()) != last:
                events.note("users", now)
                last = now
            gevent.sleep(LOOK_EVERY)

    return gevent.spawn(look)
