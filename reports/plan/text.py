"""Says a plan in words and draws its frontier."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.ticker import NullFormatter

from harness.counting import counted
from reports.figures.picture import INK, LIMIT, MUTED, OFFERED, OUTCOME_COLOURS, Picture
from reports.figures.style import DASHED, legend, picture, wide_figure
from reports.plan.day import Day
from reports.plan.planning import SHORTEST_DURATION, Course, Limits, frontier
from reports.wording.numbers import number, seconds
from reports.wording.vocabulary import QUOTA, STARTED, TPS

_TICKS = [*(1, 2, 5, 10, 20, 60, 120, 300, 600, 1200), *(3600 * hours for hours in (1, 2, 5, 10, 24, 48, 168))]
_LEAST_PERCENT = 1e-4
_NAMES = {"tps": "the TPS quota", "active_chats": "the active-chat quota"}


def sentences(plan: Mapping[str, Any]) -> list[str]:
    """The plan's answer, the most important sentence first."""
    load, limits = plan["load"], plan["limits"]
    arrivals, length = plan["arrivals"], plan["length"]
    rate, quota = number(limits["tps"]), number(limits["active_chats"])
    open_chats, cross = number(load["peak_open_chats"]), seconds(limits["crossover_s"])
    invalid = limits["invalid_run"]
    return [
        f"{f'Not to be relied on, for the run is invalid ({invalid}): ' if invalid else ''}{_verdict(plan)}",
        f"Busiest arrivals {number(arrivals['peak_per_s'])}/s{_at(arrivals['peak_at'])}: {load['tps_share']:.0%} of the "
        f"TPS quota ({rate}/s{' sustained' if limits['measured_curve'] else ''}, {_at_once(limits)}).",
        f"Most chats open {open_chats}{_at(load['peak_open_chats_at'])}: {load['active_chats_share']:.0%} of the "
        f"active-chat quota ({quota}). Limits from: {limits['source']}.",
        *_abandoned(plan),
        f"A mean chat lasts {seconds(length['mean_s'])} ({length['distribution']}{_never_ended(plan)}). At full rate the "
        f"active-chat quota binds first from a mean of {cross} on, the TPS quota below it.",
        _chance(plan),
        _check(plan),
        _request(plan),
    ]


def _at_once(limits: Mapping[str, Any]) -> str:
    calls, window = number(limits["burst"]), limits["window_s"]
    return f"burst {calls}" if window is None else f"{calls} in a window of {seconds(window)}"


def _abandoned(plan: Mapping[str, Any]) -> list[str]:
    """What chats cost that nobody ends, and what the shortest duration would save."""
    left = plan["abandoned"]
    if left is None:
        return []
    held = number(round(left["open_chats"]))
    text = (
        f"The {share(left['share'])} of the customers who leave without ending hold {held} of the "
        f"{counted(number(round(left['peak_open_chats'])), 'chat')} at the fullest moment, "
        f"{seconds(left['duration_s'])} each"
    )
    if left["duration_s"] <= SHORTEST_DURATION:
        return [f"{text}."]
    return [
        f"{text}; with ChatDurationInMinutes 60 they would hold {number(round(left['open_chats_at_60_minutes']))}, and the "
        f"most open at once would be {number(round(left['peak_open_chats_at_60_minutes']))}."
    ]


def _never_ended(plan: Mapping[str, Any]) -> str:
    return f", {share(plan['abandoned']['share'])} never ended" if plan["abandoned"] is not None else ""


def _verdict(plan: Mapping[str, Any]) -> str:
    first, target = plan["binds_first"], share(plan["request"]["refused_at_most"])
    if first["limit"] is None:
        return f"Neither quota refuses more than {target} of the customers at any moment."
    if first["at"] is None:
        return f"{_capital(_NAMES[first['limit']])} binds: it refuses more than {target} of the customers."
    text = f"{_capital(_NAMES[first['limit']])} binds first, at {first['at']}"
    others = [f"{_NAMES[name]} at {entry['at']}" for name, entry in first["over"].items() if name != first["limit"]]
    return f"{text}{'; ' + others[0] + ' too' if others else ''} (refusing more than {target})."


def _chance(plan: Mapping[str, Any]) -> str:
    """How probable a refusal is: by the formulas where the simulation agrees with them, else by the simulation."""
    refused, found = plan["refused"], plan["simulated"]
    by_simulation = found is not None and not found["agrees"]
    tps, chats = ((found if by_simulation else refused)[name] for name in ("tps", "active_chats"))
    return (
        f"A customer is refused with probability {share(tps + chats)} over all arrivals ({share(tps)} by TPS, "
        f"{share(chats)} by the active-chat quota{', simulated' if by_simulation else ''}); at the worst moment "
        f"{share(refused['worst_moment'])}{' by formula' if by_simulation else ''}."
    )


def _check(plan: Mapping[str, Any]) -> str:
    found = plan["simulated"]
    if found is None and plan["limits"]["measured_curve"]:
        return (
            "Refusals by TPS are read from the measured curve of refused shares (random arrivals), as the limiter is not an "
            "exact token bucket; they are not simulated."
        )
    if found is None and plan["limits"]["window_s"] is not None:
        return "Refusals by TPS are those of a window of time under random arrivals; they are not simulated."
    if found is None:
        return "Not checked by simulation: the day has more arrivals than are simulated call by call."
    tps, chats = (f"{share(found[name])} ± {share(found[f'{name}_half_width'])}" for name in ("tps", "active_chats"))
    arrivals = counted(found["arrivals"], "arrival")
    text = f"Simulated call by call ({arrivals}): {tps} by TPS, {chats} by the active-chat quota"
    if found["agrees"]:
        return f"{text}; the formulas agree."
    return (
        f"{text}. The formulas differ from that (spikes shorter than a chat, or a bucket that smooths): trust the "
        "simulation."
    )


