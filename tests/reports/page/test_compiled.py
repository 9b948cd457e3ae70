"""The page's templates are kept as bytecode, and compiled anew when they or their settings are others."""

import sys
from pathlib import Path

import jinja2
import pytest

from reports.page import compiled


class Counting(jinja2.Environment):
    """An environment that counts how often it compiles."""

    compilations = 0

    def compile(self, *arguments: object, **named: object) -> object:  # type: ignore[override]
        Counting.compilations += 1
        return super().compile(*arguments, **named)  # type: ignore[call-overload]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    monkeypatch.setattr(compiled, "_FOLDER", tmp_path)
    monkeypatch.setattr(Counting, "compilations", 0)
    (tmp_path / "page.j2").write_text("Chats: {{ n }}\n")
    return tmp_path


def test_a_template_is_compiled_once(folder: Path) -> None:
    """The second time, as in the next process, its bytecode is read; what it says stays the same."""
    said = [compiled.template(Counting(), "page.j2").render(n=n) for n in (1, 2)]
    assert said == ["Chats: 1", "Chats: 2"]
    assert Counting.compilations == 1


def test_another_text_and_other_settings_are_compiled_anew(folder: Path) -> None:
    """Bytecode of another text, or of one that is not escaped, is never taken for it."""
    compiled.template(Counting(), "page.j2")
    (folder / "page.j2").write_text("Open chats: {{ n }}\n")
    assert compiled.template(Counting(), "page.j2").render(n="<") == "Open chats: <"
    assert compiled.template(Counting(autoescape=True), "page.j2").render(n="<") == "Open chats: &lt;"
    assert Counting.compilations == 3


def test_a_place_that_may_not_be_written_is_no_fault(folder: Path) -> None:
    """Where an installation belongs to somebody else, the template is compiled each time."""
    (folder / "__pycache__").write_text("not a folder")
    assert compiled.template(Counting(), "page.j2").render(n=3) == "Chats: 3"
    assert compiled.template(Counting(), "page.j2").render(n=3) == "Chats: 3"
    assert Counting.compilations == 2


@pytest.mark.parametrize("kept", [10, 16, 100])
@pytest.mark.parametrize("rest", [b"", b"\0" * 1000])
def test_damaged_bytecode_is_no_fault(folder: Path, kept: int, rest: bytes) -> None:
    """What is left of it after the machine's power went, say, ends no report in a traceback."""
    compiled.template(Counting(), "page.j2")
    (bytecode,) = (folder / "__pycache__").iterdir()
    bytecode.write_bytes(bytecode.read_bytes()[:kept] + rest)
    assert compiled.template(Counting(), "page.j2").render(n=3) == "Chats: 3"
