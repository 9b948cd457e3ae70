"""What AWS says of the instance while a live run lasts: the chats it holds, what happens behind them, what it declares."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

import gevent

from harness.connect.target import Target
from harness.preflight.behind import Reading, flow_behind, merge_readings, read_behind, readings_to_json
from harness.preflight.declared import connect_clients, fetch_declared
from harness.preflight.looks.flow import FlowContent
from harness.preflight.model.asking import Account
from harness.preflight.model.minutes import LATE, PERIOD, NoMinutes, fetch_minutes, merged, to_json

logger = logging.getLogger(__name__)

T = TypeVar("T")

_LONGEST_LOOK = 30.0  # seconds for what AWS declares, at the end of a live run


class Watch(Generic[T]):
    """Looks once a minute, so that a run that is killed or cut off from CloudWatch has what was known until then.

    `fetch` asks CloudWatch for what is between two unix times, or raises NoMinutes; `merge` joins earlier and later answers;
    `clock` gives unix seconds. The first failure is logged as `unknown`, the later ones are not.
    """

    def __init__(
        self,
        fetch: Callable[[float, float], list[T]],
        merge: Callable[[list[T], list[T]], list[T]],
        unknown: str,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = gevent.sleep,
    ) -> None:
        self._fetch = fetch
        self._merge = merge
        self._unknown = unknown
        self._clock = clock
        self._sleep = sleep
        self._since = clock()
        self.known: list[T] = []
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
                logger.warning("%s: %s", self._unknown, error)
            self.trouble = str(error)
        else:
            self.known, self.trouble = self._merge(self.known, found), ""


class Behind:
    """What stands behind the chats of a target's flow, which is read once."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._content: FlowContent | None = None
        self.trouble = ""

    def fetch(self, begin: float, end: float) -> list[Reading]:
        """Return what CloudWatch counted between two unix times. Raises NoMinutes."""
        account = self._account
        if self._content is None and not self.trouble:
            try:
                self._content = flow_behind(account.connect, account.instance_id, account.contact_flow_id)
            except NoMinutes as error:
                self.trouble = str(error)
        bots, functions = (self._content.bots, self._content.functions) if self._content else ((), ())
        return read_behind(account.cloudwatch, account.instance_id, bots, functions, begin, end)


class InstanceWatch:
    """One live run's look at its instance, from its beginning to `declared`."""

    def __init__(self, target: Target) -> None:
        import boto3  # not at import time: Locust must patch the sockets first

        self._target = target
        self._clients = connect_clients(target.region)
        fetch = partial(fetch_minutes, self._clients.cloudwatch, target.instance_id)
        self._minutes = Watch(fetch, merged, "how many chats others hold is not known")
        session = boto3.Session(region_name=target.region)
        account = Account(session, target.region, target.endpoint, target.instance_id, target.contact_flow_id)
        self._behind = Behind(account)
        self._readings = Watch(self._behind.fetch, merge_readings, "what stands behind the chats is not known")
        self._following = [gevent.spawn(watch.follow) for watch in (self._minutes, self._readings)]

    def stop(self) -> None:
        """Ask no more."""
        gevent.killall(self._following, block=False)

    def declared(self, started_at: float) -> dict[str, Any]:
        """End the watch and return run.json's `declared`; without what nobody answered in time."""
        self.stop()
        found: dict[str, Any] = {}
        try:
            with gevent.Timeout(_LONGEST_LOOK):
                self._minutes.look()
                self._readings.look()
                found = fetch_declared(
                    self._clients,
                    region=self._target.region,
                    instance_id=self._target.instance_id,
                    started_at=started_at,
                    ended_at=time.time(),
                )
        except gevent.Timeout:
            logger.warning("AWS did not say within %g s what it declares of the instance", _LONGEST_LOOK)
        behind: dict[str, Any] = {"behind": readings_to_json(self._readings.known)}
        if trouble := self._readings.trouble or self._behind.trouble:
            behind["behind_unknown"] = trouble
        return {**found, "minutes": to_json(self._minutes.known), **behind}
