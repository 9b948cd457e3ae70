"""A page of another site, open in the same browser, tries to start a run through the web UI."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.harness.webui.support import browser_page, web_ui
from tests.support.scripted_server import answer, answering, serving

_FORM = "user_count=1&spawn_rate=1&host=&user_classes=StartChat&live=true"


def _page(url: str) -> bytes:
    fields = "".join(
        f'<input name="{name}" value="{value}">'
        for name, _, value in (field.partition("=") for field in _FORM.split("&"))
    )
    body = f"""<!doctype html><title>other</title>
<form id="form" method="post" action="{url}/swarm">{fields}</form>
<p id="done"></p>
<script>
const swarm = (how) => fetch("{url}/swarm", {{ method: "POST", credentials: "include", ...how }});
const form = () => new URLSearchParams("{_FORM}");
const tries = [
  () => swarm({{ mode: "no-cors", body: form() }}),
  () => swarm({{ body: form() }}),
  () => swarm({{ mode: "no-cors", referrerPolicy: "no-referrer", body: new Blob(["{_FORM}"]) }}),
  () => fetch("{url}/stop", {{ mode: "no-cors" }}),
  () => fetch("{url}/quotas/live.json").then(async (live) => {{ document.title = await live.text(); }}),
];
(async () => {{
  for (const attempt of tries) await attempt().catch(() => null);
  document.getElementById("done").textContent = "all tried";
}})();
</script>"""
    return answer(200, body.encode(), "Content-Type: text/html")


@pytest.mark.slow
def test_a_page_of_another_site_can_neither_start_nor_stop_nor_read(tmp_path: Path) -> None:
    """Requests by script, without a referrer, and by a form all end in a refusal; no run directory appears."""
    with web_ui(tmp_path) as ui, browser_page() as page, serving(answering(_page(ui.url))) as other:
        page.goto(ui.url)  # whatever cookie the web UI gives, this browser has it
        page.goto(other.url)
        expect(page.locator("#done")).to_have_text("all tried")
        assert page.title() == "other"
        with page.expect_navigation():
            page.evaluate("document.getElementById('form').submit()")
        expect(page.locator("body")).to_contain_text("another web site")
        assert ui.runs == []
