"""Colours and plain settings of every figure, and how a figure becomes SVG, PNG and part of a page."""

import io
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from reports.vocabulary import OK, OTHER_429, QUOTA, STARTED, TPS

INK, MUTED, GRID, PAPER = "#1d2733", "#5b6674", "#dde3ea", "#ffffff"
OFFERED = "#2566a8"
DASHED: Any = (0, (5, 3))
LIMIT = "#a3243b"

OUTCOME_COLOURS = {
    STARTED: "#1d7a5a",
    OK: "#1d7a5b",
    TPS: "#c8641b",
    QUOTA: "#7442a8",
    OTHER_429: "#b08900",
    "invalid_request": "#6b7f19",
    "not_found": "#4d7c8a",
    "access_denied": "#8a5a44",
    "service_error": "#b3261e",
    "timeout": "#7d8590",
    "connection_error": "#4a525c",
}

DARK = {
    INK: "#e7ecf2",
    MUTED: "#a2adba",
    GRID: "#323c48",
    PAPER: "#171c23",
    OFFERED: "#79b4f2",
    LIMIT: "#f2788d",
    "#1d7a5a": "#4fc79b",
    "#1d7a5b": "#4fc79c",
    "#c8641b": "#f29c58",
    "#7442a8": "#c49bf0",
    "#b08900": "#e0bd3f",
    "#6b7f19": "#b3c75a",
    "#4d7c8a": "#86b8c6",
    "#8a5a44": "#d0a08a",
    "#b3261e": "#f28b82",
    "#7d8590": "#9aa4b0",
    "#4a525c": "#c0c8d2",
}
"""The colour that stands for each colour of a figure on a dark page."""

_SETTINGS: Any = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 9.0,
    "axes.titleweight": "bold",
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "chatquota",
    "path.simplify_threshold": 0.2,
}
_WIDTH = 6.2  # inches; on a phone the figure shrinks to about half of that and its text stays legible


@dataclass(frozen=True)
class Picture:
    """A figure of the report: its file name, title, the one sentence that it shows, and a text that replaces it."""

    name: str
    title: str
    sentence: str
    alternative: str
    svg: str
    png: bytes


def report_style() -> AbstractContextManager[None]:
    """The context in which figures are drawn; outside of it matplotlib's settings are as they were."""
    return rc_context(_SETTINGS)


def new_figure(columns: int = 1, height: float = 3.1) -> tuple[Figure, list[Axes]]:
    """A figure of the report's width with `columns` plots side by side; call it, and draw, in `report_style()`."""
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)
    return figure, list(axes[0])


def legend(axes: Axes, columns: int = 4) -> None:
    """Name the series above the plot, where they hide nothing."""
    place: Any = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "borderaxespad": 0.3}
    axes.legend(ncols=columns, handlelength=1.4, columnspacing=1.2, **place)


def picture(name: str, title: str, sentence: str, alternative: str, figure: Figure) -> Picture:
    """Draw the figure as SVG (texts stay texts) and as PNG on white paper."""
    text = io.BytesIO()
    FigureCanvasSVG(figure).print_svg(  # type: ignore[no-untyped-call]
        text, metadata={"Date": None, "Creator": "chatquota", "Title": title}
    )
    figure.set_layout_engine("none")  # laid out once, for both
    pixels = io.BytesIO()
    figure.set_facecolor(PAPER)
    figure.set_dpi(160)
    FigureCanvasAgg(figure).print_png(  # type: ignore[no-untyped-call]
        pixels, metadata={"Software": "chatquota", "Description": alternative}
    )
    return Picture(name, title, sentence, alternative, text.getvalue().decode(), pixels.getvalue())


def standalone_svg(one: Picture) -> str:
    """The figure as a file of its own, on white paper."""
    return re.sub(r"(<svg [^>]*>)", rf'\1<rect width="100%" height="100%" fill="{PAPER}"/>', one.svg, count=1)


def inline_svg(one: Picture) -> str:
    """The figure as part of a page: ids made unique, colours taken from the page's variables (see `page_colours`)."""
    svg = one.svg[one.svg.index("<svg ") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<title>.*?</title>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{one.name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{one.name}-", svg)
    svg = re.sub(r'href="#', f'href="#{one.name}-', svg)
    for colour in DARK:
        svg = svg.replace(colour, f"var({_variable(colour)})")
    svg = re.sub(r"font: ([^;\"]*?)'DejaVu Sans'[^;\"]*", r"font: \1var(--sans)", svg)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', r"<svg \1", svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*" ([^>]*?)width="[^"]*"', r"<svg \1\2", svg, count=1)
    return svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)


def page_colours(dark: bool) -> str:
    """The CSS declarations of the variables that figures use, for a light or a dark page."""
    return " ".join(f"{_variable(light)}: {other if dark else light};" for light, other in DARK.items())


def _variable(colour: str) -> str:
    return f"--c{colour[1:]}"
