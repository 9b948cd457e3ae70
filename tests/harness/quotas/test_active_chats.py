"""What is inferred of the limit on chats open at once."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.load.probe.actions import ProbeOptions
from harness.quotas.active_chats import infer_active_chats
from harness.quotas.attempts import Attempts
from tests.support.virtual.driver import probe
from tests.support.virtual.living import Living
from tests.support.virtual.services import Latency, Service, TokenBucket

Row = tuple[float, float, str]


def attempts(rows: list[Row]) -> Attempts:
    """Rows of (sent, received, outcome)."""
    return Attempts.of([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows])


def met_again(quota: int, times: int, since: float) -> tuple[list[Row], list[float]]:
    """The limit met `times` times more, ten seconds apart: one chat ends, one start is admitted, the next is refused."""
    rows: list[Row] = []
    ends = []
    for number in range(times):
        at = since + 10.0 * number
        ends.append(at)
        rows += [(at + 3, at + 3.1, "started"), (at + 6, at + 6.1, "active_chat_limit")]
    return rows, ends


def filled(quota: int, refusals: int = 2) -> list[Row]:
    """One start a second up to the quota, then refusals."""
    rows = [(float(k), k + 0.1, "started") for k in range(quota)]
    return rows + [(float(quota + k), quota + k + 0.1, "active_chat_limit") for k in range(refusals)]


@settings(max_examples=30)
@given(quota=st.integers(1, 300))
def test_a_limit_met_again_and_again_is_exact(quota: int) -> None:
    """A fill whose limit is met twice more, with a slot freed in between, tells the quota to the last chat."""
    rows, ends = met_again(quota, 2, quota + 10.0)
    found = infer_active_chats(attempts(filled(quota) + rows), ends)
    assert (found.verdict, found.chats.estimate, found.chats.exact) == ("explained", quota, True)


@settings(max_examples=30)
@given(quota=st.integers(4, 300))
def test_a_limit_met_once_is_a_range(quota: int) -> None:
    """One fill cannot tell a service that counts at once from one that counts seconds late: the quota is in a range."""
    found = infer_active_chats(attempts(filled(quota)), [])
    assert found.verdict == "explained"
    assert (found.chats.low, found.chats.high) == (quota - 2, quota)


@pytest.mark.parametrize("lags", [(0.5, 0.0), (2.0, 0.0), (0.0, 10.0), (0.0, 60.0)], ids=str)
def test_late_counts_and_late_slots_are_findings(lags: tuple[float, float]) -> None:
    """A service that counts chats late, or frees their slots late, gets a range that holds its quota, and its name."""
    latency = Latency(0.03, 0.1, 0.5, random.Random(1))
    service = Service(TokenBucket(5, 8), 60, latency, count_lag=lags[0], slot_lag=lags[1])
    found = probe(service, ProbeOptions("active-chats", max_rate=500.0, seed=1)).known.active_chats
    assert found is not None
    assert found.chats.low is not None
    assert found.chats.high is not None
    assert found.chats.low <= 60 <= found.chats.high
    assert ("overshoot" if lags[0] else "slot_lag_s") in found.evidence


def test_a_slot_that_comes_back_is_used_again() -> None:
    """A start after one of our chats was stopped does not raise the quota."""
    again: list[Row] = [(30.0, 30.1, "started"), (32.0, 32.1, "active_chat_limit")]
    found = infer_active_chats(attempts(filled(20) + again), [25.0])
    assert (found.verdict, found.chats.estimate) == ("explained", 20)
    assert found.open_chats.max() == 20


def test_without_a_refusal_there_is_a_lower_bound_only() -> None:
    """Chats that were all admitted are known to be possible, and no more."""
    found = infer_active_chats(attempts(filled(20, refusals=0)), [])
    assert (found.verdict, found.chats.low, found.chats.high) == ("lower_bound", 20, None)


def test_others_that_take_slots_are_told() -> None:
    """A start that is refused with fewer of ours open than another was admitted with before met somebody else's chats."""
    rows = [*filled(20, refusals=0), (200.0, 200.1, "active_chat_limit")]
    found = infer_active_chats(attempts(rows), [40.0] * 5)
    assert (found.verdict, found.chats.estimate, found.chats.low) == ("not_explained", None, 20)
    assert found.evidence["others_at_least"] == 5


