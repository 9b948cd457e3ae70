"""Every number of the page of real runs, counted again from their samples and ledgers with pandas and json alone."""

import html
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.command import main
from tests.harness.emulator.support import running
from tests.support.emulated import STOPS_AT_ONCE, load

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

FLOW = """
[bot]
delay = "80ms"
lost = 0.2
never_greets = 0.2
[queue]
agents = 3
answer_after = "200ms"
handling_time = "2s"
[[rules]]
on = "connect"
steps = [{ say = "Welcome!" }]
[[rules]]
on = "message"
while = "bot"
once = true
steps = [{ say = "You are in the queue." }, { queue = true }]
[[rules]]
on = "message"
while = "agent"
steps = [{ say = "I see." }, { wait = "500ms" }, { end = true }]
"""
ROOMY = (
    "CreateParticipantConnection.rate=50,CreateParticipantConnection.burst=50,SendMessage.rate=50,SendMessage.burst=50"
)
TALK = ("-u", "5", "-r", "5", "--hold", "1s", "--think-time", "200ms", "--reply-timeout", "1s")
RUNS = {
    "plain": ("StartChat", f"rate=6,burst=5,active_chats=20,{STOPS_AT_ONCE}", ("-u", "12", "-r", "12", "--hold", "3s")),
    "conversation": (
        "ChatConversation",
        f"starts_flow=connection,seed=5,{ROOMY},SendEvent.rate=4,SendEvent.burst=3,{STOPS_AT_ONCE}",
        (*TALK, "--queue-message", "(?i)in the queue"),
    ),
}
CALLS, NO_CALLS = "Every attempt of this run", "What the customer's websocket saw"
CALLED = re.compile("^(Start|Stop|Describe|Create|Send(Message|Event)|GetTranscript|Disconnect)")
SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
BUSY = 5
"""The exit code of a run that a busy machine made late: its numbers must be right all the same."""


class Reported:
    """A reported run: its rows and ledger lines as they are on disk, and what capacity.json and page say of them."""

    def __init__(self, run: Path) -> None:
        self.rows = pd.read_parquet(run / "samples").astype({"operation": str, "outcome": str})
        lines = [line for ledger in run.glob("contacts.*.jsonl") for line in ledger.read_text().splitlines()]
        self.ledger = pd.DataFrame([json.loads(line) for line in lines])
        self.answer: dict[str, Any] = json.loads((run / "capacity.json").read_text())
        self.page = html.unescape((run / "report.html").read_text())
        self.starts = self.rows[self.rows.operation == "StartChatContact"]

    def of(self, operation: str, outcome: str) -> pd.DataFrame:
        """The rows of an operation with an outcome."""
        return self.rows[(self.rows.operation == operation) & (self.rows.outcome == outcome)]

    def cells(self, table: str, first: str) -> list[str]:
        """The cells of the row that begins with `first`, of the first table after the words `table`, as texts."""
        body = self.page[self.page.index(table) :].split("</table>")[0]
        for row in re.findall(r"<tr[^>]*>(.*?)</tr>", body, re.DOTALL):
            texts = [re.sub("<[^>]+>", "", cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)]
            if texts and texts[0] == first:
                return texts[1:]
        raise AssertionError(f"{table} has no row {first}")


@pytest.fixture(scope="module", params=list(RUNS))
def reported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """A short run of each kind against the emulator."""
    user, spec, options = RUNS[request.param]
    place = tmp_path_factory.mktemp("counted")
    if user == "ChatConversation":
        (place / "flow.toml").write_text(FLOW)
        spec = f"flow={place / 'flow.toml'},{spec}"
    with running(spec) as emulator:
        load(emulator, user, place / "run", "-t", "10s", *options, codes=(0, BUSY))
    assert main(["report", str(place / "run"), "--quiet", "--no-figures"]) == 0
    return Reported(place / "run")


def quantile(seconds: "pd.Series[float]", share: float) -> float:
    """The smallest value that the share does not exceed, in ms."""
    return float(np.quantile(seconds * 1000, share, method="inverted_cdf"))


def check_latency(told: dict[str, Any], rows: pd.DataFrame) -> None:
    """Both tables of quantiles are those of the rows, within 0.1 %."""
    assert told["n"] == len(rows)
    for table, since in ((told, rows.scheduled), (told["from_sent"], rows.sent)):
        for name, share in SHARES.items():
            assert table[name] == pytest.approx(quantile(rows.received - since, share), rel=0.0011, abs=0.002), name


def shown(cell: str) -> float:
    """The first number of a cell."""
    match = re.match(r"[\d,.]+", cell)
    assert match is not None, cell
    return float(match[0].replace(",", ""))


