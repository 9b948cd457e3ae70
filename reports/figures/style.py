"""The plain settings of every figure, and how a matplotlib figure becomes a picture."""

import io
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partialmethod
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from matplotlib.text import Text
from numpy.typing import ArrayLike

from reports.figures.picture import GRID, INK, MUTED, PAPER, Picture

DASHED: Any = (0, (5, 3))
TEXT = 9.5
"""The size of every text of a figure, in points."""
_WIDTH = 4.1
"""Inches: 31 times the size of the texts. The same SVG is 350 px wide on a phone and 90 mm in a column of A4, where its
texts are then 11 px and 8 pt high; on a wide screen the page draws them smaller than they would grow."""
_WIDE = 6.2
"""Inches, of figures that are never part of a page."""
_PIXELS = 868
"""How wide each PNG is."""

_AXIS = 3.0
"""How much of a figure's width is not for a legend, in sizes of the text: its vertical axis takes it."""
_LINE = 0.17
"""The height of a legend's line, in inches."""
_LETTER, _MARK = 0.54, 3.1
"""How wide a letter of a legend and what stands before and after a text of it are on average, in sizes of the text."""
_LEGEND: Any = {"handlelength": 1.3, "handletextpad": 0.6, "columnspacing": 1.2, "frameon": False}

_SETTINGS: Any = {
    "font.family": ["DejaVu Sans"],
    "font.size": TEXT,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.labelsize": TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": TEXT,
    "axes.titleweight": "bold",
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": TEXT,
    "xtick.labelsize": TEXT,
    "ytick.labelsize": TEXT,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "chatquota",
    "path.simplify_threshold": 0.2,
}


def report_style() -> AbstractContextManager[None]:
    """The context in which figures are drawn; outside of it matplotlib's settings are as they were."""
    return rc_context(_SETTINGS)


def new_figure(height: float = 2.3) -> tuple[Figure, Axes]:
    """A figure of one plot, as wide as a column of the report; call it, and draw, in `report_style()`."""
    figure, (axes,) = stacked_figure(height)
    return figure, axes


def stacked_figure(*heights: float) -> tuple[Figure, list[Axes]]:
    """A figure of plots over each other, so many inches high each; side by side they would be too narrow for their texts."""
    figure = Figure(figsize=(_WIDTH, sum(heights)), layout="constrained")
    axes = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)
    return figure, [row[0] for row in axes]


