"""What is called: endpoint, Region, instance, flow, and the credentials to call it with.

boto3 is the source of credentials, Regions and endpoints, so that profiles, `AWS_*` variables, assumed roles, SSO and CA
bundles mean what they mean elsewhere. It is not asked about a loopback target on a machine that tells it nothing.
"""

import functools
import os
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.connect.client import ConnectClient
from harness.connect.participant import ParticipantClient
from harness.connect.signing import Credentials, CredentialsError
from harness.connect.wire import SPREAD, Endpoint, Pool
from harness.errors import UsageError
from harness.vocabulary import UNCLASSIFIED_429

if TYPE_CHECKING:  # boto3 takes as long to load as Locust does: it is loaded once something is to be called
    import boto3
    from botocore.config import Config

LAB_REGION = "us-east-1"
# The emulator's documented defaults, so that `--host` alone reaches one that was started by hand. No secrets: a loopback
# server is called with these when the machine has no AWS credentials at all.
LAB_INSTANCE_ID = "11111111-aaaa-4aaa-8aaa-111111111111"
LAB_CONTACT_FLOW_ID = "22222222-bbbb-4bbb-8bbb-222222222222"
LAB_CREDENTIALS = Credentials("EMULATOR-ACCESS-KEY", "emulator-secret-key-of-no-account")
_READ_HERE = frozenset({"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CA_BUNDLE"})
"""Variables for which boto3 need not be asked what they mean."""
_NO_METADATA = "AWS_EC2_METADATA_DISABLED"
_TELLING = ("~/.aws/config", "~/.aws/credentials", "~/.boto", "/etc/boto.cfg")


@dataclass(frozen=True)
class Target:
    """One Amazon Connect instance. `credentials()` gives the present credentials; `live` is anything but loopback."""

    endpoint: str
    participant_endpoint: str
    region: str
    instance_id: str
    contact_flow_id: str
    credentials: Callable[[], Credentials] = field(repr=False)
    live: bool = False
    ca_bundle: str | None = None

    def client(self, user_agent: str, timeout: float, bare_429: str = UNCLASSIFIED_429) -> ConnectClient:
        """Return a new client with a pool of its own; `timeout` in seconds bounds each connect and each answer."""
        endpoint = Endpoint.parse(self.endpoint)
        return ConnectClient(self.pool(endpoint, timeout, SPREAD), self.region, self.credentials, user_agent, bare_429)

    def participant_client(
        self, user_agent: str, timeout: float, bare_429: str = UNCLASSIFIED_429
    ) -> ParticipantClient:
        """Return a new client of the Participant Service, with a pool of its own."""
        pool = self.pool(Endpoint.parse(self.participant_endpoint), timeout)
        return ParticipantClient(pool, user_agent, self.region, self.live, bare_429)

    def pool(self, endpoint: Endpoint, timeout: float, spread: int = 1) -> Pool:
        """Return a pool of connections to `endpoint` that trusts what AWS_CA_BUNDLE or the profile's ca_bundle names; calls
        are spread over `spread` of them.
        """
        context = ssl.create_default_context(cafile=self.ca_bundle) if endpoint.tls else None
        return Pool(endpoint, timeout, context, spread)

    def sdk_proxies(self, url: str | None) -> dict[str, str] | None:
        """Return the proxies of an SDK client for `url` (None: the SDK's own endpoint of a service).

        None for this machine and for all of a lab target, whatever the environment says: nothing of them may leave this
        machine. Else the SDK's own choice.
        """
        return {} if not self.live or (url is not None and is_loopback(url)) else None

    def boto(self, service: str, *, timeout: float | None = None, **options: Any) -> Any:
        """Return a boto3 client of `service` for the same credentials and Region, with the SDK's retries off.

        `timeout` in seconds bounds each connect and each read (None: the SDK's own, a minute).
        """
        import boto3
        from botocore.config import Config

        present = self.credentials()
        config = no_retries().merge(Config(proxies=self.sdk_proxies(options.get("endpoint_url"))))
        if timeout is not None:
            config = config.merge(Config(connect_timeout=timeout, read_timeout=timeout))
        create: Any = boto3.client  # its type knows service names only as literals
        return create(
            service,
            region_name=self.region,
            aws_access_key_id=present.access_key,
            aws_secret_access_key=present.secret_key,
            aws_session_token=present.token,
            config=config,
            **options,
        )


