"""The chats that a process has started: each is in the ledger, is stopped when its time has come, and is counted once."""

import logging
from collections import Counter
from collections.abc import Callable

from harness.connect.client import ContactEnd, Reply
from harness.load.arrivals.clock import CLOCK, Clock
from harness.load.session.end_reasons import EndReasons
from harness.load.session.recorder import Recorder
from harness.load.stopping.pace import Pace
from harness.load.stopping.stopper import Stopper
from harness.recording.format.manifest import Chats
from harness.recording.ledger import ALREADY_ENDED, KEPT, STOPPED
from harness.recording.redact import redact_field
from harness.vocabulary import OK

logger = logging.getLogger(__name__)

FURTHER = "(further reasons)"
MOST_REASONS = 100
"""Different reasons that are counted; AWS knows about fifteen."""


class StartedChats:
    """Keeps the chats of one process.

    `stop(contact_id)` makes one StopContact attempt, spaced by `pace`; `describe(contact_id)` one DescribeContact attempt
    for a chat that somebody else ended. `note_reason(contact_id, noticed, told, reason)` gets why each of those has ended,
    and when its end was noticed and its reason told (unix s).
    """

    def __init__(
        self,
        recorder: Recorder,
        stop: Callable[[str], Reply],
        describe: Callable[[str], tuple[Reply, ContactEnd | None]],
        note_reason: Callable[[str, float, float, str], None],
        pace: Pace,
        clock: Clock = CLOCK,
    ) -> None:
        self._recorder = recorder
        self._clock = clock
        self._stopper = Stopper(stop, self._stopped, pace, clock)
        self._describe, self._note_reason = describe, note_reason
        self._end_reasons = EndReasons(self._look_up, pace.rate, self._told_reason, clock)
        self._reasons: Counter[str] = Counter()
        self._started = 0
        self._unanswered = 0
        self._ended: dict[str, int] = {STOPPED: 0, ALREADY_ENDED: 0, KEPT: 0}
        self._found_any = False  # whether StopContact or DescribeContact has found any chat of this process
        self._gone: set[str] = set()  # StopContact did not find them, and nothing has shown yet that it finds any chat

    def started(self, contact_id: str, at: float, stop_at: float) -> None:
        """Note that a chat was started at `at`; it is stopped at `stop_at` (unix seconds)."""
        self._started += 1
        self._stopper.add(contact_id, stop_at)
        self._recorder.started(contact_id, at)

    def unanswered(self, client_token: str) -> None:
        """Note that a start got no answer: its chat may exist, and nobody knows its id."""
        self._unanswered += 1
        self._recorder.unanswered(client_token)

    def is_open(self, contact_id: str) -> bool:
        """Whether the chat has not been stopped yet."""
        return contact_id in self._stopper.open

    def stop_soon(self, contact_id: str) -> None:
        """Stop an open chat as soon as the pace of StopContact allows."""
        self._stopper.add(contact_id, self._clock.now())

    def ended_elsewhere(self, contact_id: str, how: str) -> None:
        """Note that an open chat has ended without StopContact: `how` is STOPPED when its customer left, or
        ALREADY_ENDED.
        """
        if contact_id in self._stopper.open:
            self._stopper.forget(contact_id)
            self._end(contact_id, how)

    def _found(self) -> None:
        # The service knows a chat of this process: those that it does not find any more have ended.
        self._found_any = True
        gone, self._gone = self._gone, set()
        for contact_id in gone:
            self._note_end(contact_id, ALREADY_ENDED)

    def drain(self, progress: Callable[[int, int], None], abandoned: Callable[[], bool], *, keep: bool = False) -> None:
        """Stop every open chat or, to `keep` them, note each as kept. `progress(done, of)` is told as it goes on."""
        if keep:
            for contact_id in sorted(self._stopper.open):
                self._end(contact_id, KEPT)
            return
        self._stopper.drain(progress, abandoned)
        if not abandoned():
            self._end_reasons.finish()
        if self._gone:
            logger.error(
                "StopContact and DescribeContact found none of the chats of this run: check --instance-id, and stop them"
            )

    def close(self, patience: float) -> None:
        """Stop no further chat, and wait `patience` seconds at most for the calls on the wire."""
        self._stopper.close()
        self._end_reasons.close()
        self._stopper.wait_idle(patience)

    @property
    def left_open(self) -> int:
        """Chats that are still open, the kept ones included."""
        return len(self._stopper.open) + len(self._gone)

    @property
    def end_reasons(self) -> dict[str, int]:
        """How many chats that somebody else ended had each reason."""
        return dict(self._reasons)

    def counts(self) -> Chats:
        """Return what became of the chats so far."""
        return Chats(
            started=self._started,
            stopped=self._ended[STOPPED],
            already_ended=self._ended[ALREADY_ENDED],
            kept=self._ended[KEPT],
            left_open=self.left_open,
            unanswered=self._unanswered,
        )

    def _stopped(self, contact_id: str, how: str) -> None:
        """StopContact has ended the chat, or did not find it.

        A service that finds no chat at all may be the wrong one, or the wrong instance: what is not found counts as ended
        only once a call has found any chat of this run.
        """
        if how == STOPPED:
            self._found()
        elif not self._found_any:
            self._gone.add(contact_id)
            self._end_reasons.ask(contact_id)
            return
        self._end(contact_id, how)

    def _look_up(self, contact_id: str) -> tuple[Reply, str | None]:
        reply, end = self._describe(contact_id)
        if reply.outcome == OK:
            self._found()
        if end is not None:
            self._recorder.ended(contact_id, ALREADY_ENDED, end)
        return reply, None if end is None else end.reason

    def _told_reason(self, contact_id: str, noticed: float, reason: str) -> None:
        reason = redact_field(reason)
        reason = reason if reason in self._reasons or len(self._reasons) < MOST_REASONS else FURTHER
        self._reasons[reason] += 1
        self._note_reason(contact_id, noticed, self._clock.now(), reason)

    def _end(self, contact_id: str, how: str) -> None:
        self._note_end(contact_id, how)
        if how == ALREADY_ENDED:
            self._end_reasons.ask(contact_id)

    def _note_end(self, contact_id: str, how: str) -> None:
        self._ended[how] += 1
        self._recorder.ended(contact_id, how)
