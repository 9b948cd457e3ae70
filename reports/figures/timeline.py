"""The timeline: what the generator did and what the service made of it, on one axis."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.counting import counted
from reports.capacity.model import Capacity
from reports.figures.over_time import plain_log, time_axis
from reports.figures.picture import INK, LIMIT, MUTED, OFFERED, OUTCOME_COLOURS, Picture
from reports.figures.style import legend, picture, stacked_figure, steps
from reports.figures.what_happened import Moment, Span, WhatHappened
from reports.run.timeline import Timeline
from reports.wording.numbers import milliseconds, number, seconds
from reports.wording.vocabulary import STARTED, TPS

_ROWS = {"phase": "phases", "stall": "stalls", "drain": "drain"}
_COLOURS = {"phase": OFFERED, "stall": LIMIT, "drain": MUTED}
_MOST_NAMED = 12


def run_timeline(view: Timeline, answer: Capacity, happened: WhatHappened) -> Picture:
    """Phases, stalls, drain and moments over the offered rate and users, over the latency of started chats."""
    kinds = [kind for kind in _ROWS if any(span.kind == kind for span in happened.spans)]
    figure, (top, middle, bottom) = stacked_figure(0.25 * max(len(kinds), 1) + 0.1, 1.55, 1.75)
    _spans(top, happened, kinds)
    _rates(middle, view, happened)
    _bands(bottom, happened)
    for axes in (top, middle, bottom):
        for moment in happened.moments:
            colour = LIMIT if moment.kind == "limit change" else INK
            axes.axvline(moment.at, color=colour, linewidth=1.0, linestyle=(0, (1, 1.5)))
        time_axis(axes, view)
        if axes is not bottom:
            axes.set_xlabel("")
            axes.tick_params(labelbottom=False)
    sentence = _sentence(happened)
    return _drawn(
        figure, sentence, " ".join((_offered_words(view, happened), *_told(happened), _latency_words(happened)))
    )


def _drawn(figure: Figure, sentence: str, alternative: str) -> Picture:
    return picture("timeline", "What happened when", sentence, alternative, figure)


def _spans(axes: Axes, happened: WhatHappened, kinds: list[str]) -> None:
    for row, kind in enumerate(reversed(kinds)):
        for place, span in enumerate(span for span in happened.spans if span.kind == kind):
            shade: Any = {"color": _COLOURS[kind], "alpha": 0.75 if place % 2 == 0 else 0.45, "height": 0.62}
            axes.barh(row, max(span.end - span.begin, 0.2), left=span.begin, linewidth=0, **shade)
    axes.set_yticks(range(len(kinds)), [_ROWS[kind] for kind in reversed(kinds)])
    axes.set_ylim(-0.6, max(len(kinds), 1) - 0.4)
    axes.grid(axis="y", visible=False)


def _rates(axes: Axes, view: Timeline, happened: WhatHappened) -> None:
    edges = np.append(view.begins, view.begins[-1] + view.width)
    steps(axes, view.rates["offered"], edges, color=OFFERED, linewidth=1.3, label="offered")
    for name, label in ((STARTED, "started"), (TPS, "throttled")):
        if name in view.rates:
            colour = OUTCOME_COLOURS[name]
            steps(axes, view.rates[name], edges, color=colour, linewidth=1.0, label=label)
    if happened.users:
        ends = np.append(list(happened.users), _users_until(happened, float(edges[-1])))
        users: Any = {"color": INK, "linewidth": 1.0, "linestyle": ":", "label": "users"}
        steps(axes, list(happened.users.values()), np.maximum.accumulate(ends), **users)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("a second; users")
    legend(axes, 4)


def _users_until(happened: WhatHappened, end: float) -> float:
    return next((span.begin for span in happened.spans if span.kind == "drain"), end)


def _bands(axes: Axes, happened: WhatHappened) -> None:
    bands, colour = happened.latency, OUTCOME_COLOURS[STARTED]
    axes.set_ylabel("latency (ms)")
    if not len(bands.at):
        return
    p50, p95, p99 = (np.maximum(quantile, 1e-3) for quantile in (bands.p50, bands.p95, bands.p99))
    middle = bands.at + bands.block_s / 2
    axes.fill_between(middle, p50, p95, color=colour, alpha=0.35, linewidth=0, label="p50 to p95")
    axes.fill_between(middle, p95, p99, color=colour, alpha=0.18, linewidth=0, label="p95 to p99")
    axes.plot(middle, p50, color=colour, linewidth=1.3, label="p50 of started chats")
    axes.set_yscale("log")
    plain_log(axes, vertical=True)
    legend(axes, 3)


def _sentence(happened: WhatHappened) -> str:
    parts = []
    for kind, one, many in (("phase", "phase of the probe", "phases of the probe"), ("stall", "stall", "stalls")):
        count = sum(span.kind == kind for span in happened.spans)
        if count:
            parts.append(f"{count} {one if count == 1 else many}")
    for kind, one, many in (
        ("worker lost", "lost worker", "lost workers"),
        ("limit change", "limit change", "limit changes"),
    ):
        count = sum(moment.kind == kind for moment in happened.moments)
        if count:
            parts.append(f"{count} {one if count == 1 else many} (dotted)")
    drain = next((span for span in happened.spans if span.kind == "drain"), None)
    if drain is not None:
        parts.append(f"chats were stopped from {seconds(drain.begin)} on")
    lead = "Offered rate, users and latency of started chats"
    return f"{lead}; {', '.join(parts)}." if parts else f"{lead}; no stall, lost worker or limit change was seen."


def _told(happened: WhatHappened) -> list[str]:
    """A sentence for each span and moment; of very many, how many more there are."""
    everything: list[Span | Moment] = [*happened.spans, *happened.moments]
    everything.sort(key=_time)
    told = [_words(one) for one in everything]
    more = len(told) - _MOST_NAMED
    return told if more <= 0 else [*told[:_MOST_NAMED], f"And {more} more."]


def _time(one: Span | Moment) -> float:
    return one.begin if isinstance(one, Span) else one.at


def _words(one: Span | Moment) -> str:
    if isinstance(one, Moment):
        return f"At {seconds(max(one.at, 0.0))}: {one.kind} ({one.label})."
    return f"{seconds(max(one.begin, 0.0))} to {seconds(one.end)}: {one.label}."


def _offered_words(view: Timeline, happened: WhatHappened) -> str:
    offered = view.rates["offered"]
    text = f"Offered rate up to {number(offered.max())} a second, {number(offered.mean())} on average"
    if happened.users:
        users = happened.users.values()
        text += f", by {number(min(users))} to {counted(number(max(users)), 'user')}"
    return f"{text}."


def _latency_words(happened: WhatHappened) -> str:
    bands = happened.latency
    if not len(bands.at):
        return "No chat was started."
    thirds = [part for part in np.array_split(np.arange(len(bands.at)), min(3, len(bands.at))) if len(part)]
    parts = [
        f"from {seconds(max(float(bands.at[part[0]]), 0.0))} p50 {milliseconds(float(np.median(bands.p50[part])))}, "
        f"p95 {milliseconds(float(np.median(bands.p95[part])))}"
        for part in thirds
    ]
    return f"Latency of started chats in ms, medians of the run's thirds: {'; '.join(parts)}."
