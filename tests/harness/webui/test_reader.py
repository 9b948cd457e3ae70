"""The process behind the Quotas tab: follows journals through their changes, counts, infers, and says it in rows."""

import random
import re
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.quotas.estimates import Interval, TpsEstimate
from harness.quotas.tps.journey import JourneyCost, binding_order
from harness.recording.format.layout import SAMPLES
from harness.recording.format.schema import Sample, to_batch
from harness.recording.journal import Journal
from harness.webui.journals import Follower
from harness.webui.reader import Live, pause_after
from harness.webui.table import number, rate_estimate, rows

EPOCH = 1_790_000_000.0


@settings(max_examples=20)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.data())
def test_each_sample_is_read_once_however_the_files_change(sizes: list[int], data: st.DataObject) -> None:
    """Rows written in any batches, read at any moments, and turned into parquet in between come exactly once."""
    import tempfile

    with tempfile.TemporaryDirectory() as where:
        directory = Path(where)
        journal = Journal(directory, "local")
        follower, seen, written = Follower(directory), [], 0
        for size in sizes:
            if size:
                journal.append(
                    to_batch([Sample("StopContact", 0.0, 0.0, float(written + n), "ok") for n in range(size)])
                )
                written += size
            if data.draw(st.booleans()):
                seen += [at for batch in follower.read() for at in batch.column("received").to_pylist()]
        journal.close()
        for _ in range(2):
            seen += [at for batch in follower.read() for at in batch.column("received").to_pylist()]
    assert seen == [float(n) for n in range(written)]


def test_counts_active_chats_and_estimates_follow_the_samples(tmp_path: Path) -> None:
    """A bucket of 5/s and burst 8 under a quota of 30 chats is found live, and the table says so."""
    journal = Journal(tmp_path / SAMPLES, "local")
    rng, tokens, last, at, open_chats = random.Random(1), 8.0, 0.0, 0.0, 0
    expected: Counter[str] = Counter()
    for n in range(400):
        at += rng.expovariate(11)
        tokens, last = min(8.0, tokens + (at - last) * 5), at
        outcome = "tps_throttled"
        if tokens >= 1:
            tokens -= 1
            outcome = "started" if open_chats < 30 else "active_chat_limit"
            open_chats += outcome == "started"
        expected[outcome] += 1
        sent = EPOCH + at - rng.uniform(0.001, 0.002)
        received = EPOCH + at + rng.uniform(0.001, 0.002)
        contact = f"c{n}" if outcome == "started" else None
        journal.append(to_batch([Sample("StartChatContact", sent, sent, received, outcome, contact_id=contact)]))
    live = Live(tmp_path)
    live.update()
    live.settle()
    said = live.answer()
    assert said["counts"] == {"StartChatContact": dict(expected)}
    assert (said["open"], said["most_open"]) == (30, 30)
    table = {row["limit"]: row for row in rows({**said, "run": "r", "phase": "running", "chats": {"left_open": 30}})}
    assert table["Active chats"]["estimate"] == "30 (18 to 30)"
    assert table["Active chats"]["full"] == expected["active_chat_limit"]
    assert str(table["StartChatContact calls/s"]["estimate"]).endswith("burst at least 8")
    assert table["Chats left to stop"]["now"] == "30 of 0"
    assert sum(said["series"]["open"][-1:]) == 30
    journal.close()


def test_a_limit_that_is_bounded_on_one_side_is_told_as_that_bound() -> None:
    """A burst that was never seen used up from full is at least so many, as in the report, and not a number of its own."""
    rate = {"estimate": 5.00017, "low": 4.99767, "high": 5.00267}
    found = {"verdict": "explained", "rate": rate, "burst": {"estimate": 8, "low": 8, "high": None}}
    assert rate_estimate(found) == "5/s (4.998 to 5.003), burst at least 8"
    found["burst"] = {"estimate": 8, "low": 8, "high": 8}
    assert rate_estimate(found) == "5/s (4.998 to 5.003), burst 8"
    found["rate"] = {"estimate": 6.1, "low": 5.5, "high": None}
    assert rate_estimate(found) == "at least 5.5/s, burst 8"


def test_a_limiter_that_is_not_exact_shows_what_it_sustains(tmp_path: Path) -> None:
    """Where a decision in ten goes the other way the row says the sustained rate and that no exact limiter explains it."""
    journal = Journal(tmp_path / SAMPLES, "local")
    rng, tokens, last = random.Random(2), 8.0, 0.0
    for n in range(600):
        at = n / 15
        tokens, last = min(8.0, tokens + (at - last) * 5), at
        admitted = tokens >= 1
        tokens -= admitted
        admitted ^= rng.random() < 0.1
        outcome = "started" if admitted else "tps_throttled"
        times = EPOCH + at, EPOCH + at, EPOCH + at + 0.002
        journal.append(
            to_batch([Sample("StartChatContact", *times, outcome, contact_id=f"c{n}" if admitted else None)])
        )
    live = Live(tmp_path)
    live.update()
    live.settle()
    table = {row["limit"]: row for row in rows({**live.answer(), "run": "r", "phase": "running", "chats": {}})}
    said = str(table["StartChatContact calls/s"]["estimate"])
    assert re.match(r"sustains [56]\.\d+/s \([\d.]+ to [\d.]+, 95 %\); no exact limiter explains it so far$", said), (
        said
    )
    journal.close()


def test_operation_that_allows_the_fewest_chats_binds_first() -> None:
    """The order follows rate over calls a chat, counted on unhindered chats; unmet limits are left out."""

    def limit(rate: float) -> TpsEstimate:
        return TpsEstimate(Interval(rate, rate - 0.1, rate + 0.1), Interval.exactly(9), "token_bucket", "explained")

    cost = JourneyCost()
    for chat, outcomes in {"a": ["ok"] * 4, "b": ["ok", "tps_throttled"] * 4, "c": ["ok"]}.items():
        for outcome in outcomes:
            cost.add(chat, "SendMessage", outcome)
        cost.add(chat, "CreateParticipantConnection", "ok")
        cost.ended(chat, by_customer=chat != "c")
    assert cost.calls_per_chat() == {"SendMessage": 4.0, "CreateParticipantConnection": 1.0}
    unmet = TpsEstimate(Interval(None, 3.0, None), Interval(), "unknown", "lower_bound")
    limits = {"CreateParticipantConnection": limit(6), "SendMessage": limit(10), "SendEvent": unmet}
    order = binding_order(limits, {**cost.calls_per_chat(), "SendEvent": 1.0})
    assert [(found.operation, found.at_least) for found in order] == [
        ("SendMessage", 2.5),
        ("CreateParticipantConnection", 6.0),
    ]


def test_numbers_are_short() -> None:
    """Four digits that count."""
    assert [number(value) for value in (5.0, 4.99871, 12345.6, 0.33333, None)] == [
        "5",
        "4.999",
        "12,350",
        "0.3333",
        "?",
    ]


def test_no_estimate_waits_long_for_the_next() -> None:
    """An estimate rests as long as it worked, within 2 s and 10 s: after a stall the column comes back by itself."""
    assert [pause_after(spent) for spent in (0.0, 2.5, 9.0, 200.0, 3_600.0)] == [2.0, 2.5, 9.0, 10.0, 10.0]
