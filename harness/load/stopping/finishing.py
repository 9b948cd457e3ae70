"""Stops chats that another process left open: one call after the other, under StopContact's own quota, each recorded."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from harness.connect.client import ConnectClient, Reply, now
from harness.load.stopping.pace import Pace
from harness.recording.collector import Collector
from harness.recording.format.layout import SAMPLES
from harness.recording.format.schema import Sample
from harness.recording.journal import Journal
from harness.recording.ledger import ALREADY_ENDED, STOPPED, Ledger
from harness.recording.summary import Summary
from harness.vocabulary import ACCESS_DENIED, NOT_FOUND, OK, STOP_CONTACT, TPS_THROTTLED

MAX_ATTEMPTS = 5
"""Attempts at one chat that fail for another reason than a throttle, before it is left open."""
REFUSALS_TO_GIVE_UP = 5
_FLUSH_ROWS = 256
_PAUSE = 0.2  # seconds before a chat is tried again


class Hopeless(Exception):
    """Every call is refused or fails. `reply` is the last one."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.message)
        self.reply = reply


def end_chats(
    contacts: Iterable[str],
    stop: Callable[[str], Reply],
    pace: Pace,
    progress: Callable[[int, int], None],
    abandoned: Callable[[], bool] = lambda: False,
) -> int:
    """Stop `contacts` and return how many of them are still open.

    `stop(contact_id)` makes one StopContact attempt. A throttled call comes again at a slower pace; a chat that is gone
    counts as ended. Raises Hopeless when no call gets through at all.
    """
    waiting = deque(contacts)
    attempts: dict[str, int] = {}
    total, given_up, refusals, served = len(waiting), 0, 0, False
    while waiting and not abandoned():
        progress(total - len(waiting) - given_up, total)
        time.sleep(pace.reserve(now(), len(waiting)))
        contact = waiting.popleft()
        reply = stop(contact)
        served |= reply.outcome in (OK, NOT_FOUND, TPS_THROTTLED)
        if reply.outcome == TPS_THROTTLED:
            pace.throttled(now())
            waiting.append(contact)
        elif reply.outcome not in (OK, NOT_FOUND):
            refusals += 1
            if not served and (reply.outcome == ACCESS_DENIED or refusals >= REFUSALS_TO_GIVE_UP):
                raise Hopeless(reply)
            attempts[contact] = attempts.get(contact, 0) + 1
            if attempts[contact] < MAX_ATTEMPTS:
                waiting.append(contact)
                time.sleep(_PAUSE)
            else:
                given_up += 1
    progress(total - len(waiting) - given_up, total)
    return len(waiting) + given_up


class Finisher:
    """Ends chats as `worker` and writes that into its own ledger and samples in the run directory `directory`.

    `header` goes into the ledger: run_id, endpoint, region, instance_id; `instance_id` is another
    one to call. Raises OSError when it cannot be written.
    """

    def __init__(
        self,
        directory: Path,
        worker: str,
        header: Mapping[str, str],
        client: ConnectClient,
        rate: float,
        may_grow: bool,
        instance_id: str = "",
    ) -> None:
        self.worker = worker
        self.ledger = Ledger(directory, worker, header)
        self._instance_id = instance_id or header["instance_id"]
        self._client = client
        self._pace = Pace(rate, may_grow)
        self._journal = Journal(directory / SAMPLES, worker)
        self._collector = Collector(self._journal.append)

    def end(
        self,
        contacts: Iterable[str],
        progress: Callable[[int, int], None],
        abandoned: Callable[[], bool] = lambda: False,
    ) -> int:
        """Stop `contacts` and return how many of them are still open. Raises Hopeless as `end_chats` does."""
        return end_chats(contacts, self._stop, self._pace, progress, abandoned)

    def close(self) -> None:
        """Write what is left and close the files."""
        self._collector.flush()
        self._journal.close()
        self.ledger.close()

    def summary(self) -> Summary:
        """This part of the run: its calls, and no arrivals."""
        return Summary(
            worker=self.worker,
            outcomes=self._collector.outcome_counts(),
            answers=self._collector.answers(),
            samples=self._collector.recorded + self._collector.waiting,
        )

    def _stop(self, contact: str) -> Reply:
        due = now()
        reply = self._client.stop_contact(self._instance_id, contact)
        if reply.outcome in (OK, NOT_FOUND):
            self.ledger.ended(contact, reply.received, STOPPED if reply.outcome == OK else ALREADY_ENDED)
        self._collector.add(
            Sample(
                STOP_CONTACT,
                due,
                reply.sent,
                reply.received,
                reply.outcome,
                reply.status,
                reply.error_code,
                self.worker,
                contact,
                request_id=reply.request_id,
            ),
            reply.message,
        )
        if self._collector.waiting >= _FLUSH_ROWS:
            self._collector.flush()
        return reply
