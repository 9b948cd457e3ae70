"""Whether customers were answered, as the web UI shows it: the rows of a run's samples, and the tab in a real browser."""

import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from harness.webui.answers import Durations, answer_rows
from tests.harness.webui.support import PATIENCE, browser_page, web_ui
from tests.support.locust_runs import samples

SOON = PATIENCE * 1000
FLOW = """
[bot]
delay = "100ms"
lost = 0.15
never_greets = 0.2
[[rules]]
on = "connect"
steps = [{ say = "Welcome!" }]
[[rules]]
on = "message"
steps = [{ say = "Thank you." }]
"""
QUICK = "rate=50,burst=50,StopContact.rate=100,StopContact.burst=100"


def test_durations_are_told_to_a_hundredth() -> None:
    """Quantiles of many durations are those of the sorted list, to 1 %; the longest is exact."""
    rng = random.Random(3)
    durations, all_of_them = Durations(), sorted(rng.lognormvariate(-1, 1.5) for _ in range(5000))
    for seconds in all_of_them:
        durations.add(seconds)
    told = durations.to_json()
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        assert told[name] == pytest.approx(all_of_them[round(share * 5000) - 1] * 1000, rel=0.01)
    assert told["max"] == all_of_them[-1] * 1000


def test_what_nobody_knows_is_neither_answered_nor_missed() -> None:
    """The share is of the waits that ended one way or the other, and events have no share."""
    counts = {"Reply": {"ok": 6, "no_reply": 2, "not_awaited": 5}, "AgentJoined": {"ok": 3}, "SendMessage": {"ok": 13}}
    reply, joined = answer_rows({"counts": counts})
    assert (reply["came"], reply["never"], reply["share"], reply["unknown"]) == (6, 2, "25.0 %", 5)
    assert (joined["came"], joined["never"], joined["share"], joined["p50"]) == (3, "–", "–", "–")


def test_chats_that_somebody_else_ended_are_told_by_reason() -> None:
    """Each reason is a row with its chats, the most frequent first, and none is shown that did not occur."""
    ends = {"EXPIRED": 2, "AGENT_DISCONNECT": 7, "API": 0}
    rows = answer_rows({"counts": {"ChatEnded": {"ok": 9}}, "chat_ends": ends})
    assert [(str(row["wait"]).split(": ")[-1], row["came"]) for row in rows[1:]] == [
        ("AGENT_DISCONNECT", 7),
        ("EXPIRED", 2),
    ]
    assert sorted(str(row["name"]) for row in rows) == [row["name"] for row in rows]


@pytest.mark.slow
def test_tab_fills_while_the_run_lasts_and_says_what_was_recorded_in_the_end(tmp_path: Path) -> None:
    """Greetings and replies are counted live; after Stop the table has the samples' counts and quantiles."""
    flow = tmp_path / "flow.toml"
    flow.write_text(FLOW)
    options = ("--emulator", f"flow={flow},seed=7,starts_flow=connection,{QUICK}", "--think-time", "200ms")
    with (
        web_ui(tmp_path, "ChatConversation", *options, "--reply-timeout", "1s", "--await-replies", "yes") as ui,
        browser_page() as page,
    ):
        page.goto(ui.url)
        for name, value in (("userCount", "5"), ("spawnRate", "5")):
            page.locator(f"[name={name}]").fill(value)
        page.get_by_role("button", name="Start", exact=True).click()
        page.get_by_role("tab", name="Answers").click()
        expect(_cell(page, "Greeting", 2)).to_have_text(re.compile(r"^[1-9]\d*$"), timeout=SOON)
        expect(_cell(page, "Reply", 2)).to_have_text(re.compile(r"^[1-9]\d*$"), timeout=SOON)
        expect(page.get_by_role("button", name="Stop")).to_be_visible()
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_role("button", name="New")).to_be_visible(timeout=SOON)
        recorded = samples(ui.runs[0])
        shown = {
            wait: [_cell(page, wait, column).inner_text() for column in range(1, 9)] for wait in ("Greeting", "Reply")
        }
    for wait, missed in (("Greeting", "no_greeting"), ("Reply", "no_reply")):
        _compare(shown[wait], [row for row in recorded if row["operation"] == wait], missed)


def _compare(shown: list[str], recorded: list[dict[str, Any]], missed: str) -> None:
    counts = Counter(row["outcome"] for row in recorded)
    assert counts[missed] > 0
    assert [shown[0], shown[1], shown[3]] == [str(counts[outcome]) for outcome in ("ok", missed, "not_awaited")]
    took = sorted(row["received"] - row["scheduled"] for row in recorded if row["outcome"] == "ok")
    assert float(shown[4].split()[0]) == pytest.approx(took[(len(took) + 1) // 2 - 1], rel=0.02)
    assert float(shown[7].split()[0]) == pytest.approx(took[-1], rel=0.01)


def _cell(page: Page, wait: str, column: int) -> Any:
    return page.locator("tr", has=page.get_by_role("cell", name=re.compile(rf"\({wait}\)$"))).locator("td").nth(column)
