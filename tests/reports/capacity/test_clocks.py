"""What the answer says of the clocks of a run over several machines."""

from harness.recording.format.manifest import WorkerClock
from reports.capacity.clocks import clock_sentences, clocks_of
from reports.capacity.model import Clocks
from tests.reports.answers import an_answer


def sentences(clocks: Clocks | None) -> str:
    """All sentences of an answer with these clocks."""
    return " ".join(clock_sentences(an_answer(clocks=clocks)))


def test_one_process_has_nothing_to_say() -> None:
    """Neither has a run of several processes on one machine."""
    assert clocks_of({}) is None
    assert sentences(None) == ""
    assert sentences(clocks_of({"worker-0": WorkerClock(within=0.001), "worker-1": WorkerClock(within=0.0004)})) == ""


def test_moved_times_are_told() -> None:
    """How many, by how much at the most, and how near they are then."""
    clocks = clocks_of({"worker-0": WorkerClock(moved=-2.0, within=0.02), "worker-1": WorkerClock(within=0.001)})
    assert clocks == Clocks(workers=2, moved=1, most_moved=2.0, within=0.02)
    assert "1 of 2 workers differed from the master's by up to 2 s" in sentences(clocks)
    assert "right to 20 ms" in sentences(clocks)


def test_what_is_not_known_is_told() -> None:
    """A worker without a measurement is named; a coarse measurement is said to be one."""
    assert "worker-1 are from the master's is not known" in sentences(
        clocks_of({"worker-0": WorkerClock(within=0.001), "worker-1": WorkerClock()})
    )
    assert "may be 90 ms off" in sentences(clocks_of({"worker-0": WorkerClock(within=0.09)}))
