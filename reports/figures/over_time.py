"""The figures of a report, each with the one sentence that it shows and a text that can stand in its place."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from harness.counting import counted
from reports.capacity.model import ActiveChats, Capacity
from reports.figures.picture import LIMIT, MUTED, OFFERED, OUTCOME_COLOURS, Picture
from reports.figures.style import DASHED, legend, new_figure, picture, steps
from reports.run.tables import Curve
from reports.run.timeline import Timeline
from reports.wording.numbers import known, milliseconds, number, seconds
from reports.wording.vocabulary import LABELS, QUOTA, START_OUTCOMES, STARTED, TPS, UNKNOWN

_SHOWN = (*START_OUTCOMES, UNKNOWN)


def outcomes_over_time(view: Timeline, answer: Capacity) -> Picture:
    """Offered rate as a line over the stacked rates of every outcome."""
    figure, axes = new_figure()
    present = [name for name in _SHOWN if name in view.rates]
    edges = np.append(view.begins, view.begins[-1] + view.width)
    floor = np.zeros(len(view.begins))
    for name in present:
        top = floor + view.rates[name]
        colour = OUTCOME_COLOURS.get(name, MUTED)
        steps(axes, top, edges, floor, color=colour, alpha=0.75, label=LABELS[name], linewidth=0)
        floor = top
    steps(axes, view.rates["offered"], edges, color=OFFERED, linewidth=1.3, label="offered")
    _mark_first(axes, answer)
    rate = answer.tps.rate_to_use
    if rate is not None and rate.estimate is not None:
        label = f"{'TPS rate' if answer.tps.exact else 'sustained'} {known(rate)}/s"
        axes.axhline(rate.estimate, color=LIMIT, linewidth=1.1, linestyle=DASHED, label=label)
    time_axis(axes, view)
    axes.set_ylabel("calls per second")
    legend(axes, 3)
    counts = {name: answer.outcomes.get(name, 0) for name in present}
    offered, calls = answer.generator.offered, sum(counts.values())
    lead = f"{counted(offered, 'chat start was', 'chat starts were')} offered"
    if answer.retry_lab:
        lead += f", {counted(calls, 'attempt')} with the SDK's retries"
    told = ", ".join(f"{count:,} {LABELS[name]}" for name, count in counts.items() if count)
    first = _first_sentence(answer)
    return picture(
        "outcomes",
        "Offered, started and refused",
        f"{lead}: {told}. {first}",
        f"Outcomes per second, stacked, {view.width} s a step, under the offered rate. {told}. {first}",
        figure,
    )


def active_chats(view: Timeline, answer: Capacity, declared: float | None) -> Picture:
    """Chats that the run held open, against the limit."""
    figure, axes = new_figure()
    edges = np.arange(len(view.active) + 1.0)
    open_chats, colour = view.active, OUTCOME_COLOURS[STARTED]
    steps(axes, open_chats, edges, 0, color=colour, alpha=0.25, linewidth=0)
    steps(axes, open_chats, edges, color=colour, linewidth=1.4, label="open chats of this run")
    limit = answer.active_chats
    room = limit.ours or limit  # the figure has this run's chats alone
    if limit.verdict == "explained" and room.estimate is not None:
        label = f"{'room beside others' if limit.ours else 'active-chat limit'} {number(room.estimate)}"
        axes.axhline(room.estimate, color=LIMIT, linewidth=1.1, linestyle=DASHED, label=label)
        if room.high is not None and room.low is not None and room.high > room.low:
            axes.axhspan(room.low, room.high, color=LIMIT, alpha=0.12, linewidth=0)
    if declared is not None and declared <= 4 * max(1, view.active.max()):
        axes.axhline(declared, color=MUTED, linewidth=1.0, linestyle=":", label=f"declared quota {declared:,.0f}")
    _mark_first(axes, answer, only=QUOTA)
    axes.set_ylim(bottom=0, top=None if view.active.max() else 1)
    time_axis(axes, view)
    axes.set_ylabel("active chats")
    legend(axes, 3)
    peak, at = answer.peak_active.chats, answer.peak_active.after_s
    chats = "chat" if peak == 1 else "chats"
    sentence = f"The run held at most {peak:,} {chats} open at the end of a second"
    sentence += f", first {at:,} s into it{_limit_words(limit, peak)}" if peak and at else _limit_words(limit, peak)
    return picture(
        "active-chats",
        "Active chats against the limit",
        sentence,
        f"Open chats at the end of each second, from 0 to {peak:,}. {sentence}",
        figure,
    )


def latency(curves: dict[str, tuple[Curve, Curve]], answer: Capacity) -> Picture:
    """How latency is distributed, by outcome: from when calls were due (solid), from when they were sent (dotted)."""
    figure, axes = new_figure()
    shown = [name for name in _SHOWN if name in curves]
    for name in shown:
        colour = OUTCOME_COLOURS.get(name, MUTED)
        for curve, dashes, label in zip(curves[name], ("-", ":"), (LABELS[name], None), strict=True):
            ms = np.maximum(curve.seconds, 1e-6) * 1000
            axes.step(ms, curve.share * 100, where="post", color=colour, linestyle=dashes, label=label, linewidth=1.3)
    axes.set_xscale("log")
    plain_log(axes)
    axes.set_xlabel("latency (ms): solid from when the call was due,\ndotted from when it was sent")
    axes.set_ylabel("% of calls no slower")
    axes.set_ylim(0, 101)
    legend(axes, 3)
    parts = [
        f"{LABELS[name]} p50 {milliseconds(row.p50)} ms, p99 {milliseconds(row.p99)} ms"
        for name in shown
        if (row := answer.latency_ms.get(name)) and row.p50 is not None
    ]
    sentence = f"From when each call should have been sent: {'; '.join(parts)}."
    return picture(
        "latency",
        "Latency by outcome",
        sentence,
        f"Cumulative distributions of latency, one line an outcome, logarithmic axis. {sentence}",
        figure,
    )


def lateness(view: Timeline, answer: Capacity) -> Picture:
    """The generator's own lateness: the largest of each bin, and the run's median and 99th percentile."""
    figure, axes = new_figure(2.1)
    latest = np.maximum(view.lateness_ms, 1e-3)
    axes.plot(view.late_begins, latest, color=OFFERED, linewidth=1.2, label=f"largest in each {view.width} s")
    measured = answer.generator.measured_lateness_ms
    for key, value, dashes in (("p50", measured.p50 or 0.0, ":"), ("p99", measured.p99 or 0.0, DASHED)):
        label = f"{key} {milliseconds(value)} ms"
        axes.axhline(max(value, 1e-3), color=MUTED, linewidth=1.1, linestyle=dashes, label=label)
    axes.set_yscale("log")
    plain_log(axes, vertical=True)
    time_axis(axes, view)
    axes.set_ylabel("sent - due (ms)")
    legend(axes, 3)
    sentence = (
        f"Half of the calls left within {milliseconds(measured.p50)} ms of when they were due, 99 % within "
        f"{milliseconds(measured.p99)} ms, the last {milliseconds(measured.max)} ms late."
    )
    return picture("lateness", "The generator's own lateness", sentence, sentence, figure)


def _mark_first(axes: Axes, answer: Capacity, only: str | None = None) -> None:
    for name in (TPS, QUOTA):
        seen = answer.first_seen.get(name)
        if seen and only in (None, name):
            axes.axvline(seen.after_s, color=OUTCOME_COLOURS[name], linewidth=1.0, linestyle=(0, (1, 1.5)))


def _first_sentence(answer: Capacity) -> str:
    parts = [
        f"the first {what} came after {seconds(answer.first_seen[name].after_s)}"
        for name, what in ((TPS, "TPS throttle"), (QUOTA, "active-chat refusal"))
        if answer.first_seen.get(name)
    ]
    text = " and ".join(parts)
    return f"{text[0].upper()}{text[1:]} (dotted lines)." if text else "Neither limit refused a call."


def _limit_words(limit: ActiveChats, peak: int) -> str:
    room = limit.ours or limit
    if limit.verdict == "explained" and room.estimate is not None:
        return (
            f"; the service refused further chats at {number(room.estimate)}{' beside others' if limit.ours else ''}."
        )
    if limit.verdict == "lower_bound":
        surely = (
            f"; {limit.low:,} of them surely at once, the others may have been ending"
            if limit.low and limit.low < peak
            else ""
        )
        return f"{surely}; the active-chat limit was not reached."
    return "; the refusals are not explained by one fixed limit on this run's chats."


def time_axis(axes: Axes, view: Timeline) -> None:
    """Label the axis of a figure over the run's time, from its first call to its last answer."""
    axes.set_xlabel("seconds since the run's first call was due")
    if len(view.active):
        axes.set_xlim(0, float(len(view.active)))
    axes.margins(x=0)


def plain_log(axes: Axes, vertical: bool = False) -> None:
    """Write the numbers of a logarithmic axis out."""
    axis = axes.yaxis if vertical else axes.xaxis
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=10))
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(lambda value, _: f"{value:,.6g}")
