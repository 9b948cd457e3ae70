"""Stops chats that another process left open, under StopContact's own quota, and records each call."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from harness.connect.client import ConnectClient, Reply, now
from harness.load.stopping.pace import Pace
from harness.load.stopping.stopper import stop_all
from harness.recording.collector import Collector
from harness.recording.format.layout import SAMPLES
from harness.recording.format.schema import Sample
from harness.recording.journal import Journal
from harness.recording.ledger import ALREADY_ENDED, STOPPED, Ledger
from harness.recording.summary import Summary
from harness.vocabulary import NOT_FOUND, OK, STOP_CONTACT

_FLUSH_ROWS = 256


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
        """Stop `contacts` and return how many of them are still open. Raises Hopeless as `stop_all` does."""
        return stop_all(contacts, self._stop, self._pace, progress, abandoned)

    def close(self) -> None:
        """Write what is left and close the files."""
        self._collector.flush()
        self._journal.close()
        self.ledger.close()

    def summary(self) -> Summary:
        """Return this part of the run: its calls, and no arrivals."""
        return Summary(
            worker=self.worker,
            outcomes=self._collector.outcome_counts(),
            answers=self._collector.error_texts(),
            samples=self._collector.recorded + self._collector.waiting,
        )

    def _stop(self, contact: str) -> Reply:
        due = now()
        reply = self._client.stop_contact(self._instance_id, contact)
        if reply.outcome in (OK, NOT_FOUND):
            self.ledger.ended(contact, reply.received, STOPPED if reply.outcome == OK else ALREADY_ENDED)
        self._collector.add(
            Sample(
                operation=STOP_CONTACT,
                scheduled=due,
                sent=reply.sent,
                received=reply.received,
                outcome=reply.outcome,
                status=reply.status,
                error_code=reply.error_code,
                worker=self.worker,
                contact_id=contact,
                request_id=reply.request_id,
            ),
            reply.message,
        )
        if self._collector.waiting >= _FLUSH_ROWS:
            self._collector.flush()
        return reply
