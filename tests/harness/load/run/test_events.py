"""What happens to a run is noted with its time, and a record never grows without bound."""

from itertools import count

from harness.load.run.events import Events


def test_events_are_in_the_order_of_their_times() -> None:
    """A worker that was lost a while ago is noted when it was last heard of."""
    clock = count(100)
    events = Events(lambda: float(next(clock)))
    events.note("users", 3)
    events.note("drain")
    events.note("worker_lost", note="w", at=100.5)
    assert [(event.at, event.kind) for event in events.noted] == [
        (100, "users"),
        (100.5, "worker_lost"),
        (101, "drain"),
    ]


def test_a_long_record_keeps_the_whole_time_and_what_matters() -> None:
    """Of ten thousand changes of users at most two thousand are kept, the first and last among them, and all else."""
    clock = count()
    events = Events(lambda: float(next(clock)))
    for number in range(10_000):
        events.note("users", number)
    events.note("drain")
    users = [event.value for event in events.noted if event.kind == "users"]
    assert len(users) <= 2000
    assert (users[0], users[-1]) == (0, 9999)
    assert events.noted[-1].kind == "drain"
