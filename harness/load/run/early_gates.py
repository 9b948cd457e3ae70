"""Ends a run early on a gate that says so (`abort = true`): a run that has failed already need not spend more chats."""

from collections.abc import Callable
from pathlib import Path

import gevent

from harness.gates import Gate, early_breach, read_gates
from harness.recording.summary import Summary, add_up
from harness.vocabulary import START_CHAT

_EVERY = 1.0  # seconds


def aborting_gates(path: str) -> tuple[Gate, ...]:
    """Return the gates of the file at `path` that may end a run early; none for "". Raises UsageError for a file of
    no use.
    """
    return tuple(gate for gate in read_gates(Path(path)) if gate.abort) if path else ()


def watch_gates(
    gates: tuple[Gate, ...], parts: Callable[[], list[Summary]], breached: Callable[[str], None]
) -> gevent.Greenlet | None:
    """Judge `gates` once a second on what the run has done so far; call `breached` with the sentence, once.

    `parts` gives the summaries of the run's processes (`Session.summary`). Returns the greenlet, None without gates.
    """
    return gevent.spawn(_watch, gates, parts, breached) if gates else None


def _watch(gates: tuple[Gate, ...], parts: Callable[[], list[Summary]], breached: Callable[[str], None]) -> None:
    while True:
        gevent.sleep(_EVERY)
        total = add_up(parts())
        generator = {"offered": total.offered, "sent": total.sent, "dropped": total.dropped}
        sentence = early_breach(gates, total.outcomes_of(START_CHAT), generator)
        if sentence is not None:
            breached(sentence)
            return