def test_a_start_admitted_after_a_refusal_may_have_met_an_end_that_nobody_saw() -> None:
    """Ours that ended without being stopped are not counted as open: the bound leaves room for those that did before."""
    found = infer_active_chats(attempts([*filled(20), (40.0, 40.1, "started")]), [])
    assert (found.verdict, found.chats.estimate, found.chats.high) == ("not_explained", None, None)
    assert found.chats.low is not None
    assert found.chats.low < 20


@pytest.mark.parametrize("seed", range(4))
def test_chats_that_end_by_themselves_do_not_raise_the_quota(seed: int) -> None:
    """While a probe looks for the quota, chats end after a minute or five: what it says of the quota holds the true one."""
    latency = Latency(0.03, 0.1, 0.5, random.Random(seed))
    service = Living(TokenBucket(8, 12), 60, latency, lives=60.0 if seed % 2 else 300.0)
    found = probe(service, ProbeOptions("active-chats", max_rate=500.0, seed=seed)).known.active_chats
    assert found is not None
    assert not found.chats.exact
    assert (found.chats.low or 0) <= 60 <= (found.chats.high or math.inf)


def test_chats_that_nobody_tried_to_stop_may_be_gone_too() -> None:
    """Of five chats that were stopped one was gone; as many as four in five of the others may be."""
    rows = filled(20)
    found = infer_active_chats(attempts(rows), [50.0] * 5, already_ended=1)
    assert (found.chats.low, found.chats.high) == (20 - 1 - 12, 20)


def test_calls_that_overlap_widen_the_bounds() -> None:
    """A refusal that was on the wire together with a start may have come before it or after it."""
    rows = [*filled(9, refusals=0), (9.0, 9.3, "started"), (9.1, 9.2, "active_chat_limit")]
    found = infer_active_chats(attempts(rows), [])
    assert (found.chats.low, found.chats.high) == (8, 10)


def test_a_call_without_an_answer_may_hold_a_slot() -> None:
    """A start that timed out before the refusal leaves the quota open by one."""
    found = infer_active_chats(attempts([(-5.0, -1.0, "timeout"), *filled(20)]), [])
    assert (found.verdict, found.chats.low, found.chats.high) == ("explained", 18, 21)


def test_chats_that_ended_unseen_leave_no_number() -> None:
    """Chats of ours that somebody else ended make the count at the refusal an upper bound."""
    found = infer_active_chats(attempts(filled(20)), [50.0] * 20, already_ended=3)
    assert (found.verdict, found.chats.estimate, found.chats.low, found.chats.high) == ("not_explained", None, 17, 20)


def test_an_empty_record_says_so() -> None:
    """No attempt, no number."""
    found = infer_active_chats(attempts([]), [])
    assert (found.verdict, found.chats.low) == ("lower_bound", 0)
    assert "not met" in found.sentence()


def test_a_stop_frees_nothing_before_it_is_sent() -> None:
    """Chats that are stopped right after the last start count as open at it; of untimed stops that is not known."""
    starts = attempts([(0.2 * k, 0.2 * k + 0.01, "started") for k in range(40)])
    stopped = [8.0 + 0.01 * k for k in range(40)]
    known = infer_active_chats(starts, stopped, ends_sent=[at - 0.005 for at in stopped])
    assert (known.chats.low, known.verdict) == (40, "lower_bound")
    untold = infer_active_chats(starts, stopped, ends_sent=[math.nan] * 40)
    assert untold.chats.low == infer_active_chats(starts, stopped).chats.low == 30


@pytest.mark.parametrize("outcome", ["service_error", "timeout", "connection_error"])
def test_calls_that_failed_widen_the_bound_and_not_the_number(outcome: str) -> None:
    """A failed call may have begun a chat, so the limit may be higher by it; the number is that of the chats that began."""
    rows = [*filled(20), *((0.5 + k, 0.55 + k, outcome) for k in range(8))]
    found = infer_active_chats(attempts(rows), []).chats
    assert (found.estimate, found.high) == (20, 28)
