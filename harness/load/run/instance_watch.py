"""What AWS says of the instance: how many chats it holds while a live run lasts, and at the end what it declares."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent

from harness.connect.target import Target
from harness.preflight.declared import connect_clients, fetch_declared
from harness.preflight.model.minutes import LATE, PERIOD, Minute, NoMinutes, fetch_minutes, merged, to_json

logger = logging.getLogger(__name__)

_LONGEST_LOOK = 30.0  # seconds for what AWS declares, at the end of a live run

Fetch = Callable[[float, float], list[Minute]]
"""Returns the minutes between two unix times. Raises NoMinutes."""


class MinuteWatch:
    """Looks once a minute, so that a run that is killed or cut off from CloudWatch has what was known until then.

    `fetch` asks CloudWatch; `clock` gives unix seconds. The first failure is logged, the later ones are not.
    """

    def __init__(self, fetch: Fetch, clock: Callable[[], float], sleep: Callable[[float], None] = gevent.sleep) -> None:
        self._fetch = fetch
        self._clock = clock
        self._sleep = sleep
        self._since = clock()
        self.minutes: list[Minute] = []
        self.trouble = ""

    def follow(self) -> None:
        """Look every minute until this greenlet is killed."""
        while True:
            self._sleep(PERIOD)
            self.look(self._clock() - LATE)

    def look(self, since: float | None = None) -> None:
        """Look once at what came since a unix time (None: since the run began)."""
        try:
            found = self._fetch(self._since if since is None else max(since, self._since), self._clock())
        except NoMinutes as error:
            if not self.trouble:
                logger.warning("how many chats others hold is not known: %s", error)
            self.trouble = str(error)
        else:
            self.minutes, self.trouble = merged(self.minutes, found), ""


class InstanceWatch:
    """One live run's look at its instance, from its beginning to `declared`."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._clients = connect_clients(target.region)
        self._minutes = MinuteWatch(partial(fetch_minutes, self._clients.cloudwatch, target.instance_id), time.time)
        self._following = gevent.spawn(self._minutes.follow)

    def stop(self) -> None:
        """Ask no more."""
        self._following.kill(block=False)

    def declared(self, started_at: float) -> dict[str, Any]:
        """End the watch and return run.json's `declared`; without what nobody answered in time."""
        self.stop()
        found: dict[str, Any] = {}
        try:
            with gevent.Timeout(_LONGEST_LOOK):
                self._minutes.look()
                found = fetch_declared(
                    self._clients,
                    region=self._target.region,
                    instance_id=self._target.instance_id,
                    started_at=started_at,
                    ended_at=time.time(),
                )
        except gevent.Timeout:
            logger.warning("AWS did not say within %g s what it declares of the instance", _LONGEST_LOOK)
        return {**found, "minutes": to_json(self._minutes.minutes)}