@functools.cache
def no_retries() -> "Config":
    """Return the configuration of every boto3 client here: a retry in silence would hide throttles (the default makes up to
    5 attempts of one call).
    """
    from botocore.config import Config

    return Config(retries={"total_max_attempts": 1, "mode": "standard"})


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine by its name alone: localhost, 127.0.0.0/8 or ::1. Nothing is resolved."""
    return Endpoint.parse(url).is_loopback


def resolve_target(
    host: str | None,
    participant_host: str,
    region: str,
    instance_id: str,
    contact_flow_id: str,
    profile: str = "",
    *,
    live: bool = False,
) -> Target:
    """Fill in what the options left open and return the target.

    Without `host` the endpoint is boto3's (AWS_ENDPOINT_URL_CONNECT, the profile, or the Region's own). A loopback target
    may leave out Region, instance, flow and credentials, unless it is said to be `live` (a tunnel); a live one needs them.
    Raises UsageError that says what to give.
    """
    try:
        loopback = bool(host) and is_loopback(str(host)) and not live
    except ValueError as error:
        raise UsageError(f"--host: {error}") from error
    if host and loopback and not profile and _tells_nothing():
        return _lab_target(host.rstrip("/"), participant_host.rstrip("/"), region, instance_id, contact_flow_id)
    session = _session(profile)
    chosen_region = (
        region
        or _region_in(host)
        or os.environ.get("AWS_REGION")  # the variable of the other SDKs, which boto3 does not read
        or session.region_name
        or (LAB_REGION if loopback else "")
    )
    if not chosen_region:
        raise UsageError("no Region: give --region, or set AWS_REGION")
    endpoint = host.rstrip("/") if host else _endpoint_of(session, "connect", chosen_region)
    loopback = is_loopback(endpoint) and not live
    if not loopback and not (instance_id and contact_flow_id):
        missing = "--instance-id" if not instance_id else "--contact-flow-id"
        raise UsageError(f"{missing} is missing: {endpoint} needs to know what to call")
    return Target(
        endpoint=endpoint,
        participant_endpoint=participant_host.rstrip("/")
        or _participant_endpoint(session, endpoint, chosen_region, loopback),
        region=chosen_region,
        instance_id=instance_id or LAB_INSTANCE_ID,
        contact_flow_id=contact_flow_id or LAB_CONTACT_FLOW_ID,
        credentials=_credentials(session, loopback),
        live=not loopback,
        ca_bundle=session._session.get_config_variable("ca_bundle"),  # noqa: SLF001 (boto3 has no other way to it)
    )


def _tells_nothing() -> bool:
    """Whether this machine has no configuration that boto3 would find: no profile, no credentials, no endpoint."""
    names = {name for name in os.environ if name.startswith(("AWS_", "BOTO"))} - _READ_HERE
    told = any(name != _NO_METADATA or os.environ[name].lower() != "true" for name in names)
    # In a container a user may have no home, or one that it may not look into: it tells nothing then, to boto3 neither.
    return not told and not any(os.path.isfile(os.path.expanduser(name)) for name in _TELLING)  # noqa: PTH111, PTH113


def _lab_target(
    endpoint: str, participant_endpoint: str, region: str, instance_id: str, contact_flow_id: str
) -> Target:
    """Return a loopback target on a machine that tells boto3 nothing, as boto3 would have it."""
    os.environ.setdefault(_NO_METADATA, "true")  # for whoever asks boto3 for credentials later
    variables = (os.environ.get("AWS_REGION"), os.environ.get("AWS_DEFAULT_REGION"))
    return Target(
        endpoint=endpoint,
        participant_endpoint=participant_endpoint or endpoint,
        region=next((each for each in (region, *variables) if each), LAB_REGION),
        instance_id=instance_id or LAB_INSTANCE_ID,
        contact_flow_id=contact_flow_id or LAB_CONTACT_FLOW_ID,
        credentials=lambda: LAB_CREDENTIALS,
        ca_bundle=os.environ.get("AWS_CA_BUNDLE"),
    )


def _region_in(host: str | None) -> str:
    """Return the Region that AWS's own endpoints have in their name: connect.<region>.amazonaws.com."""
    match = re.match(r"https?://(?:[\w-]+\.)?connect(?:-fips)?\.([a-z]{2}(?:-[a-z]+)+-\d+)\.", (host or "").lower())
    return match[1] if match else ""


def _session(profile: str) -> "boto3.Session":
    import boto3
    import botocore.exceptions

    try:
        return boto3.Session(profile_name=profile or None)
    except botocore.exceptions.BotoCoreError as error:
        raise UsageError(f"AWS configuration: {error}; see AWS_PROFILE and ~/.aws/config") from error


def _endpoint_of(session: "boto3.Session", service: str, region: str) -> str:
    import botocore.exceptions

    # A client resolves AWS_ENDPOINT_URL_*, profiles and the endpoint rules alike; the keys are never used.
    create: Any = session.client
    try:
        client = create(
            service, region_name=region, aws_access_key_id="unused", aws_secret_access_key="unused", config=no_retries()
        )
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        raise UsageError(f"Region {region!r}: {error}; write one like us-east-1") from error
    return str(client.meta.endpoint_url)


def _participant_endpoint(session: "boto3.Session", endpoint: str, region: str, loopback: bool) -> str:
    if loopback and not os.environ.get("AWS_ENDPOINT_URL_CONNECTPARTICIPANT"):
        return endpoint  # a local server of chats serves its participants as well
    return _endpoint_of(session, "connectparticipant", region)


def _credentials(session: "boto3.Session", loopback: bool) -> Callable[[], Credentials]:
    import botocore.exceptions

    if loopback:
        # Never ask a metadata service on the network because of a loopback target.
        os.environ.setdefault(_NO_METADATA, "true")
    try:
        found = session.get_credentials()
    except botocore.exceptions.BotoCoreError as error:
        raise UsageError(f"AWS credentials: {error}") from error
    if found is None:
        if loopback:
            return lambda: LAB_CREDENTIALS
        raise UsageError("no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")

    last: list[Any] = [None, None]

    def present() -> Credentials:
        try:
            frozen = found.get_frozen_credentials()  # refreshes when they are about to expire
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            raise CredentialsError(f"AWS credentials could not be refreshed: {error}") from error
        if frozen != last[0]:  # static ones come as a new object each time
            last[0] = frozen
            last[1] = Credentials(frozen.access_key or "", frozen.secret_key or "", frozen.token)
        return last[1]  # type: ignore[no-any-return]

    return present
