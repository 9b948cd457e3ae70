"""Locust's web UI with the harness in it, used in a real browser as a newcomer would."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.harness.webui.support import PATIENCE, WebUi, browser_page, web_ui

SOON = PATIENCE * 1000
PICTURES = os.environ.get("CHATQUOTA_PICTURES")
"""A directory for the screenshots of README and docs, made anew when it is set (see docs/webui.md)."""

LIMITS = "rate=5,burst=8,active_chats=30,StopContact.rate=20,StopContact.burst=30"


@pytest.mark.slow
@pytest.mark.timeout(300)  # two whole runs, in a browser
def test_run_is_started_watched_stopped_reported_and_started_again(tmp_path: Path) -> None:
    """A wrong form is refused before anything is sent; the tab fills; the report downloads; two runs are two directories."""
    with web_ui(tmp_path) as ui, browser_page() as page:
        page.goto(ui.url)
        picture(page, "webui-form", full_page=True)
        page.get_by_text("Custom parameters").click()
        _refused(page, ui)

        _fill(page, hold="10m", emulator=LIMITS, userCount="12", spawnRate="12")
        page.get_by_role("button", name="Start", exact=True).click()
        page.get_by_role("tab", name="Quotas").click()
        expect(_cell(page, "StartChatContact calls/s", 7)).to_contain_text(
            re.compile("burst (at least )?8$"), timeout=SOON
        )
        expect(_cell(page, "Active chats", 7)).to_have_text(re.compile(r"^30 \(\d+ to 30\)$"), timeout=SOON)
        figure = page.frame_locator("#chatquota-figure iframe")
        expect(figure.locator("#open path").first).to_be_visible()
        expect(figure.locator("#phase")).to_have_text("running")
        if PICTURES:
            page.wait_for_timeout(20_000)  # a longer run makes the better picture
        picture(page, "webui-quotas", full_page=True)

        _edit_is_refused(page)
        page.get_by_role("button", name="Stop").click()
        expect(figure.locator("#phase")).to_have_text("stopping chats")
        # Stopped is what the page says once the chats are.
        expect(page.get_by_role("button", name="New")).to_be_visible(timeout=SOON)
        expect(_cell(page, "Chats left to stop", 6)).to_have_text("0 of 30")
        first = ui.manifests()[0]
        assert (first["status"], first["ended_by"], first["chats"]["left_open"]) == ("finished", "user", 0)

        capacity = json.loads(_downloaded(page, "Download capacity.json"))
        assert capacity["active_chats"]["estimate"] == 30
        assert "<html" in _downloaded(page, "Download capacity report")
        _figure_page(page, ui)

        page.goto(f"{ui.url}/?tab=quotas")
        page.get_by_role("button", name="New").click()
        dialog = page.get_by_role("presentation")
        _fill(dialog, userCount="3", spawnRate="3")
        dialog.get_by_role("button", name="Start", exact=True).click()
        expect(_cell(page, "StartChatContact calls/s", 2)).not_to_have_text("0", timeout=SOON)
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_role("button", name="New")).to_be_visible(timeout=SOON)
        assert len(ui.runs) == 2
        assert [said["status"] for said in ui.manifests()] == ["finished", "finished"]


def _refused(page: Page, ui: WebUi) -> None:
    """Each wrong value is answered with the option and what to do, and nothing has been started."""
    wrong = {
        "hold": ("banana", "--hold 'banana' is not a distribution"),
        "startsPerUser": ("fast", "--starts-per-user 'fast': a number is needed"),
        "emulator": ("rate=abc", "rate=abc: wants a number"),
        "loadShape": ("banana", "--load-shape 'banana' is not a load shape"),
        "host": ("http://203.0.113.9", "only the command line may name such a host"),
    }
    for field, (value, said) in wrong.items():
        before = page.locator(f"[name={field}]").input_value()
        _fill(page, **{field: value})
        page.get_by_role("button", name="Start", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text(said)
        _fill(page, **{field: before})
    for user_class in ("ChatConversation", "QuotaProbe"):
        box = page.get_by_role("row", name=user_class).get_by_role("checkbox")
        box.click()
        page.get_by_role("button", name="Start", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("choose exactly one user class")
        box.click()
    assert not ui.runs


def _edit_is_refused(page: Page) -> None:
    page.get_by_role("button", name="Edit").click()
    dialog = page.get_by_role("presentation")
    dialog.get_by_text("Custom parameters").click()
    _fill(dialog, hold="1s")
    dialog.get_by_role("button", name="Update").click()
    expect(page.get_by_role("alert")).to_contain_text("--hold cannot change while a run is on")


def _figure_page(page: Page, ui: WebUi) -> None:
    page.goto(f"{ui.url}/quotas")
    expect(page.locator("#phase")).to_have_text("finished")
    expect(page.locator("#rows tr")).not_to_have_count(0)
    picture(page, "webui-figure", full_page=True)


def _downloaded(page: Page, link: str) -> str:
    page.get_by_role("tab", name="Download Data").click()
    with page.expect_download(timeout=SOON) as download:
        page.get_by_role("link", name=link).click()
    return Path(download.value.path()).read_text("utf-8")


def _fill(where: Any, **values: str) -> None:
    for name, value in values.items():
        where.locator(f"[name={name}]").fill(value)


def _cell(page: Page, row: str, column: int) -> Any:
    return page.locator("tr", has=page.get_by_role("cell", name=row, exact=True)).locator("td").nth(column)


def picture(page: Page, name: str, **how: Any) -> None:
    """Take a screenshot for the documentation, where it is asked for."""
    if PICTURES:
        page.wait_for_timeout(1500)  # for animations of the page
        page.screenshot(path=f"{PICTURES}/{name}.png", **how)
