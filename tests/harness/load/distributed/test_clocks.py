"""How the master finds out whose clock a worker's times are of."""

import random
from dataclasses import dataclass, field

import gevent
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.load.distributed.clocks import (
    MOST_OFF,
    PATIENCE,
    Difference,
    WorkerClocks,
    begun,
    correction,
    ended,
    trouble,
)
from harness.load.distributed.messages import Message, Tick, Tock
from tests.support.virtual_time import VirtualTime


@dataclass
class Fleet:
    """Workers (by id) whose clocks are ahead by so many seconds, on links that take `delay()` seconds each way."""

    ahead: dict[str, float]
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    slowest: float = 0.05
    silent: frozenset[str] = frozenset()

    def measure(self) -> dict[str, Difference]:
        """What the master finds out, in virtual time."""
        time = VirtualTime()

        def send(message: Message, worker: str) -> None:
            assert isinstance(message, Tick)
            if worker not in self.silent:
                time.after(self.delay(), lambda: arrive(message, worker))

        def arrive(message: Tick, worker: str) -> None:
            said = Tock(run_id=message.run_id, number=message.number, at=time.at + self.ahead[worker])
            time.after(self.delay(), lambda: clocks.answered(worker, said))

        clocks = WorkerClocks(send, time.clock)
        before = time.at
        found = time.finish(gevent.spawn(clocks.measure, "run-1", list(self.ahead)))
        assert time.at - before <= PATIENCE + 0.1
        assert isinstance(found, dict)
        return found

    def delay(self) -> float:
        """How long the next message takes."""
        return self.rng.uniform(0.0001, self.slowest)


@given(
    ahead=st.lists(st.sampled_from([0.0, 0.05, -0.05, 2.0, -2.0, 400.0]), min_size=1, max_size=4),
    slowest=st.sampled_from([0.001, 0.05, 0.12]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=40, deadline=None)
def test_the_true_difference_lies_within_what_is_measured(ahead: list[float], slowest: float, seed: int) -> None:
    """Whatever the links do, and however much longer one way is, times that were moved are as near as is said."""
    fleet = Fleet({f"w{number}": each for number, each in enumerate(ahead)}, random.Random(seed), slowest)
    for worker, found in fleet.measure().items():
        assert abs(found.ahead - fleet.ahead[worker]) <= found.error + 1e-6
        clock = begun(found, 0.0)
        left = fleet.ahead[worker] + correction(found)
        assert clock.within is not None
        assert abs(left) <= clock.within + 1e-6


def test_processes_of_one_machine_are_left_alone() -> None:
    """Where the clocks may be the same one, nothing is moved: the messages are less exact than the machine."""
    found = Fleet({"w0": 0.0, "w1": 0.0}, slowest=0.02).measure()
    assert [correction(each) for each in found.values()] == [0.0, 0.0]
    assert len(found) == 2


def test_a_worker_that_says_nothing_is_waited_for_in_vain_and_marked() -> None:
    """The others are measured meanwhile; the silent one's times are not to be trusted, and the run says so."""
    found = Fleet({"w0": 2.0, "w1": 0.0}, silent=frozenset({"w1"})).measure()
    assert list(found) == ["w0"]
    assert trouble("worker-1", begun(None, 0.0), elsewhere=False) is None
    assert "could not be measured" in (trouble("worker-1", begun(None, 0.0), elsewhere=True) or "")


@pytest.mark.parametrize(
    ("ahead", "error", "is_trouble"), [(2.0, 0.001, True), (0.03, 0.02, False), (0.001, 0.001, False)]
)
def test_a_clock_that_goes_away_makes_the_run_invalid(ahead: float, error: float, is_trouble: bool) -> None:
    """What is surely off at the end by more than a tenth of a token's time is named; what is within the error is not."""
    clock = ended(begun(Difference(0.0, 0.001), 0.0), Difference(ahead, error))
    assert (trouble("worker-0", clock, elsewhere=True) is not None) == is_trouble
    assert is_trouble == (ahead - error > MOST_OFF)


def test_a_worker_that_came_late_is_measured_at_the_end() -> None:
    """Without a measurement before its load, the one after it tells whether its times are the master's."""
    same = ended(begun(None, 0.0), Difference(0.0004, 0.001))
    assert same.within == pytest.approx(0.0014)
    assert trouble("worker-2", same, elsewhere=True) is None
    assert "2 s behind" in (trouble("worker-2", ended(begun(None, 0.0), Difference(-2.0, 0.001)), elsewhere=True) or "")


def test_only_an_answer_to_the_last_question_counts() -> None:
    """A stranger, another run's answer, and an answer twice change nothing."""
    time = VirtualTime()
    asked: list[Tick] = []

    def send(message: Message, worker: str) -> None:
        assert isinstance(message, Tick)
        asked.append(message)

    clocks = WorkerClocks(send, time.clock)
    measuring = gevent.spawn(clocks.measure, "run-1", ["w0"])
    time.run(0.1)
    first = asked[0].number
    clocks.answered("w1", Tock(run_id="run-1", number=first, at=time.at + 9))
    clocks.answered("w0", Tock(run_id="run-0", number=first, at=time.at + 9))
    clocks.answered("w0", Tock(run_id="run-1", number=first + 5, at=time.at + 9))
    assert len(asked) == 1
    clocks.answered("w0", Tock(run_id="run-1", number=first, at=time.at + 1))
    clocks.answered("w0", Tock(run_id="run-1", number=first, at=time.at + 9))
    found = time.finish(measuring)
    assert isinstance(found, dict)
    assert found["w0"].ahead == pytest.approx(1.05, abs=0.06)
