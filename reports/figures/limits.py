"""Figures of what the inference found: the fitted bucket over time, and which rates and bursts are possible."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.counting import counted
from harness.quotas.estimates import TpsEstimate
from reports.figures.picture import LIMIT, OFFERED, OUTCOME_COLOURS, Picture
from reports.figures.style import DASHED, legend, new_figure, picture
from reports.wording.numbers import interval, known, milliseconds, number
from reports.wording.vocabulary import STARTED, TPS

_MOST_MARKS = 800


def bucket_trace(tps: TpsEstimate, first: float) -> Picture:
    """Each decision against the tokens that the fitted bucket held just before; `first`: the run's start (unix s)."""
    trace = tps.trace
    assert trace is not None
    figure, axes = new_figure()
    step = max(1, len(trace.at) // _MOST_MARKS)
    at, level, admitted = trace.at[::step] - first, trace.level[::step], trace.admitted[::step]
    for wanted, name, colour, marker in (
        (True, "admitted", OUTCOME_COLOURS[STARTED], "o"),
        (False, "throttled", OUTCOME_COLOURS[TPS], "x"),
    ):
        chosen = admitted == wanted
        axes.plot(at[chosen], level[chosen], marker, color=colour, label=name, markersize=3, markeredgewidth=1.0)
    axes.axhline(1.0, color=LIMIT, linewidth=1.0, linestyle=DASHED, label="what a call takes")
    axes.set_xlabel("seconds since the run's first call was due")
    axes.set_ylabel("tokens in the bucket")
    legend(axes, 3)
    wrong = int(np.count_nonzero((trace.level >= 1.0) != trace.admitted))
    largest = float(np.max(np.abs(trace.residual))) * 1000 if len(trace.residual) else 0.0
    sentence = (
        f"A bucket of {known(tps.burst)} tokens refilled at {interval(tps.rate, '/s')} agrees "
        f"with {len(trace.at) - wrong:,} of {counted(len(trace.at), 'decision')} shown; "
        + (
            f"the others would at a moment that lies up to {milliseconds(largest)} ms off."
            if wrong and largest
            else "none disagrees."
        )
    )
    return picture("bucket", "The fitted token bucket", sentence, sentence, figure)


def feasible_region(tps: TpsEstimate) -> Picture:
    """How probable each rate and burst is, given the record."""
    region = tps.region
    assert region is not None
    figure, axes = new_figure()
    share = region.probability.T / (float(region.probability.max()) or 1.0)
    if min(share.shape) >= 2:
        for least, opacity in ((0.01, 0.2), (0.1, 0.35), (0.5, 0.7)):
            axes.contourf(region.rate, region.burst, share, levels=[least, 1.01], colors=[OFFERED], alpha=opacity)
            axes.plot([], [], "s", color=OFFERED, alpha=opacity, label=f"{least:.0%} of the best")
    else:
        rates, bursts = np.meshgrid(region.rate, region.burst)
        axes.scatter(rates.ravel(), bursts.ravel(), s=30 * share.ravel(), color=OFFERED, label="possible")
    if tps.rate.estimate is not None and tps.burst.estimate is not None:
        best = (tps.rate.estimate, tps.burst.estimate)
        axes.plot(*best, "+", color=LIMIT, markersize=12, markeredgewidth=1.6, label="best")
    axes.set_xlabel("rate (calls a second)")
    axes.set_ylabel("burst (tokens)")
    axes.ticklabel_format(useOffset=False)
    axes.locator_params(nbins=5)
    inside_bursts, inside_rates = np.nonzero(share > 0.001)
    axes.set_xlim(*_span(region.rate, inside_rates))
    low, high = _span(region.burst, inside_bursts)
    # A burst is a number of calls: an axis from 7.97 to 8.01 would show fractions that mean nothing.
    axes.set_ylim(
        min(low, float(region.burst[inside_bursts.min()]) - 1), max(high, float(region.burst[inside_bursts.max()]) + 1)
    )
    legend(axes)
    inside = int(np.count_nonzero(share > 0.01))
    sentence = (
        f"Rate {interval(tps.rate, '/s')}, burst {interval(tps.burst)}: "
        f"{number(inside)} of {number(region.probability.size)} pairs on the grid have at least 1 % of the best pair's "
        "probability."
    )
    return picture("feasible-region", "Rates and bursts that fit the record", sentence, sentence, figure)


def _span(centres: NDArray[np.float64], inside: NDArray[Any]) -> tuple[float, float]:
    """From the centre before the first that is `inside` to the one after the last; never an empty span."""
    low, high = centres[max(int(inside.min()) - 1, 0)], centres[min(int(inside.max()) + 1, len(centres) - 1)]
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(high) + 0.5)
