"""The text of the page of one fixed run, as `tests/golden/report.txt` keeps it.

`python -m tests.reports.page.golden` writes the file anew; look at the difference before you commit it.
"""

import re
import tempfile
from html.parser import HTMLParser
from pathlib import Path

from harness import __version__
from harness.command import main
from tests.reports.synthetic import Scenario, simulate, write_run

GOLDEN = Path(__file__).parent.parent.parent / "golden" / "report.txt"
_BLOCK_TAGS = """address article aside blockquote caption dd details div dl dt fieldset figcaption figure footer h1 h2 h3 h4
h5 h6 header hr li main nav ol p pre section summary table tbody td tfoot th thead tr ul br"""
_BLOCKS = frozenset(_BLOCK_TAGS.split())
_UNSEEN = frozenset(("head", "script", "style", "svg", "template"))


class _Visible(HTMLParser):
    """Collects what a reader sees of a page: a line for each block, the cells of a row on one."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen += tag in _UNSEEN
        self._part(tag)

    def handle_endtag(self, tag: str) -> None:
        self._unseen -= tag in _UNSEEN
        self._part(tag)

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.text += re.sub(r"\s+", " ", data)

    def _part(self, tag: str) -> None:
        if tag in _BLOCKS and not self._unseen:
            self.text += " | " if tag in ("td", "th") else "\n"


def visible(html: str) -> str:
    """Return the text that a reader of a page sees, a line for each block; figures are left out."""
    page = _Visible()
    page.feed(html)
    lines = (re.sub(r"^[\s|]+|[\s|]+$", "", re.sub(r"( \| )+", " | ", line)) for line in page.text.split("\n"))
    return "".join(f"{re.sub(' +', ' ', line)}\n" for line in lines if line)


def page_text() -> str:
    """Report the fixed run and return the text of its page, without what changes with each version."""
    with tempfile.TemporaryDirectory() as directory:
        run = write_run(Path(directory) / "run-golden", simulate(Scenario()))
        assert main(["report", str(run), "--no-figures", "--quiet"]) == 0
        text = visible((run / "report.html").read_text("utf-8"))
    return re.sub(r"[\d,]+ KiB", "(size)", text.replace(__version__, "(version)"))


if __name__ == "__main__":
    GOLDEN.write_text(page_text(), "utf-8")
