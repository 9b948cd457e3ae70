"""What a screen reader needs of the report page: names of tables and columns, texts for figures, one order of headings."""

from html.parser import HTMLParser
from typing import Any

import pytest

from harness.command import main
from tests.reports.conftest import MakeRun
from tests.reports.page.test_answered import conversations
from tests.reports.synthetic import Scenario, simulate


class Outline(HTMLParser):
    """Collects tables, header cells, figures, headings, ids and references to them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: list[dict[str, str]] = []
        self.scopes: list[str | None] = []
        self.images: list[str] = []
        self.figures = self.drawings = self.captions = 0
        self.headings: list[int] = []
        self.ids: set[str] = set()
        self.referred: list[str] = []
        self.language: str | None = None
        self.unnamed: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids |= {values["id"]} if "id" in values else set()
        self.referred += values.get("aria-labelledby", "").split()
        if tag == "table":
            self.tables.append(values)
        elif tag == "caption":
            self.tables[-1]["caption"] = "yes"
        elif tag == "th":
            self.scopes.append(values.get("scope"))
        elif tag == "html":
            self.language = values.get("lang")
        elif tag in ("img", "section") and not (values.get("alt") or values.get("aria-labelledby")):
            self.unnamed.append(tag)
        self.figures += tag == "figure"
        self.captions += tag == "figcaption"
        self.drawings += tag == "svg"
        if values.get("role") == "img":
            self.images.append(values.get("aria-label", ""))
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append(int(tag[1]))


CASES: dict[str, dict[str, Any]] = {
    "both limits met": {"scenario": Scenario(seconds=60.0, quota=60, hold=20.0, faults=0.03)},
    "nothing met": {"scenario": Scenario(seconds=20.0, offered=2.0)},
    "conversations": {"rows": [*simulate(Scenario(seconds=40.0)), *conversations()], "user_class": "ChatConversation"},
    "ends and retries": {"chat_ends": {"EXPIRED": 3}, "answers": []},
}


@pytest.mark.slow
@pytest.mark.parametrize("case", list(CASES))
def test_tables_figures_and_headings_have_their_names(make_run: MakeRun, case: str) -> None:
    """Each table is named, each header cell says what it heads, each figure has a text, and no heading is left out."""
    run = make_run(**CASES[case])
    assert main(["report", str(run), "--quiet"]) == 0
    page = Outline((run / "report.html").read_text())
    assert page.language == "en"
    assert len(page.tables) >= 3
    assert all("caption" in table or "aria-labelledby" in table for table in page.tables)
    assert set(page.scopes) <= {"col", "row"}
    assert page.figures == page.captions == len(page.images) == page.drawings >= 2
    assert all(len(text) > 40 for text in page.images)
    assert len(set(page.images)) == len(page.images)
    assert set(page.referred) <= page.ids
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(page.headings, page.headings[1:], strict=False))
    assert not page.unnamed
