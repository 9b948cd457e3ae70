"""Says what `capacity.json` holds in sentences: the same words for the page, the pull request and the terminal."""

from collections import Counter

from harness.counting import counted
from harness.quotas.any_limiter.estimates import LimiterClass
from harness.vocabulary import cause_of_429
from reports.capacity.journey import bind_first, is_journey, others_throttled
from reports.capacity.model import ActiveChats, Capacity, Contrary, Operation, Tps
from reports.wording.numbers import (
    at_least,
    at_once,
    between,
    contrary_share,
    interval,
    known,
    lies,
    number,
    percent,
    rounded_down,
    seconds,
    share,
    spread,
    with_bounds,
)
from reports.wording.vocabulary import GOING_ON, NO_CALLS, OTHER_429, PROBE, QUOTA, START, STARTED, TPS

LEVEL = "99 %"
"""The level of the intervals of both limits, as the inference states them."""

CLASSES: dict[LimiterClass, str] = {
    "exact": "an exact limiter",
    "exact_within_jitter": "like an exact limiter, as far as the jitter lets it be seen",
    "window": "like a window",
    "nearly_bucket": "nearly a token bucket",
    "shared": "a limiter that others use too",
    "depends_on_pressure": "a limiter whose rate depends on the pressure",
    "approximate": "an approximate limiter",
    "blocks": "a limiter that admits and refuses in long turns",
    "not_stationary": "a limit that moved during the run",
    "not_met": "not met",
}
BOUNDS_ONLY: frozenset[LimiterClass] = frozenset({"blocks", "not_stationary"})
"""Classes of which the estimates hold for this run's turns or times alone, and only the lower bounds for others."""
_ANY = "The numbers that are given hold for any limiter, at 95 %."
_LIMITERS = {
    "token_bucket": "a token bucket",
    "fixed_window": "a fixed window",
    "sliding_window": "a sliding window",
    "unknown": "one limiter",
}


def target(answer: Capacity) -> str:
    """What was tested, LAB or LIVE: the first line of everything that is reported."""
    aim = answer.target
    endpoint = (aim.endpoint if aim else None) or answer.run.endpoint or "an unknown endpoint"
    kind = aim.kind if aim else None
    if kind == "lab":
        return f"LAB emulator {endpoint}" if answer.run.emulator is not None else f"LAB {endpoint}: not AWS"
    if kind is None or aim is None:
        return f"UNKNOWN target: the run does not say whether {endpoint} was live"
    account = f"account {aim.account}, " if aim.account else ""
    return f"LIVE {account}{aim.region or 'unknown Region'}, instance {aim.instance_id or 'unknown'}"


def headline(answer: Capacity) -> str:
    """What this instance can take, in one sentence."""
    calls = sum(answer.outcomes.values())
    if not calls:
        return "No chat start was recorded: this run says nothing about the instance."
    if nothing_served(answer):
        worst = max(answer.outcomes, key=lambda name: answer.outcomes[name])
        return f"No call was served: {_reason(answer, worst)}. This run says nothing about the limits."
    unmet = (
        "No chat start was throttled, so this run does not know the TPS limit"
        if answer.tps.verdict == "lower_bound"
        else ""
    )
    lead = "" if answer.generator.valid else "Not to be relied on, for the run is invalid: "
    journey = journey_sentence(answer)
    started = answer.outcomes.get(STARTED, 0)
    parts = [part for part in (_tps_part(answer.tps), _chats_part(answer.active_chats, started)) if part]
    if not parts and not journey:
        return f"{unmet or 'No limit of this instance can be stated from this run'}."
    limits = [f"This instance {' and '.join(parts)}"] if parts else []
    if len(parts) == 2 and not answer.tps.exact:
        limits = [f"This instance {parts[0]}", f"It {parts[1]}"]
    sentences = [sentence for sentence in (journey, *limits, unmet) if sentence]
    text = ". ".join(sentence.rstrip(".") for sentence in sentences) + "."
    return f"{lead}{text[0].lower()}{text[1:]}" if lead and text.startswith("This") else f"{lead}{text}"


def _reason(answer: Capacity, outcome: str) -> str:
    """What answer every call got, as the service said it."""
    rows = [row for row in answer.answers if row.outcome == outcome and row.operation in ("", START)]
    calls = sum(answer.outcomes.values())
    text = f"all {counted(calls, 'chat start')}" if calls > 1 else "the only chat start"
    words = f"{text} failed, most of them with {outcome.replace('_', ' ')}"
    if rows:
        first = max(rows, key=lambda row: row.count or 0)
        told = " ".join(part for part in (first.error_code, first.message) if part)
        status = f"HTTP {first.status}" if first.status else "no HTTP answer"
        return f"{words} ({status}{': ' + told[:160] if told else ''})"
    return words


