"""The figure of reply times and unanswered messages against the chats that were open."""

from typing import Any

from reports.capacity.answered.model import Answered, LoadBand
from reports.capacity.answered.sentences import knee_sentence
from reports.figures.picture import LIMIT, MUTED, OFFERED, Picture
from reports.figures.style import DASHED, legend, picture, stacked_figure
from reports.wording.numbers import seconds


def replies(found: Answered) -> Picture:
    """Reply times (above) and the share that came too late or never (below), by open chats, with 95 % intervals."""
    figure, (times, shares) = stacked_figure(2.1, 2.1)
    bands = found.by_open_chats
    centres = [(band.low + band.high) / 2 for band in bands]
    for name, colour, points in (
        ("p95", OFFERED, [(band.p95, band.p95_interval) for band in bands]),
        ("p50", MUTED, [(band.p50, band.p50_interval) for band in bands]),
    ):
        rows = [(at, point, bounds) for at, (point, bounds) in zip(centres, points, strict=True) if point is not None]
        low = [(point - bounds[0]) / 1000 if bounds else 0.0 for _, point, bounds in rows]
        high = [(bounds[1] - point) / 1000 if bounds else 0.0 for _, point, bounds in rows]
        at, value = [row[0] for row in rows], [row[1] / 1000 for row in rows]
        times.errorbar(at, value, yerr=[low, high], fmt="o-", color=colour, markersize=3, linewidth=1.0, label=name)
    goal = found.knee.goal if found.knee is not None else None
    if goal is not None:
        times.axhline(goal, color=LIMIT, linewidth=1.0, linestyle=DASHED, label=f"goal {seconds(goal)}")
    times.set_ylabel("seconds to the reply")
    late = [1 - band.within_goal for band in bands]
    lost = [band.no_reply for band in bands]
    wide: Any = {
        "color": OFFERED,
        "alpha": 0.5,
        "linewidth": 4,
        "markersize": 6,
    }  # seen behind the other where they agree
    thin: Any = {"color": LIMIT, "linewidth": 1.0, "markersize": 4}
    shares.errorbar(centres, late, yerr=_late_bars(bands), fmt="o-", label="late or never", **wide)
    shares.errorbar(centres, lost, yerr=_lost_bars(bands), fmt="x-", label="never", **thin)
    shares.set_ylabel("share of the messages")
    for axes in (times, shares):
        axes.set_xlabel("chats open when the message was sent")
        axes.set_ylim(bottom=0)
        if found.knee is not None and found.knee.open_chats is not None:
            axes.axvline(found.knee.open_chats, color=LIMIT, linewidth=1.0, linestyle=DASHED)
        legend(axes, 3)
    sentence = "" if found.knee is None else knee_sentence(found.knee)
    return picture("replies", "Replies and open chats", sentence, sentence or "Reply times by open chats.", figure)


def _late_bars(bands: list[LoadBand]) -> list[list[float]]:
    bounds = [band.within_goal_interval or (band.within_goal, band.within_goal) for band in bands]
    return [
        [high - band.within_goal for band, (_, high) in zip(bands, bounds, strict=True)],
        [band.within_goal - low for band, (low, _) in zip(bands, bounds, strict=True)],
    ]


def _lost_bars(bands: list[LoadBand]) -> list[list[float]]:
    bounds = [band.no_reply_interval or (band.no_reply, band.no_reply) for band in bands]
    return [
        [band.no_reply - low for band, (low, _) in zip(bands, bounds, strict=True)],
        [high - band.no_reply for band, (_, high) in zip(bands, bounds, strict=True)],
    ]
