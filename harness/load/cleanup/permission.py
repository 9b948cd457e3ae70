"""Which endpoint may be called with the user's credentials, and the question before it is."""

import re
import sys

from harness.connect.target import Target, is_loopback, resolve_target
from harness.connect.wire import Endpoint
from harness.counting import counted
from harness.errors import UsageError
from harness.load.cleanup.arguments import CleanupOptions
from harness.load.cleanup.claims import Claims
from harness.load.options.target_choice import check_region

_AWS_HOST = re.compile(
    r"(?:[a-z0-9-]{1,63}\.)?connect(?:-fips)?\.(?P<region>[a-z]{2,}(?:-[a-z]+)+-\d+)\."
    r"(?:vpce\.)?(?:amazonaws\.com|amazonaws\.com\.cn|api\.aws|api\.amazonwebservices\.com\.cn)"
)
"""The names of Amazon Connect's own endpoints (https://docs.aws.amazon.com/general/latest/gr/connect_region.html), with
those of FIPS and of a VPC."""


def resolve(options: CleanupOptions, claims: Claims) -> Target:
    """Return the target to call: what the command line says, else what the run says, else the usual AWS configuration.

    Raises UsageError where the run names an endpoint that is neither Amazon Connect's nor this machine (unless `--host`
    names exactly that), or a Region that is not the endpoint's.
    """
    endpoint = options.host or claims.endpoint
    region = options.region or claims.region
    try:
        check_region(region)
    except ValueError as error:
        raise UsageError(f"{'--region' if options.region else 'the run'}: {error}") from error
    if endpoint and not options.host:
        _check_endpoint(endpoint, region)
    target = resolve_target(
        endpoint or None,
        "",
        region,
        options.instance_id or claims.instance_id,
        claims.contact_flow_id or "unused",  # nothing is started here
        live=claims.live,
    )
    aws = _AWS_HOST.fullmatch(Endpoint.parse(target.endpoint).host.lower())
    if aws is not None and aws["region"] != target.region:
        raise UsageError(
            f"{target.endpoint} is not an endpoint of the Region {target.region}: they do not belong together; give --host "
            "and --region of one Region, or one of them"
        )
    if not claims.endpoint and not options.host and not options.region and target.live:
        raise UsageError("the run does not say where its chats are; give --host, or --region and --instance-id")
    return target


def _check_endpoint(url: str, region: str) -> None:
    shown = url[:200]
    try:
        endpoint = Endpoint.parse(url)
    except ValueError as error:
        raise UsageError(f"the run's endpoint: {str(error)[:300]}") from error
    if is_loopback(url):
        return
    aws = _AWS_HOST.fullmatch(endpoint.host.lower())
    if aws is None or not endpoint.tls or endpoint.port != 443:
        raise UsageError(
            f"the run names the endpoint {shown!r}, which is neither Amazon Connect's nor this machine: your credentials "
            f"are not sent there; give --host {shown} if it is yours"
        )
    if region and region != aws["region"]:
        raise UsageError(
            f"the run names the endpoint {shown!r} and the Region {region!r}: they do not belong together; give --host and "
            "--region"
        )


def ask(options: CleanupOptions, claims: Claims, target: Target, chats: int, searches: bool) -> None:
    """Say what is about to be called, and ask where that is a live target or the run is not this machine's own.

    Raises UsageError where the answer is no, or nobody is there to give one.
    """
    what = [f"stop {counted(chats, 'chat')}"] if chats else []
    what += ["look for chats of the run that no ledger knows, and stop those"] if searches else []
    print(f"about to {' and '.join(what)} at {target.endpoint}, Region {target.region}, instance {target.instance_id}")
    if not claims.own:
        print("this run was not made by you on this machine: look at the endpoint and the instance before you go on")
    elif not target.live:
        return
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("nothing was called; add --yes to stop these chats")
    if input("stop them? [y/N] ").strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was called")
