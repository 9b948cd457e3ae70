"""The guard of live targets: what AWS asks of a load test, and what a run is about to do and may cost.

AWS allows load tests of Amazon Connect from 6 PM to 6 AM in the Region's local time, after approval
(https://docs.aws.amazon.com/connect/latest/adminguide/load-and-penetration-testing.html).
"""

from collections.abc import Callable
from datetime import datetime
from typing import cast

import gevent

from harness.connect.signing import CredentialsError
from harness.connect.target import Target
from harness.counting import counted
from harness.errors import UsageError
from harness.load.options.load_profile import parse_curve
from harness.load.options.options import Settings
from harness.preflight.model.hours import allowed, local_time, until_last_hour
from harness.quotas.cost import Goal, effort

COUNTDOWN = 5
"""Seconds between the announcement of a live run and its first call."""
PROBE_CLASS = "QuotaProbe"

_LONGEST_LOOK = 10.0  # seconds
_LOOKS = 2000  # at a day's curve


def check_hours(settings: Settings, target: Target, at: datetime | None = None) -> None:
    """Raise UsageError when a live run would begin outside the hours that AWS allows (`at`: now, by default)."""
    if not target.live or settings.any_hour:
        return
    local = _local_time(target.region, at)
    if not allowed(local):
        raise UsageError(
            f"it is {local:%H:%M} in {target.region} ({local.tzinfo}): AWS allows load tests from 6 PM to 6 AM of "
            "the Region's local time; wait, or give --any-hour if the approval says otherwise"
        )


def seconds_left(settings: Settings, target: Target, at: datetime | None = None) -> float | None:
    """Return the seconds until 6 AM in the Region, when a live run must have ended; None when it need not."""
    if not target.live or settings.any_hour:
        return None
    return until_last_hour(_local_time(target.region, at))


def _local_time(region: str, at: datetime | None) -> datetime:
    local = local_time(region, at)
    if local is None:
        raise UsageError(
            f"the local time of Region {region!r} is not known here: check by hand that it is between 6 PM and 6 AM there, "
            "and give --any-hour"
        )
    return local


def account_of(target: Target) -> str:
    """Return the AWS account of the credentials, as sts:GetCallerIdentity tells it; "unknown (why)" when it does not."""
    from botocore.exceptions import BotoCoreError, ClientError  # of a live run alone

    try:
        with gevent.Timeout(_LONGEST_LOOK):
            return str(target.boto("sts").get_caller_identity()["Account"])
    except gevent.Timeout:
        return "unknown (no answer)"
    except ClientError as error:
        return f"unknown ({error.response.get('Error', {}).get('Code', 'refused')})"
    except (BotoCoreError, CredentialsError, OSError, ValueError) as error:
        return f"unknown ({type(error).__name__})"


def worst_cost(settings: Settings) -> tuple[float, str]:
    """Return what a run may cost at most in USD, and how that was computed."""
    chats = settings.max_chats or 0
    each, price = settings.messages_per_chat, settings.price_per_message
    return chats * each * price, f"{counted(chats, 'chat')} x {counted(each, 'message')} x {price:g} USD a message"


def announcement(settings: Settings, target: Target, users: int, account: str, user_class: str) -> list[str]:
    """Return the lines that tell, before the first call, what a live run is about to do."""
    cost, how = worst_cost(settings)
    participant = f", participant service {target.participant_endpoint}" if settings.participant_host else ""
    return [
        "chatquota: a LIVE run is about to start real chats",
        f"  account   {account}",
        f"  Region    {target.region} ({target.endpoint}{participant})",
        f"  instance  {target.instance_id}",
        f"  flow      {target.contact_flow_id}",
        f"  approval  {settings.approval}",
        f"  offered   {_offered(settings, users, user_class)}; at most {counted(settings.max_chats or 0, 'chat')} in all",
        f"  cost      at most about {cost:,.2f} USD = {how}; what the flow itself uses (Lex, Lambda, agents) comes on top",
    ]


def _offered(settings: Settings, users: int, user_class: str) -> str:
    """Return what will be sent, at most: a probe chooses its own rates, a day's file has its own, users are a rate
    otherwise.
    """
    if user_class == PROBE_CLASS:
        return (
            f"{user_class} sends calls in volleys of up to {counted(settings.max_probe_rate, 'call')} in any second "
            f"(--max-probe-rate) for at most {settings.probe_time / 60:g} min (--probe-time); "
            f"{effort(cast(Goal, settings.probe))}"
        )
    if settings.load_shape.startswith("day:"):
        curve = parse_curve(settings.load_shape)
        peak = max(curve.at(curve.seconds * step / _LOOKS) for step in range(_LOOKS))
        return f"up to {counted(peak, 'start')}/s, as {settings.load_shape} says"
    each = settings.starts_per_user
    return f"up to {counted(users * each, 'start')}/s ({counted(users, 'user')} x {each:g})"


def countdown(wait: Callable[[float], bool], say: Callable[[str], None], seconds: int = COUNTDOWN) -> bool:
    """Count down to the first call of a live run; return False when it was ended before.

    `wait(1.0)` waits a second, and is True as soon as the run is not wanted any more.
    """
    for left in range(seconds, 0, -1):
        say(f"chatquota: the first call leaves in {left} s; Ctrl-C ends the run before it (--yes begins at once)")
        if wait(1.0):
            return False
    return True
