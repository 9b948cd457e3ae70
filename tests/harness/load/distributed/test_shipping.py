"""What a worker ships arrives once, in order, whatever the connection loses."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.load.distributed.shipping import SEND_AGAIN_AFTER, Inbox, Outbox
from harness.recording.format.layout import ledger_path
from harness.recording.format.schema import Sample, to_batch
from tests.support.locust_runs import samples


def _at_once(work: Callable[[], object]) -> None:
    work()


def _batch(number: int) -> list[Sample]:
    return [Sample("StartChatContact", 1.0, 1.0, 1.0, "started", 200, request_id=f"{number}.{row}") for row in range(2)]


@given(seed=st.integers(0, 2**32), loss=st.sampled_from([0.0, 0.2, 0.7]))
@settings(max_examples=25, deadline=None)
def test_everything_arrives_once_in_order(tmp_path_factory: pytest.TempPathFactory, seed: int, loss: float) -> None:
    """Messages and acknowledgements may be lost: samples and ledger lines still arrive exactly once, in order."""
    directory = tmp_path_factory.mktemp("run")
    rng, now = random.Random(seed), 0.0
    outbox, inbox = Outbox(), Inbox(directory, "w", _at_once)
    waiting = list(range(12))
    while waiting or not outbox.empty:
        if waiting and rng.random() < 0.5:
            number = waiting.pop(0)
            outbox.add_samples(to_batch(_batch(number)))
            outbox.add_ledger_line(b'{"n":%d}\n' % number)
        items = outbox.take(now)
        if rng.random() >= loss:
            number = inbox.receive(items)
            if rng.random() >= loss:
                outbox.acknowledged(number, now)
        now += SEND_AGAIN_AFTER / 3
        assert now < 1e5
    inbox.close()
    assert inbox.rows == 24
    assert [row["request_id"] for row in samples(directory)] == [f"{n}.{row}" for n in range(12) for row in range(2)]
    assert ledger_path(directory, "w").read_bytes() == b"".join(b'{"n":%d}\n' % n for n in range(12))


def test_nothing_is_sent_twice_while_answers_come(tmp_path: Path) -> None:
    """Only a long silence makes the worker send again: a report every three seconds does not."""
    outbox = Outbox()
    outbox.add_ledger_line(b"1\n")
    assert [item.number for item in outbox.take(100.0)] == [1]
    outbox.add_ledger_line(b"2\n")
    assert [item.number for item in outbox.take(103.0)] == [2]
    assert outbox.take(106.0) == []
    assert not outbox.unsent
    assert [item.number for item in outbox.take(100.0 + SEND_AGAIN_AFTER + 1)] == [1, 2]
    outbox.acknowledged(2, 112.0)
    assert outbox.empty
