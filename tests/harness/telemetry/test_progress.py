"""What the run tells its exporter: each dropped arrival once, and the chats that it will stop."""

from harness.recording.format.manifest import Chats
from harness.recording.summary import Summary
from harness.telemetry.messages import Progress
from harness.telemetry.sender import progress_of


def test_each_dropped_arrival_counts_once() -> None:
    """Arrivals that were too late are among those that were dropped; the processes are added up."""
    parts = [
        Summary(worker="a", dropped=7, dropped_late=5, chats=Chats(started=9, left_open=4)),
        Summary(worker="b", dropped=2, dropped_late=2, chats=Chats(started=3, left_open=1)),
    ]
    assert progress_of(parts, keeps_chats=False) == Progress(dropped=9, to_stop=5)
    assert progress_of(parts, keeps_chats=True) == Progress(dropped=9, to_stop=0)
    assert progress_of([], keeps_chats=False) == Progress()
