"""What the customers felt, in both texts of the report: the samples' numbers, and CloudWatch's beside them."""

import json
import math
import random
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from harness.command import main
from tests.reports.conftest import MakeRun
from tests.reports.synthetic import BEGAN, Scenario, attempt, simulate

MINUTE = BEGAN // 60 * 60
Row = dict[str, Any]


def conversations(seed: int = 5, chats: int = 120) -> list[Row]:
    """Starts of a simulated run, and the waits of their customers: some are never greeted, some messages never answered."""
    rng = random.Random(seed)
    rows = simulate(Scenario(rate=50, burst=50, quota=1000, offered=8, seconds=20, seed=seed))
    started = [row for row in rows if row["outcome"] == "started"][:chats]
    for row in started:
        at, contact = row["received"], row["contact_id"]
        outcome = rng.choices(("ok", "no_greeting", "not_awaited"), (80, 15, 5))[0]
        rows.append(wait("Greeting", at, at, at + rng.uniform(0.1, 0.4), outcome, contact))
        for number in range(3):
            due = at + 1 + 2 * number
            took = rng.lognormvariate(0, 1)
            outcome = rng.choices(("ok", "no_reply", "not_awaited"), (88, 8, 4))[0]
            rows.append(wait("Reply", due, due + 0.05, due + took, outcome, contact))
    return rows


def wait(operation: str, due: float, begun: float, over: float, outcome: str, contact: str) -> Row:
    """The row of a wait that was over at `over`."""
    return attempt(operation, due, begun, over, outcome, 0, None, contact)


def reported(run: Path) -> tuple[str, str, dict[str, Any]]:
    """The report's HTML as text, its Markdown, and the answer."""
    assert main(["report", str(run), "--no-figures", "--quiet"]) == 0
    html = (run / "report.html").read_text()
    return html, (run / "report.md").read_text(), json.loads((run / "capacity.json").read_text())


