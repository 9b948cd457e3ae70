"""Which target a run calls: never guessed, and never another machine without the guard of live targets."""

import difflib
import re

from harness.connect.target import Target, is_loopback, resolve_target
from harness.errors import UsageError

REAL = ("region", "instance_id", "contact_flow_id", "participant_host", "approval")
"""Options that name or concern a target of the user's own; the embedded emulator has no use for them."""

_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-\d+")
_PARTITIONS = ("aws", "aws-us-gov", "aws-cn")


def refuse_guess(given: list[str]) -> None:
    """Raise UsageError when options that name a real target were `given` to a run that has neither a host nor --live."""
    if given:
        raise UsageError(
            f"{' and '.join(given)} without --host or --live: the run would call the embedded emulator instead; add --live "
            "(with --approval and --max-chats) for AWS, add --host URL for a server of your own, or leave "
            f"{'it' if len(given) == 1 else 'them'} out"
        )


def check_host(host: str) -> None:
    """Raise UsageError unless `host` is empty or the URL of an endpoint."""
    try:
        if host:
            is_loopback(host)
    except ValueError as error:
        raise UsageError(f"--host {error}") from error


def check_region(value: str) -> str:
    """Accept "" or a name that has the form of a Region. Raises ValueError."""
    if value and not _REGION.fullmatch(value):
        raise ValueError(f"{value[:60]!r} is not a Region; {_like(value)}")
    return value


def resolve(
    host: str, participant_host: str, region: str, instance_id: str, contact_flow_id: str, *, live: bool
) -> Target:
    """Return the target to call.

    Raises UsageError for a Region that has no Amazon Connect, for a live target whose ids are missing, and for a lab run
    whose participant service is not this machine.
    """
    if region and not host and region not in _regions():
        import botocore

        raise UsageError(
            f"--region {region!r}: botocore {botocore.__version__} knows no Amazon Connect there; {_like(region)}. For a "
            "newer Region give its endpoint with --host"
        )
    target = resolve_target(host or None, participant_host, region, instance_id, contact_flow_id, live=live)
    try:
        participant_is_here = is_loopback(target.participant_endpoint)
    except ValueError as error:
        raise UsageError(f"--participant-host {error}") from error
    if not target.live and not participant_is_here:
        source = "--participant-host" if participant_host else "AWS_ENDPOINT_URL_CONNECTPARTICIPANT"
        raise UsageError(
            f"{source} {target.participant_endpoint} is not this machine: customers' tokens would go there; give --live if "
            "you mean it"
        )
    return target


def target_line(target: Target, account: str | None = None) -> str:
    """Return the line that says of what a run's answers are."""
    if not target.live:
        return f"LAB emulator {target.endpoint}"
    return f"LIVE account {account or 'unknown'}, Region {target.region}, instance {target.instance_id}"


def _regions() -> list[str]:
    import boto3

    session = boto3.Session()
    return [name for part in _PARTITIONS for name in session.get_available_regions("connect", partition_name=part)]


def _like(region: str) -> str:
    near = difflib.get_close_matches(region.lower(), _regions(), 1)
    return f"did you mean {near[0]}?" if near else "write one like us-east-1 or eu-central-1"