def journey_sentence(answer: Capacity) -> str:
    """Which operation stops a whole journey first and how often it refused; "" where StartChatContact does, or nothing."""
    if not is_journey(answer.operations):
        return ""
    name = answer.binds_first
    if name is not None and name != START and (row := answer.operations.get(name)) is not None:
        room = f", at {counted(known(row.binds_at_chats_per_s), 'chat')} a second" if row.binds_at_chats_per_s else ""
        first = bind_first(answer)
        stops, its = ("stops", "its") if len(first) == 1 else ("stop", f"{name}'s")
        return (
            f"{' and '.join(first)} {stops} this journey first{room}: {_refused(row)} of {its} {row.attempts:,} calls were "
            "refused"
        )
    worst = {
        name: row
        for name, row in answer.operations.items()
        if name not in NO_CALLS and name != START and row.throttled and row.throttled / row.attempts >= 0.01
    }
    if not worst:
        return ""
    name = max(worst, key=lambda one: worst[one].throttled / worst[one].attempts)
    return f"{name} was throttled: {_refused(worst[name])} of its {worst[name].attempts:,} calls were refused"


def _refused(row: Operation) -> str:
    return share(row.throttled, row.attempts)


_FEWER_BRING = 1.5
"""How many times the sustained rate is started under less pressure, from which the headline says so."""


def _tps_part(tps: Tps) -> str | None:
    if tps.exact and (window := window_of(tps)) is not None:
        calls, seconds_long = window
        where = "each window of" if tps.limiter == "fixed_window" else "any"
        return (
            f"starts {counted(number(calls), 'chat')} in {where} {seconds(seconds_long)} ({known(tps.rate)} a second)"
        )
    if tps.exact and tps.rate.estimate is not None:
        text = f"starts {counted(known(tps.rate), 'chat')} a second"
        return f"{text} with a burst of {known(tps.burst)}" if tps.burst.low is not None else text
    return any_limiter(tps)


def window_of(tps: Tps) -> tuple[float, float] | None:
    """The calls that a fixed or sliding window admits, and its seconds; None of another limiter."""
    calls, length = (tps.evidence.get(name) for name in ("window_calls", "window_seconds"))
    if "window" not in tps.limiter or not isinstance(calls, int | float) or not isinstance(length, int | float):
        return None
    return (calls, length) if calls > 0 and length > 0 else None


def any_limiter(tps: Tps) -> str | None:
    """What holds whatever the limiter is, for one that is not proved to be exact; None where nothing was measured."""
    if tps.sustained is None:
        return None
    rate, bounds = with_bounds(tps.sustained).split(" (", 1)
    parts = [f"sustains {counted(rate, 'start')} a second under pressure ({bounds}"]
    mild = tps.sustained_mild
    if mild is not None and (mild.estimate or 0.0) > _FEWER_BRING * (tps.sustained.estimate or 0.0):
        parts.append(f"{with_bounds(mild)} a second when fewer are asked of it")
    if (burst := tps.burst_from_rest) is not None:
        parts.append(f"admits {at_once(burst.low, burst.high)} at once from rest")
    if tps.safe is not None and (safe := tps.safe.poisson) is not None and safe.low is not None:
        most = percent(safe.refused_share)
        parts.append(
            f"refuses at most {most} of {rounded_down(safe.low)} a second"
            if safe.low
            else f"may refuse over {most} at any rate"
        )
    text = ", ".join(parts[:-1]) + (", and " if len(parts) > 2 else " and ") + parts[-1] if len(parts) > 1 else parts[0]
    return f"{text}; {class_phrase(tps)}"


def numbers_to_use(tps: Tps) -> str:
    """Which of the numbers that were measured to go by, for this class of limiter."""
    if tps.exact:
        return "the exact rate and burst"
    if tps.class_ == "not_stationary":
        return "the lower bounds alone, and measure again"
    if tps.class_ == "blocks":
        return "the lower bounds alone"
    safe = tps.safe is not None and tps.safe.poisson is not None
    if tps.class_ == "depends_on_pressure" and safe:
        return "the safe rate, and retry less"
    measured = ["the sustained rate"]
    measured += ["the burst from rest"] * (tps.burst_from_rest is not None) + ["the safe rate"] * safe
    return " and ".join([", ".join(measured[:-1]), measured[-1]] if len(measured) > 1 else measured)


