"""The documents: what they link to exists, and a reader can reach every page."""

import re
from pathlib import Path

import pytest

from harness.command import COMMANDS, main

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md")])
_LINK = re.compile(r"\[[^\]\n]*\]\(([^)#\s]+)(#[^)\s]*)?\)")


@pytest.mark.parametrize("path", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_links_lead_to_files(path: Path) -> None:
    """Every relative link of a document is to a file or folder of the repository."""
    links = [found[1] for found in _LINK.finditer(path.read_text("utf-8"))]
    missing = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert not missing


def test_every_page_can_be_reached_from_the_readme() -> None:
    """A reader who follows links from the README finds each page of docs/."""
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or not page.exists():
            continue
        seen.add(page)
        links = [found[1] for found in _LINK.finditer(page.read_text("utf-8"))]
        waiting += [(page.parent / link).resolve() for link in links if link.endswith(".md") and "://" not in link]
    assert set((ROOT / "docs").glob("*.md")) <= seen


def test_glossary_has_each_term_once_in_order() -> None:
    """The glossary's terms are sorted, and none stands twice."""
    rows = [
        line.split("|")[1].strip()
        for line in (ROOT / "docs" / "glossary.md").read_text("utf-8").splitlines()
        if line[:1] == "|"
    ]
    terms = [row.lower() for row in rows[2:]]
    assert terms == sorted(set(terms))


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_option_of_a_command_is_documented(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What `--help` lists stands in the README or a page of docs/ too."""
    with pytest.raises(SystemExit):
        main([command, "--help"])
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", capsys.readouterr().out)) - {"--help"}
    text = "\n".join(path.read_text("utf-8") for path in DOCUMENTS)
    locusts_own = {"--locustfile", "--spawn-rate"}
    assert {each for each in options if not re.search(rf"{each}(?![\w-])", text)} <= locusts_own
