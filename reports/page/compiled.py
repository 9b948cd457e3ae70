"""Keeps the page's templates as bytecode, as Python keeps its modules: to compile them takes longer than to fill them in."""

from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Literal
from zlib import crc32

import jinja2

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, StrPath

_FOLDER = Path(__file__).parent / "templates"


def template(environment: jinja2.Environment, name: str) -> jinja2.Template:
    """Return one of the page's templates: from `__pycache__` beside it where that may be written, else compiled anew."""
    code = _Templates(environment, name).get_code(name)
    return jinja2.Template.from_code(environment, code, environment.make_globals(None))


class _Templates(SourceFileLoader):
    """Loads a template as if it were a module, so that Python knows when its bytecode is out of date, and where it is."""

    def __init__(self, environment: jinja2.Environment, name: str) -> None:
        super().__init__(name, str(_FOLDER / name))
        self._environment = environment

    def get_code(self, fullname: str) -> CodeType:
        try:
            code = super().get_code(fullname)
        except (EOFError, ValueError, TypeError, ImportError):  # the kept bytecode is damaged
            return self.source_to_code(self.get_data(self.path), self.path)
        assert code is not None  # there is always the source
        return code

    def source_to_code(  # type: ignore[override]  # the base's are of two minds about its own
        self, data: "ReadableBuffer | str", path: "ReadableBuffer | StrPath", *, _optimization: int = -1
    ) -> CodeType:
        return self._environment.compile(data if isinstance(data, str) else bytes(data).decode())

    def path_stats(self, path: str) -> dict[Literal["mtime", "size"], int]:  # type: ignore[override]
        """Say of when the source is: of another time where another Jinja, or with other settings, would compile it."""
        stats = super().path_stats(path)
        settings = jinja2.__version__, self._environment.autoescape, sorted(self._environment.filters)
        return {"mtime": crc32(f"{stats['mtime']} {settings}".encode()), "size": int(stats["size"])}
