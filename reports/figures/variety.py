"""The figures of variety: do content types and attribute sizes change what becomes of a call, or how long it takes?"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.figures.picture import GRID, INK, MUTED, OUTCOME_COLOURS, Picture
from reports.figures.style import legend_above, picture, stacked_figure
from reports.run.tables import Table, Varieties
from reports.wording.numbers import rounded
from reports.wording.vocabulary import LABELS, START_OUTCOMES, STARTED, UNKNOWN

_SHOWN = (*START_OUTCOMES, UNKNOWN)


def varieties(found: Varieties) -> Picture:
    """Shares of outcomes by content type and by attribute size."""
    types, bands = _frame(found.types), _frame(found.bands)
    figure, (upper, lower) = _two_plots(types, bands)
    present = [name for name in _SHOWN if name in types.columns or name in bands.columns]
    for axes, table, title in ((upper, types, "Content types"), (lower, bands, "Attribute size")):
        totals = table.sum(axis=1)
        names = [f"{_short(name)}  n={int(count):,}" for name, count in zip(table.index, totals, strict=True)]
        positions = np.arange(len(table))[::-1]
        start = np.zeros(len(table))
        for name in present:
            share = (table[name] / totals * 100).to_numpy() if name in table.columns else np.zeros(len(table))
            colour = OUTCOME_COLOURS.get(name, MUTED)
            axes.barh(positions, share, left=start, height=0.34, color=colour, alpha=0.85, label=LABELS[name])
            start = start + share
        for position, label in zip(positions, names, strict=True):
            axes.text(1, position + 0.24, label, color=INK, va="bottom")
        axes.set_yticks([])
        axes.set_ylim(-0.5, len(table) - 0.1)
        axes.set_xlim(0, 100)
        axes.set_xlabel("% of calls")
        axes.set_title(title)
        axes.grid(axis="y", visible=False)
    legend_above(figure, upper)
    sentence = f"{_spread_words(types, 'content type')} {_spread_words(bands, 'attribute size')}"
    rows = [_row_words(name, row) for table in (types, bands) for name, row in table.iterrows()]
    return picture("varieties", "Outcomes by content type and attribute size", sentence, " ".join(rows), figure)


def variety_latency(found: Varieties) -> Picture:
    """Latency of started chats by content type and attribute size."""
    types, bands = _frame(found.type_latency), _frame(found.band_latency)
    figure, (upper, lower) = _two_plots(types, bands)
    for axes, table, title in ((upper, types, "Content types"), (lower, bands, "Attribute size")):
        positions = np.arange(len(table))[::-1]
        axes.hlines(positions, table.p50, table.p99, color=GRID, linewidth=5)
        for column, marker, size in (("p50", "o", 5), ("p95", "D", 4), ("p99", "|", 9)):
            style: Any = {"color": OUTCOME_COLOURS[STARTED], "markersize": size, "markeredgewidth": 1.4}
            axes.plot(table[column], positions, marker, label=column, **style)
        for position, label in zip(positions, table.index, strict=True):
            axes.annotate(_short(label), (0.02, position + 0.24), xycoords=axes.get_yaxis_transform())
        axes.set_yticks([])
        axes.set_ylim(-0.5, len(table) - 0.1)
        axes.set_xlim(left=0)
        axes.set_xlabel("latency from sent (ms)")
        axes.set_title(title)
    legend_above(figure, upper)
    sentence = f"{_latency_words(types, 'content type')} {_latency_words(bands, 'attribute size')}"
    rows = [
        f"{name}: p50 {rounded(row['p50'])}, p95 {rounded(row['p95'])}, p99 {rounded(row['p99'])} ms."
        for table in (types, bands)
        for name, row in table.iterrows()
    ]
    return picture(
        "variety-latency",
        "Latency of started chats by content type and attribute size",
        sentence,
        " ".join(rows),
        figure,
    )


def _two_plots(types: pd.DataFrame, bands: pd.DataFrame) -> tuple[Figure, list[Axes]]:
    """Two plots over each other, with room for a bar and its name above it for each row of the tables."""
    return stacked_figure(*(0.75 + 0.4 * len(table) for table in (types, bands)))


def _frame(table: Table) -> pd.DataFrame:
    """A row a category, a column an outcome or a quantile."""
    return pd.DataFrame.from_dict({name: dict(numbers) for name, numbers in table.items()}, orient="index")


def _short(name: object) -> str:
    text = "none set" if name == "(not set)" else str(name)
    text = text.replace("application/vnd.amazonaws.connect.message.", "").replace(",", ", ")
    return text if len(text) <= 42 else text[:41] + "…"


def _row_words(name: object, row: "pd.Series[Any]") -> str:
    counts = [f"{int(count):,} {LABELS[str(outcome)]}" for outcome, count in row.items() if count]
    return f"{name}: {', '.join(counts)}."


def _spread_words(table: pd.DataFrame, what: str) -> str:
    started = (table[STARTED] if STARTED in table.columns else table.sum(axis=1) * 0) / table.sum(axis=1) * 100
    if len(table) < 2:
        return f"All calls had one {what}."
    if started.min() == 100:
        return f"By {what}, every call started a chat."
    if started.max() == 0:
        return f"By {what}, no call started a chat."
    least, most = started.min(), started.max()
    return f"By {what}, between {least:.1f} % and {most:.1f} % of the calls started a chat, differences by chance included."


def _latency_words(table: pd.DataFrame, what: str) -> str:
    if len(table) < 2:
        return f"All started chats had one {what}."
    medians = table.p50.sort_values()
    fast, slow = (f"{rounded(medians.iloc[end])} ms ({_short(medians.index[end])})" for end in (0, -1))
    return f"By {what}, the median runs from {fast} to {slow}."
