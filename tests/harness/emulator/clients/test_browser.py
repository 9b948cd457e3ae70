"""The emulator against amazon-connect-chatjs in a page of another origin, in Debian's Chromium."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from tests.harness.emulator.support import running

HERE = Path(__file__).parent
CHATJS = HERE / "node" / "node_modules" / "amazon-connect-chatjs" / "dist" / "amazon-connect-chat.js"
CHROMIUM = Path("/usr/bin/chromium")


class _Page(http.server.BaseHTTPRequestHandler):
    """Serves the page and chatjs."""

    def do_GET(self) -> None:
        body = CHATJS.read_bytes() if self.path == "/chatjs.js" else (HERE / "browser" / "page.html").read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", "text/javascript" if self.path == "/chatjs.js" else "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""


@pytest.fixture(scope="module")
def origin(node: str) -> Iterator[str]:
    """A server of another origin than the emulator's."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join(10)


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed")
@pytest.mark.parametrize("settings", ["", "latency=1ms"])
def test_page_of_another_origin_holds_a_whole_chat(origin: str, settings: str) -> None:
    """A page starts a chat itself, is greeted, gets an agent, a read receipt and the end; it can read ids and errors."""
    with (
        running(f"flow={HERE / 'browser' / 'flow.toml'},{settings}") as emulator,
        sync_playwright() as playwright,
        playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu", "--no-first-run"]
        ) as browser,
    ):
        page = browser.new_page()
        page.set_default_timeout(30_000)
        page.goto(origin)
        seen = page.evaluate("where => window.converse(where)", emulator.where)
    assert seen["requestId"]
    assert seen["refused"] == "InvalidRequestException"
    assert seen["greeted"] == "Welcome"
    assert (seen["answered"]["Content"], seen["answered"]["ParticipantRole"]) == ("Ann here", "AGENT")
    assert seen["receipt"]["MessageId"] == seen["sent"]["Id"]
    assert seen["receipt"]["Receipts"][0]["RecipientParticipantId"] == seen["answered"]["ParticipantId"]
