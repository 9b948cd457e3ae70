"""Whether the budget reaches the limits that are to be found, what it may cost, how long it takes, and AWS's policy."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from harness.counting import counted
from harness.preflight.model.hours import allowed, local_time, until_last_hour
from harness.preflight.model.intent import Intent
from harness.preflight.model.rows import Row


def check_budget(intent: Intent, active_chats: float | None, others_open: float | None) -> Iterator[Row]:
    """Yield the rows on chats, cost and time. `active_chats` is the quota, `others_open` what others hold, if known."""
    if intent.max_chats is None:
        yield Row(check="budget", state="stop", text="give --max-chats: a live run needs a bound")
        return
    yield _reaches(intent, active_chats, others_open)
    cost = intent.worst_cost or 0.0
    text = (
        f"at most about {cost:,.2f} USD = {counted(intent.max_chats, 'chat')} x "
        f"{counted(intent.messages_per_chat, 'message')} x {intent.price_per_message:g} USD; what the flow uses "
        "(Lex, Lambda, agents, Contact Lens) comes on top"
    )
    yield Row(check="cost", state="note" if cost else "ok", text=text)
    drain = intent.drain_seconds or 0.0
    stopping = f"stopping {counted(intent.max_chats, 'chat')} at {intent.stop_rate:g}/s takes up to {_minutes(drain)}"
    if intent.seconds is None:
        yield Row(check="time", state="note", text=f"the load ends when you end it; {stopping}")
    else:
        text = f"{_minutes(intent.seconds)} of load; {stopping}: {_minutes(intent.seconds + drain)} in all"
        yield Row(check="time", state="ok", text=text)


def _reaches(intent: Intent, quota: float | None, others: float | None) -> Row:
    budget = intent.max_chats or 0
    if quota is None:
        text = f"--max-chats {budget:,}; whether it reaches the active-chat quota is not known, since the quota is not"
        return Row(check="budget", state="not_known", text=text)
    needed = int(max(0.0, quota - (others or 0.0))) + 1
    held = f", of which others hold {others:g}" if others else ""
    if budget < needed:
        text = (
            f"--max-chats {budget:,} does not reach the quota of {quota:g} active chats{held}: to meet it takes {needed:,} "
            "chats open at once; the active-chat limit would stay a lower bound"
        )
        return Row(check="budget", state="note", text=text)
    meets = counted(needed, "chat meets", "chats meet")
    text = f"--max-chats {budget:,} reaches the quota of {quota:g} active chats{held} ({meets} it)"
    return Row(check="budget", state="ok", text=text)


def check_policy(intent: Intent, region: str, at: datetime | None = None) -> Iterator[Row]:
    """Yield the rows on AWS's load-test policy: approval, emergency contact, hours."""
    if not intent.live:
        yield Row(check="policy", state="ok", text="the lab needs no approval and has no hours")
        return
    if intent.approval:
        yield Row(check="approval", state="ok", text=f"reference {intent.approval!r}")
    else:
        text = "AWS must approve a load test two weeks ahead: `check --plan FILE.md` writes the plan; give --approval"
        yield Row(check="approval", state="stop", text=text)
    if not intent.emergency_contact:
        text = (
            "AWS asks for somebody who can be reached while the test runs: name them in the plan (--emergency-contact)"
        )
        yield Row(check="emergency contact", state="note", text=text)
    yield _hours(intent, region, at)


def _hours(intent: Intent, region: str, at: datetime | None) -> Row:
    local = local_time(region, at)
    if local is None:
        text = f"the local time of Region {region!r} is not known here; check by hand that it is between 6 PM and 6 AM there"
        return Row(check="hours", state="not_known", text=text)
    said = f"it is {local:%H:%M} in {region}"
    if intent.any_hour:
        return Row(check="hours", state="note", text=f"{said}; --any-hour: as the approval says")
    if not allowed(local):
        return Row(
            check="hours",
            state="stop",
            text=f"{said}: load tests are allowed from 6 PM to 6 AM there; wait, or give --any-hour if the approval says so",
        )
    left, needed = until_last_hour(local), intent.expected_seconds
    if needed is not None and needed > left:
        text = f"{said}: {_minutes(left)} until 6 AM, and the run takes {_minutes(needed)}; start earlier or make it shorter"
        return Row(check="hours", state="stop", text=text)
    return Row(check="hours", state="ok", text=f"{said}: {_minutes(left)} until 6 AM")


def _minutes(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )
