"""Loads what draws in three fifths of its time, for a process that does nothing else.

A third of matplotlib's loading writes its documentation: for each kind of artist a text and a signature of all that it can
be told, filled into the texts of others. It also loads plots in three dimensions and the names of TeX's glyphs, and pandas
loads pyarrow only to know that it is there. A process that draws a report's figures asks for none of it.
"""

import sys
from types import ModuleType


def load_drawing() -> None:
    """Load the figures, and matplotlib with them; this process has no documentation of matplotlib then, and no pyarrow."""
    sys.modules.update({"pyarrow": None})  # type: ignore[dict-item]  # to Python: there is none
    _leave_out("mpl_toolkits.mplot3d", "Axes3D")
    _leave_out("fontTools.agl")
    _document_nothing()
    import reports.figures.draw  # noqa: F401


def _leave_out(module: str, *names: str) -> None:
    """Have whoever imports a module find it empty, with None for each of the names."""
    empty = ModuleType(module)
    vars(empty).update(dict.fromkeys(names))
    sys.modules.setdefault(module, empty)


def _document_nothing() -> None:
    """Leave the texts of matplotlib's functions as they are written. Where a version has no such place, nothing is won."""
    from matplotlib import _docstring, artist

    for name in ("Substitution", "_ArtistPropertiesSubstitution"):
        if kind := getattr(_docstring, name, None):
            kind.__call__ = lambda _, documented: documented
    signs = "_update_set_signature_and_docstring"
    for kind in list(vars(artist).values()):
        if hasattr(kind, signs):
            setattr(kind, signs, classmethod(lambda _: None))
    setattr(artist, "kwdoc", lambda _: "")  # noqa: B010  # its type names its parameter