def wilson(count: int, of: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    share, z = count / of, 1.959964
    middle, half = share + z * z / 2 / of, z * np.sqrt(share * (1 - share) / of + z * z / 4 / of / of)
    return (middle - half) / (1 + z * z / of), (middle + half) / (1 + z * z / of)


def test_outcomes_and_their_latency(reported: Reported) -> None:
    """Counts, shares and quantiles by outcome, in capacity.json and in the page's table."""
    counted = reported.starts.outcome.value_counts()
    assert {name: count for name, count in reported.answer["outcomes"].items() if count} == counted.to_dict()
    labels = {"started": "started", "tps_throttled": "TPS throttled", "active_chat_limit": "active-chat limit"}
    for name, count in counted.items():
        assert reported.answer["outcome_share"][name] == pytest.approx(count / len(reported.starts))
        rows = reported.starts[reported.starts.outcome == name]
        check_latency(reported.answer["latency_ms"][name], rows)
        number, share, p50, *_ = reported.cells("StartChatContact attempts by outcome", labels[str(name)])
        assert shown(number) == count
        assert shown(share) == pytest.approx(100 * count / len(reported.starts), abs=0.051)
        assert shown(p50) == pytest.approx(quantile(rows.received - rows.scheduled, 0.5), rel=0.007)
    assert counted["started"] > 10


def test_operations(reported: Reported) -> None:
    """Attempts, outcomes, rates and latency of each operation, and the row of each on the page."""
    answer, rows = reported.answer, reported.rows
    assert answer["run"]["samples"] == len(rows)
    assert set(answer["operations"]) == set(rows.operation)
    for name, told in answer["operations"].items():
        of_it = rows[rows.operation == name]
        assert told["outcomes"] == of_it.outcome.value_counts().to_dict()
        served = of_it[of_it.outcome == ("started" if name == "StartChatContact" else "ok")]
        assert (told["attempts"], told["served"]) == (len(of_it), len(served))
        assert told["throttled"] == (of_it.outcome == "tps_throttled").sum()
        if len(served):
            check_latency(told["latency_ms"], served)
        counted = answer["locust"].get(name)
        if counted is not None:
            assert (counted["num_requests"], counted["num_failures"]) == (len(of_it), len(of_it) - len(served))
        if answer["run"]["user_class"] == "ChatConversation":
            cells = reported.cells(CALLS, name)[3:] if CALLED.search(name) else reported.cells(NO_CALLS, name)
            assert (shown(cells[0]), shown(cells[1])) == (len(of_it), len(served))


def test_the_generator(reported: Reported) -> None:
    """What was offered and sent, the rate of it, and how late it was."""
    told, starts = reported.answer["generator"], reported.starts
    assert told["sent"] == len(starts)
    assert told["offered"] == len(starts) + told["dropped"] + told["withheld"]
    late = starts.sent - starts.scheduled
    for name, share in SHARES.items():
        assert told["measured_lateness_ms"][name] == pytest.approx(quantile(late, share), rel=0.0011, abs=0.002)
    lasted = starts.scheduled.max() - starts.scheduled.min()
    assert told["offered_per_s"] == pytest.approx(told["offered"] / lasted, rel=0.15)
    first = min(reported.rows.scheduled.min(), reported.rows.sent.min())
    assert reported.answer["run"]["measured_s"] == pytest.approx(reported.rows.received.max() - first, abs=1e-5)
    for name, seen in reported.answer["first_seen"].items():
        at = starts[starts.outcome == name].sent.min()
        assert (seen["at"], seen["after_s"]) == pytest.approx((at, at - first), abs=1e-5)


def test_chats_and_their_ends(reported: Reported) -> None:
    """What became of the chats is in the ledger, why others ended them in ledger and samples, and both on the page."""
    ledger, told = reported.ledger, reported.answer["chats"]
    begun = ledger[ledger.event == "started"].contact_id
    assert told["started"] == len(begun) == (reported.starts.outcome == "started").sum()
    ended = ledger[ledger.event == "ended"].drop_duplicates("contact_id", keep="last")
    assert set(ended.contact_id) == set(begun)
    how = ended.how.value_counts()
    assert (told["stopped"], told["already_ended"]) == (how.get("stopped", 0), how.get("already_ended", 0))
    assert told["left_open"] == told["kept"] == told["unanswered"] == 0
    reasons = reported.rows[reported.rows.operation == "EndReason"].end_reason.astype(str).value_counts().to_dict()
    assert reported.answer["chat_ends"] == reasons
    if reasons:
        assert ended.reason.dropna().value_counts().to_dict() == reasons
    for reason, count in reasons.items():
        assert shown(reported.cells("Chats that this run did not end", str(reason))[-1]) == count


def test_who_was_answered(reported: Reported) -> None:
    """Greetings, replies and waits in the queue: counts, shares with their intervals, quantiles, and the page's rows."""
    told = reported.answer["answered"]
    if reported.answer["run"]["user_class"] == "StartChat":
        assert told is None
        return
    titles = {"Greeting": "Greeting of a chat", "Reply": "Reply to a message"}
    for operation, came, missed in (("Greeting", "greeted", "no_greeting"), ("Reply", "replied", "no_reply")):
        rows, never = reported.of(operation, "ok"), len(reported.of(operation, missed))
        unknown = len(reported.of(operation, "not_awaited"))
        assert (told[came], told[missed]) == (len(rows), never)
        assert told[f"{operation.lower()}_not_awaited"] == unknown
        assert never > 0
        share = never / (never + len(rows))
        assert told[f"{missed}_share"] == pytest.approx(share)
        assert told[f"{missed}_interval"] == pytest.approx(wilson(never, never + len(rows)), abs=1e-4)
        check_latency(told[f"{operation.lower()}_ms"], rows)
        cells = reported.cells("What the customers waited for", titles[operation])
        assert [shown(cells[place]) for place in (0, 1, 3)] == [len(rows), never, unknown]
        assert shown(cells[2]) == pytest.approx(100 * share, abs=0.051)
    queue = told["queue"]
    assert queue["joined"] == len(reported.of("QueueWait", "ok")) > 0
    assert queue["no_agent"] == len(reported.of("QueueWait", "no_agent"))
    assert queue["not_awaited"] == len(reported.of("QueueWait", "not_awaited"))
    check_latency(queue["wait_ms"], reported.of("QueueWait", "ok"))
    asked = told["replied"] + told["no_reply"]
    for bands in (told["by_open_chats"], told["by_start_rate"]):
        assert sum(band["messages"] for band in bands) == asked
        assert sum(band["messages"] * band["no_reply"] for band in bands) == pytest.approx(told["no_reply"])
