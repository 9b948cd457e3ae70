"""Says what `capacity.json` holds in sentences: the same words for the page, the pull request and the terminal."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from reports.wording.vocabulary import LABELS, QUOTA, TPS

LEVEL = "99 %"
"""The level of the intervals of both limits, as the inference states them."""


def headline(answer: Mapping[str, Any]) -> str:
    """What this instance can take, in one sentence."""
    tps, chats = answer["tps"], answer["active_chats"]
    if not sum(answer["outcomes"].values()):
        return "No chat start was recorded: this run says nothing about the instance."
    parts = [part for part in (_tps_part(tps), _chats_part(chats)) if part]
    unmet = (
        "No chat start was throttled, so this run does not know the TPS limit"
        if tps["verdict"] == "lower_bound"
        else ""
    )
    if not parts:
        return f"{unmet or 'No limit of this instance can be stated from this run'}."
    lead = (
        "This instance"
        if answer["generator"]["valid"]
        else "Not to be relied on, for the run is invalid: this instance"
    )
    tail = f". {unmet}" if unmet else ""
    return f"{lead} {' and '.join(parts)}{tail}."


def _tps_part(tps: Mapping[str, Any]) -> str | None:
    rate, burst = tps["rate"], tps["burst"]
    if tps["verdict"] == "explained" and rate["estimate"] is not None:
        text = f"starts {known(rate)} chats a second"
        if burst["estimate"] is not None:
            text += f" with a burst of {burst_size(burst)}"
        return text
    return None


def burst_size(burst: Mapping[str, Any]) -> str:
    """Say how large a burst is: its bound where it is only known to be at least that."""
    return f"at least {number(burst['low'])}" if burst["high"] is None else known(burst)


def _chats_part(chats: Mapping[str, Any]) -> str | None:
    if chats["verdict"] == "explained" and chats["estimate"] is not None:
        if chats["low"] is not None and chats["high"] is not None and chats["low"] < chats["high"]:
            return f"holds {number(chats['low'])} to {number(chats['high'])} chats at once"
        return f"holds {known(chats)} chats at once"
    if chats["verdict"] == "lower_bound" and chats["low"]:
        return f"holds at least {number(chats['low'])} chat{'' if chats['low'] == 1 else 's'} at once"
    return None


def order(answer: Mapping[str, Any]) -> str:
    """Which limit stopped the run first, and when each began."""
    seen, names = answer["first_seen"], {TPS: "TPS limit", QUOTA: "active-chat limit"}
    times = sorted((entry["after_s"], names[name]) for name, entry in seen.items())
    if not times:
        return "Neither limit refused a call in this run."
    first = f"The {times[0][1]} stopped it first, {seconds(times[0][0])} into the run"
    if len(times) == 1:
        other = next(name for name in names.values() if name != times[0][1])
        return f"{first}; the {other} was not met."
    return f"{first}; the {times[1][1]} followed at {seconds(times[1][0])}."


def crossing(answer: Mapping[str, Any]) -> str | None:
    """At which chat length the other limit takes over; None unless both limits are explained."""
    at = answer["crossover_s"]
    if at is None:
        return None
    rate, quota = known(answer["tps"]["rate"]), known(answer["active_chats"])
    return (
        f"With chats of {known(at)} s on average, {rate} starts a second keep {quota} "
        f"chats open. Longer chats meet the active-chat limit first, at {quota} / length starts a second; shorter "
        f"chats meet the TPS limit first, at {rate} starts a second."
    )


def certainty(answer: Mapping[str, Any]) -> list[str]:
    """How sure we are of each limit, one sentence each."""
    return [_tps_certainty(answer["tps"]), _chats_certainty(answer["active_chats"])]


def _tps_certainty(tps: Mapping[str, Any]) -> str:
    if tps["verdict"] == "explained":
        kind = {
            "token_bucket": "a token bucket",
            "fixed_window": "a fixed window",
            "sliding_window": "a sliding window",
        }
        limiter = kind.get(tps["limiter"], "one limiter")
        return (
            f"TPS: {limiter} explains every decision; the rate {lies(tps['rate'], '/s')}; "
            f"the burst {lies(tps['burst'])} ({LEVEL})."
        )
    if tps["verdict"] == "lower_bound":
        return f"TPS: {_why(tps, 'the limit was not reached')}"
    return f"TPS: {_why(tps, 'no single limiter explains the refusals')} No rate is given."


def _chats_certainty(chats: Mapping[str, Any]) -> str:
    if chats["verdict"] == "explained":
        limit = f"lies between {span(chats)} ({LEVEL})"
        if chats["low"] == chats["high"]:
            limit = f"is exactly {number(chats['estimate'])}"
        return (
            f"Active chats: every start and refusal fits one limit, which {limit}, counted in this run's own chats. "
            "If others held chats at the time, the instance's quota is higher by theirs."
        )
    if chats["verdict"] == "lower_bound" and not chats["low"]:
        return "Active chats: the limit was not reached."
    if chats["verdict"] == "lower_bound":
        return f"Active chats: the limit was not reached, so {bound(chats)} is only what is known to be admitted."
    return f"Active chats: {_why(chats, 'no fixed limit on the chats of this run explains the refusals')}"


def _why(limit: Mapping[str, Any], otherwise: str) -> str:
    """The inference's own reason, as a sentence."""
    return str(limit["evidence"].get("sentence") or f"{otherwise}.")


