"""The plain settings of every figure, and how a matplotlib figure becomes a picture."""

import io
from contextlib import AbstractContextManager
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from reports.figures.picture import GRID, INK, MUTED, PAPER, Picture

DASHED: Any = (0, (5, 3))

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


def report_style() -> AbstractContextManager[None]:
    """The context in which figures are drawn; outside of it matplotlib's settings are as they were."""
    return rc_context(_SETTINGS)


def new_figure(columns: int = 1, height: float = 3.1) -> tuple[Figure, list[Axes]]:
    """A figure of the report's width with `columns` plots side by side; call it, and draw, in `report_style()`."""
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)
    return figure, list(axes[0])


def timeline_figure(rows: int) -> tuple[Figure, list[Axes]]:
    """A figure of three plots over each other: one of so many thin rows, and two of equal height."""
    figure = Figure(figsize=(_WIDTH, 4.2 + 0.2 * rows), layout="constrained")
    axes = figure.subplots(3, 1, squeeze=False, height_ratios=[0.22 * rows + 0.1, 1.5, 1.5])
    return figure, [row[0] for row in axes]


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
    figure.set_dpi(140)
    FigureCanvasAgg(figure).print_png(  # type: ignore[no-untyped-call]
        pixels, metadata={"Software": "chatquota", "Description": alternative}
    )
    return Picture(name, title, sentence, alternative, text.getvalue().decode(), pixels.getvalue())
