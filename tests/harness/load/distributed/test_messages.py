"""What comes over the network from workers is checked: hostile messages are refused, counted, and change nothing."""

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.load.distributed.messages import (
    Announcement,
    Ask,
    BadMessage,
    Drained,
    End,
    Hopeless,
    Item,
    Message,
    Refusals,
    Report,
    Trouble,
    printable,
    read,
    write,
)
from harness.load.distributed.shipping import LEDGER_ITEM, SAMPLES_ITEM, Inbox
from harness.load.session.budget import Pool
from harness.quotas.stages import Stage
from harness.recording.format.manifest import Chats
from harness.recording.format.schema import JOURNAL_SCHEMA, Sample, to_batch
from harness.recording.summary import Cpu, ErrorText, OutcomeCount, SdkTally, Summary, add_up

HOSTILE_NAMES = [
    "../outside",
    "a/b",
    "/etc/passwd",
    "..",
    ".hidden",
    "a..b",
    "",
    "x" * 201,
    "worker\0",
    "worker\n",
    "worker-1\x1b[2J",
    "wörker",
    "con trol",
    "worker-1\\x",
    7,
    None,
    ["worker-1"],
]
"""Names that would leave the run directory, break a line of the log, or be no file's name."""

SUMMARY = Summary(
    worker="worker-1",
    offered=5,
    sent=4,
    dropped=1,
    dropped_by_second={1_700_000_000: 1},
    offering_seconds=2.5,
    outcomes=(OutcomeCount("StartChatContact", "started", 3), OutcomeCount("StartChatContact", "tps_throttled", 1)),
    answers=(ErrorText("StartChatContact", "tps_throttled", 429, "TooManyRequestsException", "slow down", 1, 17.0),),
    lateness={0: 3, 1200: 1},
    cpu=Cpu(1.0, 2.0, 55.0),
    samples=4,
    troubles=("the disk is full",),
    chats=Chats(started=3, stopped=2, left_open=1),
    chat_ends={"EXPIRED": 1},
    sdk_retries=(SdkTally("standard", 3, (1.0, 2.0), {1: 2, 3: 1}, {"tps_throttled": 1}, 0, {4: 2}, {0: 2}),),
    stages=(Stage("volley", 1.5, 2.5, rest=4.0),),
)


def on_the_wire(message: Message) -> Any:
    """What arrives of a message that Locust sends: packed and unpacked as its `rpc.protocol` does it."""
    return msgpack.loads(msgpack.dumps(write(message)), raw=False, strict_map_key=False)


@pytest.mark.parametrize(
    "message",
    [
        Report(run_id="r-1", summary=SUMMARY, items=[Item(1, 0, b"\x00\xff"), Item(2, 1, b"{}\n")]),
        Ask(run_id="r-1", wanted=3, returned=1, kept=2),
        End(run_id="r-1", why="probe", exit_code=None),
        Hopeless(run_id="r-1", outcome="access_denied", status=403, error_code=None, message="no"),
        Announcement(
            run_id="r-1",
            directory="/runs/r-1",
            user_class="StartChat",
            names={"host_1": "worker-0"},
            order=["host_1"],
            workload=("", "x"),
            lab=None,
        ),
    ],
)
def test_a_message_arrives_as_it_was_sent(message: Message) -> None:
    """Every number, text and byte comes out of Locust's own packing as it went in."""
    assert read(type(message), on_the_wire(message)) == message


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_name_that_is_no_workers_is_refused(name: Any) -> None:
    """No path, no dots that climb, no control character, no length without bound: it never becomes a file's name."""
    report: Any = on_the_wire(Report(run_id="r-1", summary=SUMMARY, items=None))
    report["summary"]["worker"] = name
    with pytest.raises(BadMessage):
        read(Report, report)
    run = Announcement(
        run_id="r-1", directory="/r", user_class="A", names={"h": "w"}, order=[], workload=("", ""), lab=None
    )
    announced: Any = on_the_wire(run)
    with pytest.raises(BadMessage):
        read(Announcement, {**announced, "run_id": name})
    with pytest.raises(BadMessage):
        read(Announcement, {**announced, "names": {"h": name}})


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10) | st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(value=_VALUES, seed=st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_any_value_anywhere_is_read_or_refused(value: object, seed: int) -> None:
    """A report with any of its values replaced is a report, which adds up, or one BadMessage: nothing else is raised."""
    rng = random.Random(seed)
    report: Any = on_the_wire(Report(run_id="r-1", summary=SUMMARY, items=[Item(1, 0, b"x")]))
    table = rng.choice([report, report["summary"], report["summary"]["cpu"], report["summary"]["chats"]])
    table[rng.choice(list(table))] = value
    try:
        message = read(Report, report)
    except BadMessage:
        return
    add_up([message.summary, SUMMARY])


@pytest.mark.parametrize("value", [-1, 2**70, "7", 1.5, True, None, float("nan")])
def test_a_count_is_a_whole_number_that_may_be_one(value: object) -> None:
    """Negative, huge and untyped counts are refused, in summaries and in messages about the budget."""
    report: Any = on_the_wire(Report(run_id="r-1", summary=SUMMARY, items=None))
    report["summary"]["offered"] = value
    with pytest.raises(BadMessage):
        read(Report, report)
    with pytest.raises(BadMessage):
        read(Ask, {"run_id": "r-1", "wanted": 1, "returned": value, "kept": 0})


@given(
    most=st.integers(1, 100),
    asks=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(-5, 300), st.integers(-5, 300), st.integers(-5, 300)), max_size=40
    ),
)
@settings(max_examples=60, deadline=None)
def test_no_message_raises_the_budget(most: int, asks: list[tuple[str, int, int, int]]) -> None:
    """Whatever workers say, what is granted and not given back, with what is left, never exceeds --max-chats."""
    pool, held = Pool(most), dict.fromkeys("abc", 0)
    given_back = dict.fromkeys("abc", 0)
    for worker, wanted, returned, kept in asks:
        before = pool.left
        try:
            granted, _ = pool.ask(worker, wanted, returned, kept)
        except ValueError:
            assert pool.left == before
            continue
        given_back[worker] = max(given_back[worker], returned)
        held[worker] = granted - given_back[worker]
        assert min(held.values()) >= 0
        assert sum(held.values()) + pool.left == most