def validity(answer: Mapping[str, Any]) -> tuple[str, str]:
    """Whether the run can be relied on: a title of two words, and why in one sentence."""
    generator = answer["generator"]
    if generator["valid"]:
        refused = ", so the refusals are the service's" if answer["first_seen"] else ""
        return "Valid run", f"the generator kept to its schedule{refused}."
    reasons = "; ".join(generator["reasons"])
    return "Invalid run", f"{reasons}. The generator, not the service, may have set these numbers."


def verdict(limit: Mapping[str, Any]) -> str:
    """A verdict's name for a reader."""
    return {"explained": "explained", "not_explained": "not explained", "lower_bound": "lower bound only"}[
        limit["verdict"]
    ]


def interval(entry: Mapping[str, Any], unit: str = "") -> str:
    """An estimate with its bounds, or what there is of it."""
    if entry["estimate"] is None:
        return bound(entry, unit) if entry["low"] is not None else "unknown"
    if entry["low"] is None and entry["high"] is None:
        return "not met"
    if entry["high"] is None:
        return bound(entry, unit)
    if entry["low"] == entry["high"]:
        return f"{number(entry['estimate'])}{unit} (exact)"
    low = "?" if entry["low"] is None else number(entry["low"])
    return f"{number(entry['estimate'])}{unit} ({low} to {number(entry['high'])})"


def bound(entry: Mapping[str, Any], unit: str = "") -> str:
    """The lower bound of an estimate."""
    return f"at least {number(entry['low'])}{unit}" if entry["low"] else "nothing"


def lies(entry: Mapping[str, Any], unit: str = "") -> str:
    """Where a number lies, as the end of a sentence."""
    if entry["high"] is None:
        return f"is {bound(entry, unit)}"
    if entry["low"] == entry["high"]:
        return f"is exactly {number(entry['low'])}{unit}"
    return f"lies between {span(entry, unit)}"


def known(entry: Mapping[str, Any]) -> str:
    """An estimate with the digits that its interval leaves standing: 4.9993 within 4.998 and 5.001 is 5.00."""
    value, low, high = entry["estimate"], entry["low"], entry["high"]
    if low is None or high is None or high <= low:
        return number(value)
    decimals = max(0, math.floor(-math.log10((high - low) / 2)))
    while decimals < 6 and not low <= round(value, decimals) <= high:
        decimals += 1
    return f"{value:,.{decimals}f}"


def span(entry: Mapping[str, Any], unit: str = "") -> str:
    """The two bounds of an estimate."""
    low, high = (("unknown" if entry[key] is None else number(entry[key])) for key in ("low", "high"))
    return f"{low} and {high}{unit}"


def number(value: float) -> str:
    """A number with at most four significant digits, thousands grouped."""
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def seconds(value: float) -> str:
    """A length of time for a reader."""
    if value < 60 or (value < 120 and value % 60):
        return f"{value:,.3g} s" if value < 100 else f"{value:.0f} s"
    if value < 7200:
        return f"{value / 60:,.3g} min"
    return f"{value / 3600:,.3g} h"


def moment(unix: float | None) -> str:
    """A unix time in UTC, to the second."""
    if unix is None:
        return "unknown"
    try:
        return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return "unknown"


def label(outcome: str) -> str:
    """An outcome's name for a reader."""
    return LABELS.get(outcome, outcome)
