"""Figures of what holds for any limiter: refused share, batches under pressure, volleys from rest, contrary decisions."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from harness.counting import counted
from harness.quotas.any_limiter.estimates import AnyLimiterEstimate, BurstFromRest, Contrary, Sustained
from reports.capacity.model import Interval
from reports.figures.picture import LIMIT, MUTED, OFFERED, OUTCOME_COLOURS, Picture
from reports.figures.style import DASHED, legend, new_figure, picture
from reports.wording.numbers import at_once, contrary_share, number, percent, rounded_down, with_bounds
from reports.wording.vocabulary import STARTED, TPS


def refused_share(found: AnyLimiterEstimate) -> Picture:
    """The refused share of random arrivals against their rate: its 95 % band, the batches behind it and the safe rate."""
    safe = found.safe
    assert safe is not None
    figure, axes = new_figure()
    rate = np.array([point.rate for point in safe.curve])
    low, middle, high = (
        np.array([getattr(point, name) for point in safe.curve]) * 100 for name in ("low", "refused", "high")
    )
    axes.fill_between(rate, low, high, color=OFFERED, alpha=0.2, linewidth=0, label="95 % band")
    axes.plot(rate, middle, color=OFFERED, linewidth=1.5, label="refused")
    tried = [(offered, 100 * refused / calls) for offered, calls, refused in safe.batches if calls]
    if tried:
        axes.plot(*zip(*tried, strict=True), "o", color=OUTCOME_COLOURS[TPS], markersize=4, label="batches offered")
    sentence = f"{len(tried)} batches of random arrivals were offered"
    if safe.poisson is not None:
        bound, most = safe.poisson.low, percent(safe.poisson.refused_share)
        if bound > 0:
            axes.axvline(
                bound, color=LIMIT, linewidth=1.1, linestyle=DASHED, label=f"safe rate {rounded_down(bound)}/s"
            )
            sentence += f"; up to {rounded_down(bound)} a second, at most {most} is refused (95 %)"
        else:
            sentence += f"; no rate is known at which at most {most} is refused (95 %)"
    if found.sustained is not None:
        label = f"sustained {with_bounds(_interval(found.sustained))}/s"
        axes.axvline(found.sustained.estimate, color=MUTED, linewidth=1.0, linestyle=":", label=label)
    axes.set_xlabel("random arrivals offered a second")
    axes.set_ylabel("% refused")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.02)
    legend(axes, 3)
    sentence = f"{sentence}."
    return picture("refused-share", "Refused share against offered rate", sentence, sentence, figure)


def batches(found: AnyLimiterEstimate, first: float) -> Picture:
    """The rate of each batch of admissions under pressure, over time since the run's first call (`first`, unix s)."""
    figure, axes = new_figure()
    parts = []
    for rate, name, colour in (
        (found.sustained, "strong pressure", OUTCOME_COLOURS[STARTED]),
        (found.sustained_mild, "mild pressure", OUTCOME_COLOURS[TPS]),
    ):
        if rate is None or not rate.batch_end:
            continue
        at = np.array(rate.batch_end) - first
        axes.plot(at, rate.batch_rate, "o-", color=colour, markersize=3, linewidth=0.8, label=name)
        axes.fill_between(
            [rate.begin - first, rate.end - first], rate.low, rate.high, color=colour, alpha=0.2, linewidth=0
        )
        axes.hlines(rate.estimate, rate.begin - first, rate.end - first, color=colour, linestyle=DASHED, linewidth=1.1)
        parts.append(
            f"under {number(rate.pressure)} times the rate, {with_bounds(_interval(rate))} a second were admitted: "
            f"{rate.admitted:,} in {number(round(rate.seconds, 1))} s"
        )
    axes.set_xlabel("seconds since the run's first call was due")
    axes.set_ylabel("admitted per second")
    axes.set_ylim(bottom=0)
    legend(axes, 2)
    text = " and ".join(parts)
    sentence = f"{text[0].upper()}{text[1:]}; each point is a batch of admissions."
    return picture("batches", "Admitted under lasting pressure", sentence, sentence, figure)


def volleys(burst: BurstFromRest) -> Picture:
    """What each volley from rest got admitted."""
    figure, axes = new_figure(2.1)
    numbers = np.arange(1, len(burst.counts) + 1)
    axes.bar(numbers, burst.counts, width=0.6, color=OUTCOME_COLOURS[STARTED], alpha=0.75)
    axes.axhspan(burst.mean_low, burst.mean_high, color=LIMIT, alpha=0.15, linewidth=0, label="mean (95 %)")
    axes.axhline(burst.median, color=LIMIT, linewidth=1.1, linestyle=DASHED, label=f"median {number(burst.median)}")
    axes.set_xticks(numbers)
    axes.set_xlabel("volley")
    axes.set_ylabel("admitted at once")
    _whole_from_zero(axes)
    legend(axes, 2)
    rest = "" if burst.enough else "; a longer rest might admit more"
    sentence = (
        f"{counted(burst.volleys, 'volley')} after {number(round(burst.rest_s, 1))} s of rest admitted "
        f"{counted(at_once(burst.low, burst.high), 'call')} at once{rest}."
    )
    return picture("volleys", "Volleys from rest", sentence, sentence, figure)


def contrary(found: Contrary, first: float, seconds: float) -> Picture:
    """When decisions went against the nearest token bucket, over time since the run's first call (`first`, unix s)."""
    figure, axes = new_figure(2.1)
    at, admitted = np.asarray(found.at) - first, np.asarray(found.was_admitted, dtype=bool)
    for wanted, label, colour in (
        (False, "refused though a token was due", OUTCOME_COLOURS[TPS]),
        (True, "admitted though none was", OUTCOME_COLOURS[STARTED]),
    ):
        moments = np.sort(at[admitted == wanted])
        axes.step(moments, np.arange(1, len(moments) + 1), where="post", color=colour, linewidth=1.4, label=label)
    axes.set_xlim(0, max(seconds, float(at.max())))
    axes.set_xlabel("seconds since the run's first call was due")
    axes.set_ylabel("decisions so far")
    _whole_from_zero(axes)
    legend(axes, 2)
    sentence = (
        f"{contrary_share(found.share)} of {counted(found.decisions, 'decision')} "
        f"({found.low * 100:.2g} to {found.high * 100:.2g} %, 95 %) went against the nearest token bucket "
        f"({number(found.rate)}/s, burst {number(found.burst)}): {found.refused:,} refused though a "
        f"token was due, {found.admitted:,} admitted though none was."
    )
    return picture("contrary", "Contrary decisions", sentence, sentence, figure)


def _interval(rate: Sustained) -> Interval:
    return Interval(rate.estimate, rate.low, rate.high)


def _whole_from_zero(axes: Axes) -> None:
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
