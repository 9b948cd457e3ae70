"""The page of a fixed run reads as it was last looked at."""

import difflib

from tests.reports.page.golden import GOLDEN, page_text


def test_the_page_reads_as_it_was_last_looked_at() -> None:
    """The text of a fixed run's page is that of `tests/golden/report.txt`."""
    kept, now = GOLDEN.read_text("utf-8").splitlines(), page_text().splitlines()
    changes = "\n".join(difflib.unified_diff(kept, now, "tests/golden/report.txt", "this page", lineterm="", n=1))
    assert not changes, f"if this is meant, renew it with python -m tests.reports.page.golden\n{changes}"
