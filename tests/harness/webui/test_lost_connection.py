"""What a page says that no longer reaches its process, or that has been logged out: a button without effect says so."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.harness.webui.support import PATIENCE, browser_page, web_ui

LOGIN = {"CHATQUOTA_WEB_USER": "ana", "CHATQUOTA_WEB_PASSWORD": "open sesame"}


@pytest.mark.slow
def test_a_stop_that_has_no_effect_says_so(tmp_path: Path) -> None:
    """Offline and after the end of the login Stop says that it did nothing; the Quotas tab then leads to the login."""
    with web_ui(tmp_path, "--web-login", **LOGIN) as ui, browser_page() as page:
        _log_in(page, ui.url)
        page.locator("[name=userCount]").fill("2")
        page.get_by_role("button", name="Start", exact=True).click()
        stop, alert = page.get_by_role("button", name="Stop"), page.get_by_role("alert")
        expect(stop).to_be_visible(timeout=PATIENCE * 1000)

        page.context.set_offline(True)
        stop.click()
        expect(alert).to_contain_text("No answer: this did not reach the process")
        page.context.set_offline(False)
        page.reload()  # Locust's button stays at "Loading"
        expect(stop).to_be_visible()
        _end_login(page)
        stop.click()
        expect(alert).to_contain_text("You are logged out, and this had no effect")
        _log_in(page, ui.url)
        live = page.request.get(f"{ui.url}/quotas/live.json")
        assert json.loads(live.body())["phase"] == "running"

        page.get_by_role("tab", name="Quotas").click()
        expect(page.frame_locator("#chatquota-figure iframe").locator("#phase")).to_have_text("running")
        page.context.clear_cookies()
        expect(page.locator("[name=password]")).to_be_visible()  # of the page, not of the figure in it


def _end_login(page: Page) -> None:
    """Forget the login, until the page's own calls are turned away: an answer on its way may bring the cookie back."""
    for _ in range(10):
        page.context.clear_cookies()
        with page.expect_response("**/stats/requests*") as answered:
            pass
        if answered.value.status != 200:
            return
    raise AssertionError("the login does not end")


def _log_in(page: Page, url: str) -> None:
    page.goto(url)
    page.locator("[name=username]").fill(LOGIN["CHATQUOTA_WEB_USER"])
    page.locator("[name=password]").fill(LOGIN["CHATQUOTA_WEB_PASSWORD"])
    page.locator("[name=password]").press("Enter")
    expect(page.locator("[name=password]")).to_have_count(0)