def class_phrase(tps: Tps) -> str:
    """That no exact limiter explains the record, and what it is nearest to; or that the record is too short for that."""
    if tps.too_few:
        return "too few calls were throttled to tell the limiter"
    kind = f": {CLASSES[tps.class_]}" if tps.class_ is not None else ""
    contrary = (
        f", {contrary_share(tps.contrary_share)} of the decisions contrary" if tps.contrary_share and kind else ""
    )
    return f"no single exact limiter explains it{kind}{contrary}"


_FEW_OPEN = 10  # so few chats at once are no news of an instance, if many more were started one after another


def _chats_part(chats: ActiveChats, started: int = 0) -> str | None:
    if chats.verdict == "explained" and chats.low is not None and chats.high is not None:
        if chats.low < chats.high:
            return f"holds {counted(spread(chats.low, chats.high), 'chat')} at once{_of_others(chats)}"
        return f"holds {counted(known(chats), 'chat')} at once{_of_others(chats)}"
    if not chats.low or chats.verdict == "explained":
        return None
    least = f"holds at least {counted(number(chats.low), 'chat')} at once{_of_others(chats)}"
    if chats.verdict == "not_explained":
        return f"{least}; no fixed limit on this run's chats explains where it refused more"
    return None if chats.low < _FEW_OPEN and 2 * chats.low < started else least


def _of_others(chats: ActiveChats) -> str:
    """Who held what was not this run's: the number is the whole instance's."""
    others = chats.others
    if others is None or not others.high or others.low is None:
        return ""
    held = number(others.high) if others.low == others.high else spread(others.low, others.high)
    return f" ({held} of them were others', as CloudWatch counted)"


def first_limit_sentence(answer: Capacity) -> str:
    """Which limit stopped the run first, and when each began."""
    seen, names = answer.first_seen, {TPS: "TPS limit", QUOTA: "active-chat limit"}
    times = sorted((entry.after_s, names[name]) for name, entry in seen.items() if name in names)
    if not times:
        return _others_sentence(answer)
    what = "chat starts" if others_throttled(answer) else "it"
    first = f"The {times[0][1]} stopped {what} first, {seconds(times[0][0])} into the run"
    if len(times) == 1:
        other = next(name for name in names.values() if name != times[0][1])
        return f"{first}; the {other} was not met."
    return f"{first}; the {times[1][1]} followed at {seconds(times[1][0])}."


def _others_sentence(answer: Capacity) -> str:
    """Of a run in which no chat start was refused by a limit: whether another operation's call was."""
    if throttled := others_throttled(answer):
        return f"No chat start was refused by a limit; calls of {', '.join(throttled)} were."
    return "Neither limit refused a call in this run."


def crossover_sentence(answer: Capacity) -> str | None:
    """At which chat length the other limit takes over; None unless a rate and the chat quota are known."""
    at, per_second = answer.crossover_s, answer.tps.rate_to_use
    if at is None or per_second is None:
        return None
    rate, quota = known(per_second), known(answer.active_chats)
    if not answer.tps.exact:
        rate = with_bounds(per_second).split(" (")[0]  # the digits that it has everywhere else
    return (
        f"With chats of {known(at)} s on average, {counted(rate, 'start')} a second keep "
        f"{counted(quota, 'chat')} open. Longer chats meet the active-chat limit first, at {quota} / length starts a "
        f"second; shorter chats meet the TPS limit first, at {counted(rate, 'start')} a second."
    )


def certainty(answer: Capacity) -> list[str]:
    """How sure we are of each limit, one sentence each."""
    return [_tps_certainty(answer.tps), _chats_certainty(answer.active_chats)]


def _tps_certainty(tps: Tps) -> str:
    if tps.exact:
        return (
            f"TPS: {_LIMITERS[tps.limiter]} explains every decision; the rate {lies(tps.rate, '/s')}; "
            f"the burst {lies(tps.burst)} ({LEVEL})."
        )
    if tps.verdict == "lower_bound":
        return f"TPS: {_why(tps, 'the limit was not reached')}"
    if tps.sustained is None:
        return f"TPS: {_why(tps, 'no single limiter explains the refusals')} No rate is given."
    if tps.verdict == "explained":  # a limiter fits, and something else of the record speaks against it
        return f"TPS: {' '.join(tps.findings) or 'the exact limiter is not proved.'} {_ANY}"
    if tps.contrary is not None and not tps.too_few and tps.evidence.get("contradictions"):  # counted otherwise there
        return f"TPS: No single limiter explains the throttles: {contrary_note(tps.contrary)}. {_ANY}"
    return f"TPS: {_why(tps, 'no single limiter explains the refusals')} {_ANY}"


