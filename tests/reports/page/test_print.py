"""The report on paper, printed by Chromium and read back from the PDF, and on a phone."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from harness.command import main
from reports.figures.style import legend_columns
from tests.harness.webui.support import browser_page
from tests.reports.conftest import MakeRun
from tests.reports.page.test_answered import conversations
from tests.reports.synthetic import Scenario, attempt, simulate

SIZES = {"A4": (596, 843), "Letter": (612, 792)}
_OPERATIONS = ("CreateParticipantConnection", "SendMessage", "SendEvent", "GetTranscript", "DisconnectParticipant")


def _printed(run: Path, paper: str = "A4") -> PdfReader:
    """The report, printed to the paper."""
    with browser_page() as page:
        page.goto((run / "report.html").as_uri())
        page.pdf(path=run / "report.pdf", format=paper)
    found = PdfReader(run / "report.pdf")
    assert {(round(page.mediabox.width), round(page.mediabox.height)) for page in found.pages} == {SIZES[paper]}
    return found


def _pages(found: PdfReader) -> list[str]:
    """The text of each page."""
    return [page.extract_text() for page in found.pages]


def _sizes(found: PdfReader) -> dict[str, float]:
    """How high, in points, the smallest letters of each text are."""
    sizes: dict[str, float] = {}

    def visit(text: str, cm: list[float], tm: list[float], _font: object, size: float) -> None:
        if text.strip():
            height = size * math.hypot(tm[2], tm[3]) * math.hypot(cm[2], cm[3])
            sizes[text.strip()] = min(height, sizes.get(text.strip(), math.inf))

    for page in found.pages:
        page.extract_text(visitor_text=visit)
    return sizes


def _everything(make_run: MakeRun) -> Path:
    """A run that met both limits and held conversations, with its report, which has most figures and tables."""
    rows = [*simulate(Scenario(seconds=60.0, quota=60, hold=20.0, faults=0.03)), *conversations()]
    run = make_run(rows=rows, user_class="ChatConversation")
    assert main(["report", str(run), "--quiet"]) == 0
    return run


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
    pages = _pages(_printed(run))
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
    for page in _pages(_printed(run)):
        assert page.strip().splitlines()[-1].strip() not in titles


@pytest.mark.slow
@pytest.mark.parametrize("paper", list(SIZES))
def test_everything_on_paper_can_be_read_and_the_last_page_is_not_nearly_empty(make_run: MakeRun, paper: str) -> None:
    """No letter, of a figure's neither, is smaller than 7 points, and the conditions of the run are on one page."""
    found = _printed(_everything(make_run), paper)
    sizes = _sizes(found)
    assert {"started", "calls per second", "latency from sent (ms)"} <= sizes.keys()
    assert not {text: size for text, size in sizes.items() if size < 6.95}
    last = " ".join(_pages(found)[-1].split())
    assert all(text in last for text in ("Conditions", "First call to last answer", "All options", "Made by chatquota"))


_TEXTS = """() => [...document.querySelectorAll('figure svg')].flatMap(svg => [...svg.querySelectorAll('text')].map(text => {
    const matrix = text.getScreenCTM(), box = text.getBoundingClientRect(), all = svg.getBoundingClientRect();
    return {text: text.textContent, size: parseFloat(getComputedStyle(text).fontSize) * Math.hypot(matrix.a, matrix.b),
            out: Math.max(all.left - box.left, box.right - all.right, all.top - box.top, box.bottom - all.bottom)}; }))"""


@pytest.mark.slow
def test_figures_can_be_read_on_every_screen(make_run: MakeRun) -> None:
    """Texts of figures are 11 px high or more and inside of their figures, and the page never scrolls sideways."""
    run = _everything(make_run)
    with browser_page() as page:
        page.goto((run / "report.html").as_uri())
        for width in (390, 768, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            texts: list[dict[str, Any]] = page.evaluate(_TEXTS)
            assert len(texts) > 100
            assert not [text for text in texts if not 11 <= text["size"] <= 16 or text["out"] > 3], width
            assert page.evaluate("document.documentElement.scrollWidth") == width


def test_legends_are_as_wide_as_their_figure() -> None:
    """A legend has as many columns as fit: all of short names, one of names that leave no room."""
    assert legend_columns(["p50", "p95", "p99"], 3, 28.0) == 3
    assert legend_columns(["p50", "p95", "p99"], 2, 28.0) == 2
    assert legend_columns(["started", "TPS throttled", "active-chat limit", "offered"], 4, 28.0) == 2
    assert legend_columns(["refused though a token was due", "admitted though none was"], 2, 28.0) == 1
    assert legend_columns(["one"], 4, 28.0) == 1