def cells(html: str, first: str) -> list[str]:
    """The cells of the table row that begins with `first`, from HTML or Markdown."""
    if match := re.search(rf"<tr><td[^>]*>{re.escape(first)}</td>(.*?)</tr>", html):
        return [unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", match[1])]
    line = next(line for line in html.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.split("|")[2:-1]]


def quantile(took: list[float], share: float) -> float:
    """The smallest value that the share of the values does not exceed, in ms."""
    return sorted(took)[math.ceil(share * len(took)) - 1] * 1000


def test_both_texts_have_the_numbers_of_the_samples(make_run: MakeRun) -> None:
    """Answered, never, not known and each quantile are those that counting the rows gives."""
    rows = conversations()
    html, markdown, answer = reported(make_run(rows=rows))
    for operation, name, key in (
        ("Greeting", "Greeting of a chat", "greeting"),
        ("Reply", "Reply to a message", "reply"),
    ):
        of = [row for row in rows if row["operation"] == operation]
        came = [row["received"] - row["scheduled"] for row in of if row["outcome"] == "ok"]
        never = sum(row["outcome"] == f"no_{key}" for row in of)
        assert never > 3
        unknown = sum(row["outcome"] == "not_awaited" for row in of)
        found = answer["answered"]
        assert found[f"no_{key}"] == never
        assert found[f"no_{key}_share"] == pytest.approx(never / (never + len(came)))
        for name_of, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            assert found[f"{key}_ms"][name_of] == pytest.approx(quantile(came, share), rel=0.002)
        for text in (html, markdown):
            shown = cells(text, name)
            assert shown[:2] == [str(len(came)), str(never)]
            assert shown[2].startswith(f"{100 * never / (never + len(came)):.1f}".removesuffix(".0"))
            assert shown[3] == str(unknown)
            for place, share in ((4, 0.5), (5, 0.95), (6, 0.99), (7, 1.0)):
                assert float(shown[place].split()[0].replace(",", "")) == pytest.approx(quantile(came, share), rel=0.01)
    total = sum(row["operation"] == "Reply" and row["outcome"] != "not_awaited" for row in rows)
    assert f"{answer['answered']['no_reply']} of {total} messages were never answered" in markdown


def test_bands_of_open_chats_hold_every_message_once(make_run: MakeRun) -> None:
    """The messages of the bands add up to those that were answered or not, and the page has each band."""
    rows = conversations()
    html, markdown, answer = reported(make_run(rows=rows))
    bands = answer["answered"]["by_open_chats"]
    assert sum(band["messages"] for band in bands) == answer["answered"]["replied"] + answer["answered"]["no_reply"]
    lost = sum(round(band["no_reply"] * band["messages"]) for band in bands)
    assert lost == answer["answered"]["no_reply"]
    for band in bands:
        low, high = (f"{band[end]:,.0f}" for end in ("low", "high"))
        load = low if low == high else f"{low} to {high}"
        for text in (html, markdown):
            assert cells(text, load)[0] == str(band["messages"])


def behind(metric: str, of: str, statistic: str, *minutes: float) -> dict[str, Any]:
    """A series as a live run records it: values of the minutes from the run's first one on."""
    return {
        "source": f"cloudwatch AWS/X {metric} ({statistic})",
        "metric": metric,
        "of": of,
        "statistic": statistic,
        "known_minutes": len(minutes),
        "minutes": [{"at": MINUTE + 60 * number, "value": value} for number, value in enumerate(minutes) if value],
    }


def test_what_cloudwatch_counted_stands_beside_the_replies_of_the_minute(make_run: MakeRun) -> None:
    """Throttles of Lex are said, and stand beside the minute's replies; levels are shown; broken entries are left out."""
    rows = conversations()
    declared = {
        "behind": [
            behind("QueueSize", "Returns", "Maximum", 4, 7),
            behind("RuntimeThrottledEvents", "BOT/LIVE", "Sum", 3, 10),
            behind("Throttles", "find-order", "Sum", 0, 0),
            {"metric": 5},
        ],
        "behind_unknown": "CloudWatch answered AccessDenied",
    }
    html, markdown, answer = reported(make_run(rows=rows, declared=declared))
    for text in (html, markdown):
        assert "During the run the Lex bot BOT/LIVE throttled 13 requests (CloudWatch" in unescape(text)
        assert "Not all that stands behind the chats is known: CloudWatch answered AccessDenied." in text
        assert cells(text, "RuntimeThrottledEvents")[:2] == ["BOT/LIVE", "13"]
        assert cells(text, "QueueSize")[1] == "7"
    first, second = answer["answered"]["by_minute"]
    messages = [row for row in rows if row["operation"] == "Reply" and row["outcome"] != "not_awaited"]
    for minute, begin in ((first, MINUTE), (second, MINUTE + 60)):
        of = [row for row in messages if begin <= row["sent"] < begin + 60]
        assert (minute["at"], minute["messages"]) == (begin, len(of))
        assert minute["no_reply"] == sum(row["outcome"] == "no_reply" for row in of)


def test_what_failed_behind_the_chats_comes_with_what_to_do(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    """The largest count of each kind is said in words, on the terminal, and among what to do; minutes tell errors alone."""
    declared = {
        "behind": [
            behind("LongestQueueWaitTime", "Returns", "Maximum", 31),
            behind("RuntimeThrottledEvents", "BOT/LIVE", "Sum", 3, 10),
            behind("RuntimeConcurrency", "BOT/LIVE", "Maximum", 25, 20),
            behind("Throttles", "find-order", "Sum", 6),
            behind("Throttles", "find-name", "Sum", 2),
            behind("ContactFlowErrors", "Main", "Sum", 1),
            behind("NewMetric", "Main", "Sum", 1),
        ]
    }
    run = make_run(rows=conversations(), declared=declared)
    assert main(["report", str(run), "--no-figures"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for metric, value, of in (
        ("RuntimeThrottledEvents", 13, "BOT/LIVE"),
        ("Throttles", 6, "find-order"),
        ("ContactFlowErrors", 1, "Main"),
    ):
        assert f"{metric} {value} of {of}, by CloudWatch" in printed
    html, markdown = (unescape((run / name).read_text()) for name in ("report.html", "report.md"))
    for text in (html, markdown):
        assert (
            "The Lex bot BOT/LIVE throttled 13 requests (25 were under way at most): ask for more of Lex's quota"
            in text
        )
        assert "The Lambda function find-order was throttled 6 times: raise its reserved concurrency" in text
        assert "The flow Main took an error branch 1 time: its flow log" in text
        assert "2 more counts of errors and throttles: see the table." in text
        assert cells(text, "NewMetric")[:2] == ["Main", "1"]
        minute = cells(text, "2026-11-18 11:06:00 UTC")[0]
        assert minute.startswith(
            "the Lex bot BOT/LIVE throttled 3 requests; the Lambda function find-order was throttled 6"
        )
        assert "Returns" not in minute


def test_a_run_in_which_nothing_failed_behind_the_chats_says_so(make_run: MakeRun) -> None:
    """Where CloudWatch has data points and all are 0, that is said; where it was not asked, nothing is."""
    html, _, _ = reported(make_run(rows=conversations(), declared={"behind": [behind("Throttles", "f", "Sum", 0, 0)]}))
    assert "CloudWatch counted no error and no throttle" in html
    html, _, _ = reported(make_run(rows=conversations()))
    assert "CloudWatch counted" not in html


def agents_of(contact: str, at: float, *events: str) -> list[Row]:
    """The rows of a chat whose customer subscribed at `at` and then saw one of the events a second."""
    names = {"joined": "AgentJoined", "left": "AgentLeft", "transfer": "Transfer"}
    rows = [wait("WebSocketSubscribe", at, at, at + 0.01, "ok", contact)]
    seen = [wait(names[name], at, at, at + 1.0 + second, "ok", contact) for second, name in enumerate(events)]
    return rows + seen[::-1]  # a worker's rows need not be in order


def test_agents_and_transfers_are_counted_from_one_event_to_the_next(make_run: MakeRun) -> None:
    """Page, Markdown and capacity.json say who met an agent, was transferred, got another one, and what that took."""
    rows = [
        *conversations(),
        *agents_of("never", BEGAN + 1),
        *agents_of("once", BEGAN + 2, "joined", "left"),
        *agents_of("handed on", BEGAN + 3, "joined", "transfer", "left", "joined", "left"),
        *agents_of("to the queue", BEGAN + 4, "joined", "left", "joined"),
        *agents_of("lost", BEGAN + 5, "joined", "transfer", "left"),
        *agents_of("two agents", BEGAN + 6, "joined", "joined"),
        *agents_of("by the bot", BEGAN + 7, "transfer", "joined", "transfer", "joined"),
    ]
    html, markdown, answer = reported(make_run(rows=rows))
    found = answer["answered"]["agents"]
    assert {name: value for name, value in found.items() if not name.endswith("_ms")} == {
        "subscribed": 7,
        "joined_chats": 6,
        "joined": 10,
        "left": 5,
        "transfers": 4,
        "transferred_chats": 3,
        "not_taken_over": 1,
    }
    took = {name: (table["n"], table["p50"], table["max"]) for name, table in found.items() if name.endswith("_ms")}
    assert took == {
        "first_joined_ms": (6, pytest.approx(1000), pytest.approx(2000)),
        "until_transfer_ms": (3, pytest.approx(1000), pytest.approx(1000)),
        "next_joined_ms": (3, pytest.approx(1000), pytest.approx(2000)),
        "until_left_ms": (5, pytest.approx(1000), pytest.approx(2000)),
    }
    for text in (html, markdown):
        assert "An agent joined 6 of 7 chats: 85.7 %" in text
        assert "half of them within 1 s of the subscription" in text
        assert "3 chats were transferred, 4 times in all; p95 until the next agent 2 s." in text
        assert "After 1 transfer no agent had joined when the chat or the run ended." in text
        assert cells(text, "First agent joined") == ["the subscription", "6", "6", "1,000", "2,000", "2,000", "2,000"]
        assert cells(text, "Next agent joined")[1:3] == ["", "3"]
    html, markdown, answer = reported(make_run(rows=conversations()))
    assert answer["answered"]["agents"] is None
    assert "agents and transfers" not in html.lower() + markdown.lower()


def test_a_run_without_customers_has_no_such_section(make_run: MakeRun) -> None:
    """Where nobody waited, nothing is said of answers."""
    html, markdown, answer = reported(make_run())
    assert "Did anybody answer?" not in html
    assert "did anybody answer?" not in markdown
    assert answer.get("answered") is None