def contrary_note(found: Contrary) -> str:
    """How many decisions go against the nearest token bucket."""
    bounds = "" if found.low is None or found.high is None else f" ({found.low * 100:.2g} to {found.high * 100:.2g})"
    decisions = counted(found.decisions or 0, "decision")
    return f"{contrary_share(found.share)}{bounds} of {decisions} go against the nearest token bucket"


def _chats_certainty(chats: ActiveChats) -> str:
    if chats.verdict == "explained":
        limit = f"lies between {between(chats)} ({LEVEL})"
        if chats.low == chats.high and chats.estimate is not None:
            limit = f"is exactly {number(chats.estimate)}"
        return f"Active chats: every start and refusal fits one limit, which {limit}, {_whose(chats)}"
    if chats.verdict == "lower_bound" and not chats.low:
        return "Active chats: the limit was not reached."
    if chats.verdict == "lower_bound":
        return (
            f"Active chats: the limit was not reached, so {at_least(chats)} is only what is known to be admitted (a chat "
            "whose stop was on its way is not counted)."
        )
    return f"Active chats: {_why(chats, 'no fixed limit on the chats of this run explains the refusals')}"


def _whose(chats: ActiveChats) -> str:
    others = chats.others
    if others is not None and others.high is not None:
        source = f" ({others.source})" if others.source else ""
        return f"this run's own and {number(others.low or 0)} to {number(others.high)} of others{source}."
    return (
        "counted in this run's own chats. If others held chats at the time, the instance's quota is higher by theirs."
    )


def _why(limit: Tps | ActiveChats, otherwise: str) -> str:
    """The inference's own reason, as a sentence."""
    return str(limit.evidence.get("sentence") or f"{otherwise}.")


def validity(answer: Capacity) -> tuple[str, str]:
    """Whether the run can be relied on: a title of two words, and why in one sentence."""
    generator = answer.generator
    if generator.valid:
        refused = ", so the refusals are the service's" if answer.first_seen else ""
        return "Valid run", f"the generator kept to its schedule{refused}."
    reasons = "; ".join(generator.reasons)
    if GOING_ON in generator.reasons:
        return "Invalid run", f"{reasons}. This is what it has recorded so far."
    if nothing_served(answer):
        return "Invalid run", f"{reasons}. It measured nothing of the limits."
    return "Invalid run", f"{reasons}. The generator, not the service, may have set these numbers."


def nothing_served(answer: Capacity) -> bool:
    """Whether chat starts were sent of which none was started, nor refused by a limit, which only a working service does."""
    return bool(sum(answer.outcomes.values())) and not answer.outcomes.get(STARTED) and not answer.first_seen


def offered_sentence(answer: Capacity) -> str:
    """What was offered: chat starts that came due or that a probe decided on, and which of them were not sent."""
    generator = answer.generator
    if by_probe(answer):
        return f"{counted(generator.offered, 'chat start')}, each decided by the probe"
    parts = [
        f"{count:,} {words}"
        for count, words in (
            (generator.dropped, "were dropped, as too many calls were in flight"),
            (generator.dropped_late, "were dropped, as they were too late"),
            (generator.withheld, "were withheld by the budget of chats"),
        )
        if count
    ]
    tail = f", of which {' and '.join(parts)}" if parts else ""
    return f"{counted(generator.offered, 'chat start')}{tail}"


def causes_of_429(answer: Capacity) -> list[str]:
    """What each kind of 429 of neither limit probably is, what to do about it, and how this run counted bare ones."""
    counts: Counter[str] = Counter()
    for row in answer.answers:
        if row.outcome == OTHER_429:
            counts[cause_of_429(row.error_code, row.message or "")] += row.count or 0
    told = [f"{count:,} unclassified 429: {cause}" for cause, count in counts.most_common(3)]
    if answer.run.options.get("treat_bare_429_as") == TPS:
        told.append(
            "429s without an error code were counted as TPS throttles, as --treat-bare-429-as tps_throttled asked"
        )
    return [f"{text}." for text in told]


def by_probe(answer: Capacity) -> bool:
    """Whether a probe decided on each call, so that there was no schedule."""
    return answer.run.user_class == PROBE


def verdict(limit: Tps | ActiveChats) -> str:
    """A verdict's name for a reader."""
    return {"explained": "explained", "not_explained": "not explained", "lower_bound": "lower bound only"}[
        limit.verdict
    ]


def tps_rate(tps: Tps) -> str:
    """The rate for a table: the exact one, the sustained one, or what is known of it."""
    if tps.exact:
        return interval(tps.rate, "/s")
    if tps.sustained is not None:
        return f"sustains {with_bounds(tps.sustained)}/s"
    return "not met" if tps.verdict == "lower_bound" else "not explained"
