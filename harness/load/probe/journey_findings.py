"""What the probe of the journey says: sentences for a person, and what run.json has of it."""

from __future__ import annotations

from collections.abc import Mapping

from harness.counting import counted
from harness.load.options.options import Settings
from harness.load.probe.journey_plan import Found, Together
from harness.quotas.estimates import Interval, TpsEstimate
from harness.quotas.tps.journey import binding_order
from harness.recording.format.journey_probe import BindsFirst, Bounds, JourneyProbe, OperationLimit, SharedBucket
from harness.vocabulary import CREATE_CONNECTION, DISCONNECT, GET_TRANSCRIPT, SEND_EVENT, SEND_MESSAGE


def calls_per_chat(settings: Settings) -> dict[str, float]:
    """Return the calls that one chat of the workload makes, as far as options and scripts tell; throttled ones come
    on top.
    """
    scripts = settings.workload.conversations
    if not scripts:
        steps = settings.conversation.split(",")
        messages = float(settings.messages if "messages" in steps else 0)
        events = messages if "typing" in steps else 0.0
        transcript, leaves, connections = float("transcript" in steps), float("disconnect" in steps), 1.0
    else:
        whole = sum(script.weight for script in scripts)
        shares = [(script, script.weight / whole) for script in scripts]
        messages = sum(share * sum(bool(turn.words) for turn in script.turns) for script, share in shares)
        events = sum(share * sum(turn.typing for turn in script.turns) for script, share in shares)
        transcript = sum(share * script.transcript for script, share in shares)
        leaves = sum(share * (script.leave == "disconnect") for script, share in shares)
        connections = sum(
            share * (script.tabs + sum(turn.reconnect for turn in script.turns)) for script, share in shares
        )
    cost = {
        CREATE_CONNECTION: connections,
        SEND_MESSAGE: messages,
        SEND_EVENT: events,
        GET_TRANSCRIPT: transcript,
        DISCONNECT: leaves,
    }
    return {name: count for name, count in cost.items() if count}


def binds_first(found: Found, cost: Mapping[str, float]) -> tuple[str, float] | None:
    """Return the operation that a journey of `cost` meets first, and the chats a second that it allows; None if none
    is known.

    Where messages and events share one bucket, both draw on it.
    """
    cost = dict(cost)
    if found.messages_and_events.one_bucket == "yes":
        both = cost.get(SEND_MESSAGE, 0.0) + cost.get(SEND_EVENT, 0.0)
        cost |= {SEND_MESSAGE: both, SEND_EVENT: both}
    order = binding_order(found.estimates, cost)
    return (order[0].operation, order[0].at_least) if order else None


def sentences(found: Found, cost: Mapping[str, float]) -> list[str]:
    """Return what was found, in sentences."""
    told = [sentence(name, estimate) for name, estimate in found.estimates.items()]
    shared = {
        "yes": "SendMessage and SendEvent share one bucket",
        "no": "SendMessage and SendEvent have a bucket each",
        "unclear": "whether SendMessage and SendEvent share one bucket is unclear",
    }
    if (verdict := found.messages_and_events.one_bucket) in shared:
        told.append(f"{shared[verdict]} ({_counted(found.messages_and_events)}).")
    for name, together in found.second_chat_brings_more.items():
        says = {
            "yes": f"a second chat brings no more of {name}: the limit is the instance's, or the account's",
            "no": f"a second chat brings more of {name}: each chat has a bucket of its own",
        }
        told.append(
            f"{says.get(together.one_bucket, f'what a second chat brings of {name} is unclear')} ({_counted(together)})."
        )
    if found.disconnects_by_chats:
        told.append(f"calls of {DISCONNECT} for a chat that has ended are not counted, so chats were left for it.")
    if first := binds_first(found, cost):
        each = ", ".join(f"{count:.3g} {name}" for name, count in cost.items())
        most = counted(f"{first[1]:.3g}", "chat")
        told.append(f"for the workload's journey ({each}) {first[0]} binds first, at {most} a second.")
    return told


def sentence(operation: str, estimate: TpsEstimate) -> str:
    """Return what was found of one operation."""
    rate, burst = estimate.rate, estimate.burst
    if estimate.verdict == "lower_bound":
        return f"{operation}: no call was throttled, so its limit is not known."
    if estimate.verdict != "explained" or rate.estimate is None:
        return f"{operation}: no limiter explains its throttles."
    between = "" if rate.low is None or rate.high is None else f" ({rate.low:.4g} to {rate.high:.4g})"
    at_once = "" if burst.estimate is None else f", and {burst.estimate:.4g} at once after a pause"
    return f"{operation}: {counted(f'{rate.estimate:.4g}', 'call')} a second{between}{at_once}."


def table_of(found: Found, cost: Mapping[str, float]) -> JourneyProbe:
    """Return what run.json says of the probe."""
    first = binds_first(found, cost)
    return JourneyProbe(
        operations={name: _limit(name, estimate) for name, estimate in found.estimates.items()},
        messages_and_events_share=_together(found.messages_and_events),
        chats_share={name: _together(one) for name, one in found.second_chat_brings_more.items()},
        calls_per_chat=dict(cost),
        binds_first=None if first is None else BindsFirst(*first),
    )


def _limit(name: str, estimate: TpsEstimate) -> OperationLimit:
    return OperationLimit(
        _bounds(estimate.rate), _bounds(estimate.burst), estimate.limiter, estimate.verdict, sentence(name, estimate)
    )


def _bounds(interval: Interval) -> Bounds:
    return Bounds(**interval.to_json())


def _together(one: Together) -> SharedBucket:
    return SharedBucket(one.one_bucket, one.calls, one.admitted)


def _counted(one: Together) -> str:
    return (
        f"of {counted(one.calls, 'call')} after the other had drained, {counted(one.admitted, 'was', 'were')} admitted"
    )