def _request(plan: Mapping[str, Any]) -> str:
    wanted = plan["request"]
    parts = []
    if wanted["tps"] is not None:
        parts.append(f"{number(wanted['tps'])} StartChatContact requests a second (L-AA48CD49)")
    if wanted["active_chats"] is not None:
        parts.append(f"{number(wanted['active_chats'])} concurrent active chats (L-D4BA6F6E)")
    basis = (
        f"needed for at most {share(wanted['refused_at_most'])} refused: {number(wanted['needed']['tps'])}/s and "
        f"{counted(number(wanted['needed']['active_chats']), 'chat')}; safety margin {wanted['margin']:.0%}"
    )
    floor = wanted["refused_at_any_rate"]
    more = (
        "" if floor is None else f" The limiter refuses {share(floor)} at any rate, as measured: no quota changes that."
    )
    if not parts:
        return f"Nothing to request: {'more would not help' if more else 'the quotas suffice'} ({basis}).{more}"
    return f"Request {' and '.join(parts)} ({basis}).{more}"


def share(value: float) -> str:
    """A probability as a percentage with two significant digits, and never with an exponent."""
    percent = value * 100
    if 0 < percent < _LEAST_PERCENT:
        return f"under {_LEAST_PERCENT:.4f} %" if percent >= 1e-7 else "0 %"
    return f"{percent:.2g} %" if percent < 99.5 else f"{percent:.3g} %"


def _at(label: str) -> str:
    return "" if label == "any time" else f" at {label}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def markdown(plan: Mapping[str, Any]) -> str:
    """The plan for a pull request or a ticket."""
    first, *rest = sentences(plan)
    lines = "\n".join(f"- {sentence}" for sentence in rest)
    return f"### Chat quota plan: {first}\n\n{lines}\n\n![frontier](frontier.png)\n"


def frontier_figure(plan: Mapping[str, Any], limits: Limits) -> Picture:
    """Which arrival rates and mean lengths the quotas allow, and where this plan's peak lies."""
    refused, mean, peak = plan["request"]["refused_at_most"], plan["length"]["mean_s"], plan["arrivals"]["peak_per_s"]
    cross = limits.active_chats / limits.tps
    lengths = np.geomspace(min(mean, cross) / 8, max(mean, cross) * 8, 160)
    figure, (axes,) = wide_figure(1, 3.6)
    full = np.minimum(limits.tps, limits.active_chats / lengths)
    allowed = frontier(limits, refused, lengths)
    axes.fill_between(lengths, allowed, color=OUTCOME_COLOURS[STARTED], alpha=0.2, linewidth=0)
    axes.plot(
        lengths, allowed, color=OUTCOME_COLOURS[STARTED], linewidth=1.8, label=f"at most {share(refused)} refused"
    )
    tps, quota = lengths <= cross, lengths >= cross
    axes.plot(lengths[tps], full[tps], color=OUTCOME_COLOURS[TPS], linestyle=DASHED, label="TPS quota")
    axes.plot(lengths[quota], full[quota], color=OUTCOME_COLOURS[QUOTA], linestyle=DASHED, label="active-chat quota")
    axes.axvline(cross, color=MUTED, linewidth=1.0, linestyle=":")
    axes.plot(mean, peak, "o", color=LIMIT, markersize=7, label="this plan's peak")
    axes.set_xscale("log")
    axes.set_ylim(0, max(limits.tps, peak) * 1.12)
    axes.set_xlim(lengths[0], lengths[-1])
    ticks = [tick for tick in _TICKS if lengths[0] <= tick <= lengths[-1]]
    axes.set_xticks(ticks, [seconds(tick) for tick in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("mean chat length")
    axes.set_ylabel("arrivals per second")
    axes.annotate(f"meet at {seconds(cross)}", (cross, 0.02), xycoords=axes.get_xaxis_transform(), color=INK)
    legend(axes, 2)
    most = float(np.interp(mean, lengths, allowed))
    sentence = (
        f"At a mean of {seconds(mean)}, {counted(number(most), 'arrival')} a second is the most with at most "
        f"{share(refused)} refused; this plan's peak of {number(peak)} a second lies "
        f"{'inside' if peak <= most else 'outside'}."
    )
    return picture("frontier", "Arrival rate against chat length", sentence, sentence, figure)


def day_figure(run: Course, day: Day, limits: Limits) -> Picture:
    """The day: arrivals against the TPS quota, and chats open against the active-chat quota."""
    figure, (left, right) = wide_figure(2, 2.9)
    hours = run.at / 3600
    for axes, values, limit, label in (
        (left, run.rates, limits.tps, "arrivals per second"),
        (right, run.open_chats, limits.active_chats, "chats open"),
    ):
        axes.plot(hours, values, color=OFFERED, linewidth=1.5)
        axes.axhline(limit, color=LIMIT, linewidth=1.1, linestyle=DASHED)
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, float(hours[-1]))
        axes.set_xlabel(f"hours from {day.labels[0]}")
        axes.set_title(f"{label} (dashed: quota)")
    sentence = (
        f"Arrivals peak at {number(float(run.rates.max()))} a second against a quota of {number(limits.tps)}; "
        f"open chats peak at {number(float(run.open_chats.max()))} against {number(limits.active_chats)}."
    )
    return picture("day", "The day against both quotas", sentence, sentence, figure)
