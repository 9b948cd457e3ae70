"""The collector: tallies each attempt, keeps what the service said verbatim, and hands samples to the journal."""

from collections import Counter
from collections.abc import Callable

import msgspec
import pyarrow as pa

from harness.recording.format.schema import Sample, to_batch
from harness.recording.redact import is_uuid, redact_field, redact_id, redact_text
from harness.recording.summary import ErrorText, OutcomeCount
from harness.recording.validity import LatenessHistogram

MAX_DISTINCT_ERROR_TEXTS = 200
MAX_WAITING_ROWS = 500_000
_BATCH_ROWS = 128  # encoded in well under a millisecond, so that a flush does not delay a send
_OTHER = "(further messages)"
_OTHER_CODES = "(further codes)"

ErrorTexts = dict[tuple[str, str, int, str | None, str], list[float]]


class Collector:
    """Takes every sample of one process. The cost of `add` is constant; memory does not grow with the run.

    `write` receives batches of samples when `flush` is called; it may raise OSError, which `flush` passes on while it keeps
    what was not written. `count()` is called for each sample at once. What else is done with a sample waits for `settle`:
    many that are worked through together cost a third of what each costs by itself, between other things. `lateness`
    covers StartChatContact only, whose arrivals are scheduled.
    """

    def __init__(self, write: Callable[[pa.RecordBatch], None], count: Callable[[], None] = lambda: None) -> None:
        self._write = write
        self._count = count
        self._added: list[tuple[Sample, str]] = []
        self._rows: list[Sample] = []
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self.lateness = LatenessHistogram()
        self._error_texts: ErrorTexts = {}
        self._codes: set[str] = set()
        self.recorded = 0
        self.lost = 0

    def add(self, sample: Sample, message: str = "") -> None:
        """Take one attempt. `message` is the error's text, kept for the manifest verbatim but for secrets."""
        self._count()
        self._added.append((sample, message))

    def settle(self) -> None:
        """Tally what was added since the last time, and make it ready to be written.

        What a sample has from the wire is redacted and bounded here, before it reaches any file.
        """
        added, self._added = self._added, []
        rows, outcomes = self._rows, self._outcomes
        for sample, message in added:
            request_id, contact_id = sample.request_id, sample.contact_id
            if (
                sample.error_code is not None
                or (request_id is not None and not is_uuid(request_id))
                or (contact_id is not None and not is_uuid(contact_id))
            ):
                sample = self._present(sample)
            rows.append(sample)
            outcomes[sample.operation, sample.outcome] += 1
            if message or sample.error_code is not None:
                self._note_error_text(sample, message)
        if len(rows) > MAX_WAITING_ROWS:  # the disk is full, and memory must not fill up as well
            surplus = -(-(len(rows) - MAX_WAITING_ROWS) // _BATCH_ROWS) * _BATCH_ROWS
            self.lost += surplus
            del rows[:surplus]

    def flush(self, pause: Callable[[], None] = lambda: None) -> None:
        """Write what was added since the last flush, in small batches with a `pause` after each."""
        self.settle()
        while self._rows:
            rows = self._rows[:_BATCH_ROWS]
            self._write(to_batch(rows))
            del self._rows[: len(rows)]
            self.recorded += len(rows)
            pause()

    @property
    def waiting(self) -> int:
        """Samples that were added and are not written yet."""
        return len(self._rows) + len(self._added)

    def outcome_counts(self) -> tuple[OutcomeCount, ...]:
        """Return how often each operation had each outcome."""
        self.settle()
        return tuple(OutcomeCount(*key, count) for key, count in self._outcomes.items())

    def error_texts(self) -> tuple[ErrorText, ...]:
        """Return each distinct answer that was not a success."""
        self.settle()
        return tuple(ErrorText(*key, int(count), first) for key, (count, first) in self._error_texts.items())

    def _present(self, sample: Sample) -> Sample:
        code = sample.error_code
        if code is not None:
            code = redact_field(code)
            if code not in self._codes and len(self._codes) >= MAX_DISTINCT_ERROR_TEXTS:
                code = _OTHER_CODES
            self._codes.add(code)
        ids = [None if value is None else redact_id(value) for value in (sample.request_id, sample.contact_id)]
        return msgspec.structs.replace(sample, error_code=code, request_id=ids[0], contact_id=ids[1])

    def _note_error_text(self, sample: Sample, message: str) -> None:
        key = (sample.operation, sample.outcome, sample.status, sample.error_code, redact_text(message))
        seen = self._error_texts.get(key)
        if seen is None and len(self._error_texts) >= MAX_DISTINCT_ERROR_TEXTS:  # messages with an id in them never end
            key = (sample.operation, sample.outcome, 0, None, _OTHER)
            seen = self._error_texts.get(key)
        if seen is None:
            self._error_texts[key] = [1, sample.received]
        else:
            seen[0] += 1
