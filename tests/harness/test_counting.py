"""How many there are of something: the noun and the verb agree with the number, wherever a text is printed."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.counting import counted, plain
from tests.support.locust_runs import ROOT

THINGS = re.compile(
    r" (?:chat|call|start|sample|user|worker|message|arrival|decision|row|volley|gate|attempt|conversation)s\b"
)
ALWAYS_SEVERAL = {
    "chat starts/s for ": "the demo's own number of users",
    " calls/s": "after an operation's name",
    " calls a second": "after an operation's name",
    " calls were refused": "an operation that refused some of at least a hundred",
    " conversations at once": "Lex's quota in words",
    " chats are more than can be planned (": "over a bound of thousands",
    " chats); give less": "that bound",
    " chats open at once": "one more than a quota",
}


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 chats"), (1, "1 chat"), (1.0, "1 chat"), (1234, "1,234 chats"), (1.5, "1.5 chats")]
)
def test_a_number_and_its_noun(count: float, text: str) -> None:
    """One is singular, all else plural; thousands are grouped."""
    assert counted(count, "chat") == text


def test_words_that_go_with_the_noun_and_numbers_that_are_texts() -> None:
    """A verb stands in both forms, and what another function has written as a number is read as one."""
    assert counted(1, "chat was left open", "chats were left open") == "1 chat was left open"
    assert counted("1", "call") == "1 call"
    assert counted("1 to 3", "call") == "1 to 3 calls"
    assert counted("at least 1", "call") == "at least 1 call"


def _uncounted(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.JoinedStr):
            continue
        for before, after in zip(node.values, node.values[1:], strict=False):
            if isinstance(before, ast.FormattedValue) and isinstance(after, ast.Constant):
                text = str(after.value)
                if THINGS.match(text) and not any(text.strip().startswith(known.strip()) for known in ALWAYS_SEVERAL):
                    yield f"{path.relative_to(ROOT)}: {{...}}{text[:40]}"


def test_no_text_puts_a_plural_after_any_number() -> None:
    """What is printed counts things with `counted`, or always counts several."""
    sources = [path for room in ("harness", "reports", "chatquota") for path in (ROOT / room).rglob("*.py")]
    assert [found for path in sorted(sources) if "emulator" not in path.parts for found in _uncounted(path)] == []


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (3600.0, 3, "3,600"),
        (3456.7, 3, "3,460"),
        (2e6, 2, "2,000,000"),
        (0.4382, 3, "0.438"),
        (0.0, 3, "0"),
    ],
)
def test_a_plain_number_has_no_exponent(value: float, digits: int, text: str) -> None:
    """An hour is 3,600 s, and not 3.6e+03."""
    assert plain(value, digits) == text