def test_a_worker_cannot_give_back_what_it_was_not_granted() -> None:
    """A budget of 10 stays one: the message is refused, and says what is wrong with it."""
    pool = Pool(10)
    pool.ask("a", 4, 0, 0)
    with pytest.raises(ValueError, match="1,000 places given back and 0 spent, of 4 granted"):
        pool.ask("a", 4, 1000, 0)
    with pytest.raises(ValueError, match="3 places given back and 2 spent, of 4 granted"):
        pool.ask("a", 4, 3, 2)
    assert pool.left == 6


@pytest.mark.parametrize(
    "item",
    [
        Item(1, SAMPLES_ITEM, b""),
        Item(1, SAMPLES_ITEM, os.urandom(300)),
        Item(1, SAMPLES_ITEM, (2**62).to_bytes(8, "little") + os.urandom(300)),
        Item(1, LEDGER_ITEM, b"no line"),
        Item(1, LEDGER_ITEM, b'{"event": "started"}\n{"event":\n"ended"}\n'),
        Item(1, LEDGER_ITEM, b'{"event": "started"} {"event": "ended"}\n{"event":\n"ended"}\n'),
        Item(1, LEDGER_ITEM, b'{"event": "started"}\n\n{"event": "ended"}\n'),
        Item(1, LEDGER_ITEM, b"[1]\n"),
        Item(1, LEDGER_ITEM, b'{"event": "' + b"x" * 20_000 + b'"}\n'),
        Item(1, LEDGER_ITEM, b'{"event": "a"}\n' * 2_000 + b'{"event": "' + b"x" * 20_000 + b'"}\n{"event": "a"}\n'),
    ],
    ids=[
        *("no samples", "noise", "a size that no memory has", "no end of line", "a broken line", "two in one line"),
        *("an empty line", "no object", "too long", "one too long"),
    ],
)
def test_what_is_shipped_is_checked_before_it_is_written(tmp_path: Path, item: Item) -> None:
    """Noise in place of samples or of a ledger's line is refused, not acknowledged, and leaves no file."""
    inbox = Inbox(tmp_path, "worker-1", _at_once)
    with pytest.raises(BadMessage):
        inbox.receive([item])
    assert inbox.number == 0
    inbox.close()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_samples_that_another_version_packed_are_told_from_noise(tmp_path: Path) -> None:
    """Arrow's own stream was shipped before: who reads why it is refused can act on it."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, JOURNAL_SCHEMA) as stream:
        stream.write_batch(to_batch([Sample("StopContact", 0.0, 0.0, 1.0, "ok")]))
    with pytest.raises(BadMessage, match="of another version"):
        Inbox(tmp_path, "worker-0", _at_once).receive([Item(1, SAMPLES_ITEM, sink.getvalue().to_pybytes())])


def _at_once(work: Callable[[], object]) -> None:
    work()


def test_refused_messages_are_counted_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """The log names the sender and the reason once, on one line; the run's record gets the number."""
    refusals = Refusals()
    sender = "host\n\x1b[31mforged"
    for _ in range(3):
        with pytest.raises(BadMessage) as raised:
            read(Drained, {"run_id": "../r", "complete": True})
        refusals.note(sender, raised.value)
    for number in range(500):
        refusals.note(f"stranger-{number}", BadMessage("x"))
    assert len(refusals.counts) <= 101
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) <= 101
    assert all(line.isprintable() for line in lines)
    assert refusals.sentence(sender, "worker-1") == (
        "3 messages of worker-1 were refused, for not being what a worker sends: use the same chatquota on master and "
        "workers"
    )
    assert refusals.sentence("nobody", "worker-2") is None


def test_what_a_worker_says_stays_on_its_line() -> None:
    """A trouble with control characters cannot write further lines into the log or onto the terminal."""
    said = read(Trouble, {"run_id": "r", "said": "full\r\n\x1b[2JERROR: run is valid"}).said
    assert printable(said).isprintable()
    assert len(printable("x" * 10_000)) == 500


def test_summaries_add_up() -> None:
    """Counts add, times take the longest, the same trouble is said once, the most frequent answer comes first."""
    other = msgspec.structs.replace(SUMMARY, worker="worker-2", offering_seconds=1.0, cpu=Cpu(0.5, 2.0, 80.0))
    total = add_up([SUMMARY, other])
    assert (total.offered, total.sent, total.dropped, total.samples) == (10, 8, 2, 8)
    assert (total.offering_seconds, total.cpu) == (2.5, Cpu(1.5, 4.0, 80.0))
    assert total.outcomes_of("StartChatContact") == {"started": 6, "tps_throttled": 2}
    assert total.dropped_by_second == {1_700_000_000: 2}
    assert total.lateness == {0: 6, 1200: 2}
    assert total.troubles == ("the disk is full",)
    assert total.chats == Chats(started=6, stopped=4, left_open=2)
    assert total.answers[0].count == 2
    assert len(total.sdk_retries) == 2
    assert add_up([]) == Summary(worker="all")
