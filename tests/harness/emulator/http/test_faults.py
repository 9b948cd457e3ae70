"""Delays, jitter and faults: how often, when, and the same with the same seed."""

import socket
from statistics import fmean

import pytest

from harness.emulator.http.faults import Disturbance, FaultPlan
from harness.emulator.settings.parse import parse_settings
from tests.harness.emulator.http.test_server import call, request
from tests.harness.emulator.support import Lab, running


def draw(spec: str, count: int = 2000, operation: str = "StartChatContact") -> list[Disturbance]:
    plan = FaultPlan(parse_settings(spec))
    return [plan.draw(operation) for _ in range(count)]


def test_disturbances_repeat_with_the_seed() -> None:
    """The same seed gives every call the same delays and fault; another seed others."""
    spec = "fault_500=0.1,fault_reset=0.1,latency=20ms,jitter=5ms,fault_when=mixed"
    assert draw(f"{spec},seed=1") == draw(f"{spec},seed=1")
    assert draw(f"{spec},seed=1") != draw(f"{spec},seed=2")


def test_ids_repeat_with_the_seed() -> None:
    """The same seed gives the same contact ids."""
    first, same, other = (Lab(f"seed={seed}").start().body["ContactId"] for seed in (7, 7, 8))
    assert first == same != other


def test_each_fault_meets_its_share_of_the_calls() -> None:
    """Each fault meets its share of the calls, and no others do."""
    fates = [one.fault for one in draw("fault_500=0.1,fault_garbage=0.3")]
    assert set(fates) == {None, "500", "garbage"}
    assert abs(fates.count("500") / len(fates) - 0.1) < 0.03
    assert abs(fates.count("garbage") / len(fates) - 0.3) < 0.04


def test_other_operations_stay_untouched() -> None:
    """fault_operations names which operations get faults; delays apply to all."""
    spec = "fault_500=1,fault_operations=StopContact+SendMessage,latency=10ms"
    assert {one.fault for one in draw(spec)} == {None}
    assert {one.fault for one in draw(spec, operation="SendMessage")} == {"500"}
    assert {one.delay_in for one in draw(spec)} == {0.005}


def test_adding_a_fault_leaves_the_delays_as_they_were() -> None:
    """What one setting draws does not shift what another draws."""
    plain = draw("latency=20ms,jitter=5ms")
    faulty = draw("latency=20ms,jitter=5ms,fault_500=0.5")
    assert [(one.delay_in, one.delay_out) for one in plain] == [(one.delay_in, one.delay_out) for one in faulty]


def test_jitter_is_half_normal_each_way() -> None:
    """Each way takes half of the latency and |normal(0, jitter)| more."""
    drawn = draw("latency=20ms,jitter=5ms", 20_000)
    assert min(one.delay_in for one in drawn) >= 0.01
    for way in ("delay_in", "delay_out"):
        assert abs(fmean(getattr(one, way) for one in drawn) - (0.010 + 0.005 * 0.798)) < 2e-4


def test_slow_spells_meet_every_call_in_them() -> None:
    """In a share of the seconds each call takes slow_latency longer, in the others none does; the seed decides which."""
    now = [0.0]
    plan = FaultPlan(parse_settings("slow_share=25%,slow_latency=2s,seed=3"), lambda: now[0])
    delays: list[float] = []
    for second in range(1000):
        drawn = set()
        for part in range(4):
            now[0] = second + part / 4
            drawn.add(plan.draw("StartChatContact").delay_in)
        assert len(drawn) == 1
        delays += drawn
    assert set(delays) == {0.0, 1.0}
    assert abs(delays.count(1.0) / 1000 - 0.25) < 0.05


def test_no_disturbance_without_settings() -> None:
    """Without delays and faults there is nothing to draw."""
    assert not FaultPlan(parse_settings("")).active
    assert FaultPlan(parse_settings("latency=1ms")).active
    assert FaultPlan(parse_settings("throttle_latency=1ms")).active


def test_round_trip_of_one_operation_follows_what_it_does_not_set() -> None:
    """An operation's own latency has the common sigma, and its own sigma the common latency, also as they change."""
    first = parse_settings("StopContact.latency_sigma=0.5,SendMessage.latency=1s,latency_sigma=0.2")
    later = parse_settings("latency=20ms,latency_sigma=0.1", start=first)
    trips = [later.round_trip(name) for name in ("StopContact", "SendMessage", "StartChatContact")]
    assert [(trip.median, trip.sigma) for trip in trips] == [(0.02, 0.5), (1.0, 0.1), (0.02, 0.1)]


def test_call_on_its_way_is_forgotten_by_a_reset() -> None:
    """A call that a reset finds under way starts no chat in what comes after it."""
    with (
        running("sigv4=no,latency=1s") as emulator,
        socket.create_connection(("127.0.0.1", emulator.port), timeout=10) as connection,
    ):
        connection.sendall(request(emulator.where))
        call(emulator, "/_emulator/reset", "POST", {"latency": "0"})
        with pytest.raises(ConnectionError):
            connection.recv(1)
        assert call(emulator, "/_emulator/state")["open_chats"] == 0
