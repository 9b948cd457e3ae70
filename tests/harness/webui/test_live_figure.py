"""The live figure in a real browser, on answers that a hostile or slow service could have caused."""

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

import harness.webui
from tests.harness.webui.support import browser_page

FIGURE = Path(harness.webui.__file__).parent / "static" / "figure.html"
URL = "http://figure.test/quotas"
SCRIPT = "<img src=x onerror=\"document.title='run by the page'\">"
LIVE: dict[str, Any] = {
    "run": f"2026-11-24 {SCRIPT}",
    "phase": "running",
    "seconds": 3_665.9,
    "seconds_left": 59.4,
    "progress": f"rate 4..5 {SCRIPT}",
    "offered": 9,
    "counts": {"StartChatContact": {"started": 6}},
    "chats": {"left_open": 6},
    "chat_ends": {f"BY_{SCRIPT}": 2},
    "missing_workers": ["worker-1"],
    "valid": False,
    "reasons": ["the target served nothing", f"a reason {SCRIPT}"],
    "binding": [
        {"operation": f"Send{SCRIPT}", "chats_per_s": {"estimate": 5.0}},
        {"operation": "StartChatContact", "chats_per_s": {"estimate": 9.0}},
    ],
    "estimates": {},
    "active_chats": None,
    "declared": {},
    "series": {
        "from": 1_790_000_000,
        "open": [2, 4, 6],
        "values": {
            "StartChatContact offered": [3, 3, 3],
            "StartChatContact started": [2, 2, 2],
            "StartChatContact tps_throttled": [1, 1, 1],
            f"StartChatContact {SCRIPT}": [0, 0, 0],
        },
    },
    "rows": [
        dict.fromkeys(
            ("limit", "offered", "admitted", "throttled", "full", "other", "now", "estimate", "chats"), SCRIPT
        )
    ],
}


def _show(page: Page, live: dict[str, Any]) -> None:
    def answer(route: Route) -> None:
        if route.request.url.endswith("quotas/result"):
            route.fulfill(content_type="text/plain", body=f"LAB emulator\nstarted 6 {SCRIPT}\n")
        elif route.request.url.endswith("live.json"):
            route.fulfill(content_type="application/json", body=json.dumps(live))
        else:
            route.fulfill(content_type="text/html", body=FIGURE.read_text())

    page.route("http://figure.test/**", answer)
    page.goto(URL)


@pytest.mark.slow
def test_names_and_reasons_from_the_service_are_shown_as_text() -> None:
    """Markup in a run's name, an ending's reason, an operation or a row is text: nothing of it is an element or runs."""
    with browser_page() as page:
        _show(page, LIVE)
        expect(page.locator("#facts")).to_contain_text(SCRIPT)
        expect(page.locator("#facts")).to_contain_text(f"not valid: the target served nothing; a reason {SCRIPT}")
        expect(page.locator("#facts")).to_contain_text("time 1:01:05 · left 0:59")
        expect(page.locator("#facts")).to_contain_text("not heard of: worker-1")
        expect(page.locator("#facts")).to_contain_text(f"probe: rate 4..5 {SCRIPT}")
        expect(page.locator("#rows")).to_contain_text(SCRIPT)
        assert page.locator("img").count() == 0
        assert page.title() == "chatquota: live"


@pytest.mark.slow
def test_values_of_a_second_stand_under_the_chart_and_a_text_says_the_same() -> None:
    """The pointer over a chart tells that second's counts; who cannot see the chart is read its totals."""
    with browser_page() as page:
        _show(page, LIVE)
        expect(page.locator("#rate path").first).to_be_visible()
        page.locator("#rate").hover()
        expect(page.locator("#rate-readout")).to_contain_text("offered 3, served 2, TPS throttled 1")
        page.locator("#open").hover()
        expect(page.locator("#open-readout")).to_contain_text("4 chats open")
        expect(page.get_by_role("img", name="served 6, TPS throttled 3")).to_be_visible()
        expect(page.get_by_role("status")).to_have_text("running")


@pytest.mark.slow
def test_a_phone_shows_the_charts_without_scrolling_sideways() -> None:
    """At 360 pixels the charts fit the page; only the table scrolls, by itself."""
    with browser_page() as page:
        page.set_viewport_size({"width": 360, "height": 740})
        _show(page, LIVE)
        expect(page.locator("#rate path").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.slow
def test_times_under_a_chart_of_a_phone_do_not_overlap() -> None:
    """However long the run is, each time on the axis can be read."""
    with browser_page() as page:
        page.set_viewport_size({"width": 360, "height": 740})
        for seconds in (7, 29, 61, 100, 599):
            series = {
                "from": 1_790_000_003,
                "open": [1] * seconds,
                "values": {"StartChatContact offered": [1] * seconds},
            }
            _show(page, {**LIVE, "series": series})
            expect(page.locator("#open path").first).to_be_visible()
            times = page.locator("#open text", has_text=":").evaluate_all(
                "all => all.map((one) => one.getBoundingClientRect()).map(({ left, right }) => [left, right])"
            )
            assert times
            assert [pair for pair in pairwise(times) if pair[0][1] > pair[1][0]] == []


@pytest.mark.slow
def test_a_figure_without_answers_says_since_when_also_after_a_change_of_its_size() -> None:
    """What is shown of a process that has gone is told to be old, until it answers again."""
    with browser_page() as page:
        _show(page, LIVE)
        expect(page.get_by_role("status")).to_have_text("running")
        page.route("**/live.json", lambda route: route.abort())
        since = re.compile(r"^no answer since \d\d:\d\d:\d\d$")
        expect(page.get_by_role("status")).to_have_text(since)
        said = page.get_by_role("status").inner_text()
        page.set_viewport_size({"width": 800, "height": 700})
        page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
        expect(page.get_by_role("status")).to_have_text(said)
        page.unroute("**/live.json")
        expect(page.get_by_role("status")).to_have_text("running")


@pytest.mark.slow
def test_the_drain_is_spoken_in_few_words_and_the_result_is_shown_after_it() -> None:
    """Who cannot see the page hears how many chats are left, not each of them; after the end the result stands there."""
    live = {**LIVE, "phase": "stopping chats", "chats": {"left_open": 53}}
    with browser_page() as page:
        _show(page, live)
        expect(page.locator("#drain")).to_have_text("about 64 chats or fewer left to stop")
        assert page.locator("#drain").get_attribute("aria-live") == "polite"
        expect(page.locator("#result")).to_be_hidden()
        live |= {"phase": "finished", "chats": {"left_open": 0}}
        expect(page.locator("#result-text")).to_have_text(f"LAB emulator\nstarted 6 {SCRIPT}")
        expect(page.locator("#drain")).to_have_text("")
        assert page.locator("img").count() == 0
