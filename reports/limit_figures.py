"""Figures of what the inference found: the fitted bucket over time, and which rates and bursts are possible."""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from numpy.typing import NDArray

from harness.quotas import TpsEstimate
from reports.style import (
    DASHED,
    GRID,
    INK,
    LIMIT,
    MUTED,
    OFFERED,
    OUTCOME_COLOURS,
    Picture,
    legend,
    new_figure,
    picture,
)
from reports.vocabulary import STARTED, TPS
from reports.words import interval, number

_MOST_MARKS = 2000


def bucket_trace(tps: TpsEstimate, first: float) -> Picture:
    """Each decision against the tokens that the fitted bucket held just before; `first`: the run's start (unix s)."""
    trace = tps.trace
    assert trace is not None
    figure, (axes,) = new_figure()
    step = max(1, len(trace.at) // _MOST_MARKS)
    at, level, admitted = trace.at[::step] - first, trace.level[::step], trace.admitted[::step]
    for wanted, name, colour, marker in (
        (True, "admitted", OUTCOME_COLOURS[STARTED], "o"),
        (False, "throttled", OUTCOME_COLOURS[TPS], "x"),
    ):
        chosen = admitted == wanted
        axes.plot(at[chosen], level[chosen], marker, color=colour, label=name, markersize=3, markeredgewidth=1.0)
    axes.axhline(1.0, color=LIMIT, linewidth=1.0, linestyle=DASHED, label="one token: what a call takes")
    axes.set_xlabel("seconds since the run's first call was due")
    axes.set_ylabel("tokens in the fitted bucket")
    legend(axes, 3)
    wrong = int(np.count_nonzero((trace.level >= 1.0) != trace.admitted))
    largest = float(np.max(np.abs(trace.residual))) * 1000 if len(trace.residual) else 0.0
    sentence = (
        f"A bucket of {interval(tps.burst.to_json())} tokens refilled at {interval(tps.rate.to_json(), '/s')} agrees "
        f"with {len(trace.at) - wrong:,} of {len(trace.at):,} decisions shown; "
        f"the largest disagreement is {largest:.3g} ms."
    )
    return picture("bucket", "The fitted token bucket", sentence, sentence, figure)


def feasible_region(tps: TpsEstimate) -> Picture:
    """How probable each rate and burst is, given the record."""
    region = tps.region
    assert region is not None
    figure, (axes,) = new_figure()
    blank = to_rgba(OFFERED)[:3]
    colours = LinearSegmentedColormap.from_list("probability", [(*blank, 0.0), (*blank, 1.0)])
    peak = float(region.probability.max()) or 1.0
    rates, bursts = _edges(region.rate), _edges(region.burst)
    mesh = axes.pcolormesh(rates, bursts, region.probability.T / peak, cmap=colours, vmin=0, vmax=1, rasterized=False)
    mesh.set_edgecolor("none")
    if tps.rate.estimate is not None and tps.burst.estimate is not None:
        best = (tps.rate.estimate, tps.burst.estimate)
        axes.plot(*best, "+", color=LIMIT, markersize=12, markeredgewidth=1.6, label="best")
    axes.set_xlabel("rate (calls a second)")
    axes.set_ylabel("burst (tokens)")
    axes.grid(color=GRID)
    axes.tick_params(colors=MUTED)
    axes.title.set_color(INK)
    legend(axes)
    inside = int(np.count_nonzero(region.probability > peak * 0.01))
    sentence = (
        f"Rate {interval(tps.rate.to_json(), '/s')}, burst {interval(tps.burst.to_json())}: "
        f"{number(inside)} of {number(region.probability.size)} pairs on the grid have at least 1 % of the best pair's "
        "probability."
    )
    return picture("feasible-region", "Rates and bursts that fit the record", sentence, sentence, figure)


def _edges(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(centres) < 2:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate(([2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]))
