"""The report on paper: printed by Chromium to A4, read back from the PDF."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from pypdf import PdfReader

from harness.command import main
from tests.reports.conftest import MakeRun
from tests.reports.synthetic import Scenario, attempt, simulate

CHROMIUM = Path("/usr/bin/chromium")
A4 = (595, 842)
_OPERATIONS = ("CreateParticipantConnection", "SendMessage", "SendEvent", "GetTranscript", "DisconnectParticipant")


def _printed(run: Path) -> list[str]:
    """The text of each page, printed to A4."""
    if not CHROMIUM.exists():
        reason = f"{CHROMIUM} is not there; Debian has it as the package chromium"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    pdf = run / "report.pdf"
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-pdf-header-footer",
        f"--user-data-dir={run / 'profile'}",
    ]
    subprocess.run(
        [CHROMIUM, *flags, f"--print-to-pdf={pdf}", (run / "report.html").as_uri()],
        check=True,
        capture_output=True,
        timeout=60,
    )
    pages = PdfReader(pdf).pages
    assert {(round(page.mediabox.width), round(page.mediabox.height)) for page in pages} == {A4}
    return [page.extract_text() for page in pages]


def _assert_together(pages: list[str], first: str, then: str) -> None:
    """Check that both texts are on one page."""
    assert any(first in text and then in text for text in (" ".join(page.split()) for page in pages)), (first, then)


@pytest.mark.slow
def test_nothing_is_cut_off_on_paper(make_run: MakeRun) -> None:
    """Every column of the widest tables is on the page, codes break between words only, and no page is nearly empty."""
    rows = simulate(Scenario(seconds=30.0))
    at = rows[0]["sent"]
    for number in range(400):
        name = _OPERATIONS[number % len(_OPERATIONS)]
        sent = at + number * 0.07
        throttled = number % 9 == 0
        code = "ThrottlingException" if throttled else None
        outcome = "tps_throttled" if throttled else "ok"
        status = 429 if throttled else 200
        rows.append(attempt(name, sent, sent, sent + 0.01, outcome, status, code, f"contact-{number:06d}"))
    run = make_run(rows=rows)
    assert main(["report", str(run), "--quiet"]) == 0
    pages = _printed(run)
    text = " ".join(" ".join(pages).split())
    for heading in ("Calls a chat", "Binds at chats/s", "Longest", "First at", "p99"):
        assert heading in text
    assert all(name in text for name in _OPERATIONS)
    options = json.loads((run / "run.json").read_text())["options"]
    assert options
    assert all(f"{name} =" in text for name in options)
    assert all(len(page.split()) > 25 for page in pages), [len(page.split()) for page in pages]
    _assert_together(pages, "All options of the run", f"{list(options)[-1]} =")
    for caption, column in (
        ("StartChatContact attempts by outcome", "Longest"),
        ("Every attempt of this run", "Calls a chat"),
    ):
        _assert_together(pages, caption, column)
    assert re.search(r"Too ?Many ?Requests ?Exception", text)


@pytest.mark.slow
def test_headings_stay_with_what_follows(make_run: MakeRun) -> None:
    """No page ends with the title of a section."""
    run = make_run(Scenario(seconds=60.0, oddities=3))
    assert main(["report", str(run), "--quiet"]) == 0
    titles = re.findall(r"<h2[^>]*>([^<]+)</h2>", (run / "report.html").read_text())
    assert len(titles) > 5
    for page in _printed(run):
        assert page.strip().splitlines()[-1].strip() not in titles