def wide_figure(columns: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with `columns` plots side by side, for a file of its own."""
    figure = Figure(figsize=(_WIDE, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)
    return figure, list(axes[0])


def steps(axes: Axes, values: ArrayLike, edges: ArrayLike, baseline: Any = None, **drawn: Any) -> None:
    """Draw values as steps between edges: a line, or the area over a baseline (a number, or one for each value).

    `Axes.stairs` draws the same. It looks at each step of each edge to know how far they reach: a third of a second of a
    run of an hour.
    """
    area = baseline is not None
    colour = "facecolor" if area else "edgecolor"
    heights, places = np.asarray(values, np.float64), np.asarray(edges, np.float64)
    patch = StepPatch(heights, places, baseline=baseline, fill=area, **{colour: drawn.pop("color")}, **drawn)
    axes.add_artist(patch)
    levels = heights if baseline is None else np.append(heights, baseline)
    if baseline is not None:
        patch.sticky_edges.y.append(float(np.min(baseline)))
    axes.update_datalim([(places[0], levels.min()), (places[-1], levels.max())])
    axes.autoscale(enable=None)  # type: ignore[arg-type]  # None, as its documentation says: on or off as it was


def legend(axes: Axes, most: int = 4) -> None:
    """Name the series above the plot, where they hide nothing, in as many columns as fit."""
    handles, labels = axes.get_legend_handles_labels()
    figure = axes.get_figure(root=True)
    if not labels or figure is None:
        return
    columns = legend_columns(labels, most, figure.get_figwidth() * 72 / TEXT - _AXIS)
    more = math.ceil(len(labels) / columns) - 1
    figure.set_figheight(figure.get_figheight() + more * _LINE)  # a second line takes nothing from the plot
    place: Any = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "borderaxespad": 0.3}
    axes.legend(handles, labels, ncols=columns, **_LEGEND, **place)


def legend_above(figure: Figure, axes: Axes, most: int = 4) -> None:
    """Name the series of one of the plots above all of them."""
    handles, labels = axes.get_legend_handles_labels()
    room = figure.get_figwidth() * 72 / TEXT
    figure.legend(handles, labels, loc="outside upper left", ncols=legend_columns(labels, most, room), **_LEGEND)


def legend_columns(labels: Sequence[str], most: int, room: float) -> int:
    """In how many columns, at most, a legend of these labels is no wider than `room`, in sizes of its text."""
    for columns in range(min(most, len(labels)), 1, -1):
        rows, longer = divmod(len(labels), columns)  # filled column by column, the first ones a row longer
        begins = [column * rows + min(column, longer) for column in range(columns + 1)]
        widest = (max(map(len, labels[begin:end])) for begin, end in itertools.pairwise(begins))
        if sum(_MARK + _LETTER * letters for letters in widest) <= room:
            return columns
    return 1


def picture(name: str, title: str, sentence: str, alternative: str, figure: Figure) -> Picture:
    """Draw the figure as SVG (texts stay texts) and as PNG on white paper."""
    text, pixels = io.BytesIO(), io.BytesIO()
    with remembered():
        FigureCanvasSVG(figure).print_svg(  # type: ignore[no-untyped-call]
            text, metadata={"Date": None, "Creator": "chatquota", "Title": title}
        )
        figure.set_layout_engine("none")  # laid out once, for both
        figure.set_facecolor(PAPER)
        figure.set_dpi(_PIXELS / figure.get_figwidth())
        FigureCanvasAgg(figure).print_png(  # type: ignore[no-untyped-call]
            pixels,
            metadata={"Software": "chatquota", "Description": alternative},
            pil_kwargs={"compress_level": 1},  # an eighth larger than the default of 6, in half of its time
        )
    return Picture(name, title, sentence, alternative, text.getvalue().decode(), pixels.getvalue())


@contextmanager
def remembered() -> Iterator[None]:
    """Find ticks, and how far texts reach, once for each place and resolution that a figure has while it is drawn.

    Its layout, its axes and its labels each ask matplotlib for them, which works them out anew: a ninth of a figure's time.
    Where a version has no such functions, nothing is won.
    """
    last: dict[Axis | Text, tuple[object, object]] = {}

    def once(drawn: Axis | Text, find: Callable[..., object], *renderer: object) -> object:
        state = (*map(type, renderer), *_state(drawn))  # those of a type measure alike
        if drawn not in last or last[drawn][0] != state:
            last[drawn] = state, find(drawn, *renderer)
        return last[drawn][1]

    replaced = [(Axis, "_update_ticks"), (Text, "_get_layout")]
    found = [(kind, name, getattr(kind, name)) for kind, name in replaced if hasattr(kind, name)]
    try:
        for kind, name, find in found:
            setattr(kind, name, partialmethod(once, find))
        yield
    finally:
        for kind, name, find in found:
            setattr(kind, name, find)


def _state(drawn: Axis | Text) -> tuple[object, ...]:
    """What its ticks or its extent depend on, of all that changes while a figure is drawn."""
    root = drawn.get_figure(root=True)
    resolution = root.dpi if root is not None else None
    if isinstance(drawn, Axis):
        return (resolution, *drawn.get_view_interval(), *drawn.axes.bbox.bounds)
    place = object() if drawn.get_wrap() else None  # where lines end depends on it: never the same
    return (resolution, drawn.get_text(), drawn.get_rotation(), place)
