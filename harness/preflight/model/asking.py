"""Asks AWS one question at a time, in bounded time, and says plainly why a question got no answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from harness.preflight.model.rows import NoAnswer, NotKnown
from harness.recording.redact import redact_field, redact_line

if TYPE_CHECKING:
    import boto3
    from types_boto3_cloudwatch import CloudWatchClient
    from types_boto3_connect import ConnectClient
    from types_boto3_iam import IAMClient
    from types_boto3_service_quotas import ServiceQuotasClient
    from types_boto3_sts import STSClient

T = TypeVar("T")

_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_THROTTLED = frozenset({"Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded"})
_BOUNDED = Config(connect_timeout=4, read_timeout=8, retries={"total_max_attempts": 2, "mode": "standard"})
_LONGEST_TEXT = 300


@dataclass(frozen=True)
class Account:
    """Whom to ask: a session with the run's credentials, its Region, and the endpoint of Amazon Connect."""

    session: boto3.Session
    region: str
    endpoint: str
    instance_id: str
    contact_flow_id: str

    @cached_property
    def connect(self) -> ConnectClient:
        """A client of the run's own Connect endpoint."""
        return self.session.client("connect", region_name=self.region, endpoint_url=self.endpoint, config=_BOUNDED)

    @cached_property
    def sts(self) -> STSClient:
        """A client of STS in the run's Region."""
        return self.session.client("sts", region_name=self.region, config=_BOUNDED)

    @cached_property
    def iam(self) -> IAMClient:
        """A client of IAM."""
        return self.session.client("iam", region_name=self.region, config=_BOUNDED)

    @cached_property
    def quotas(self) -> ServiceQuotasClient:
        """A client of Service Quotas in the run's Region."""
        return self.session.client("service-quotas", region_name=self.region, config=_BOUNDED)

    @cached_property
    def cloudwatch(self) -> CloudWatchClient:
        """A client of CloudWatch in the run's Region."""
        return self.session.client("cloudwatch", region_name=self.region, config=_BOUNDED)


def ask(permission: str, question: Callable[[], T]) -> T:
    """Return the answer to `question`, a call that needs the IAM action `permission`.

    Raises NotKnown when the permission is missing or AWS throttles, NoAnswer when nothing answers; any other refusal by the
    service stays a ClientError, since it is an answer.
    """
    try:
        return question()
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _DENIED:
            raise NotKnown(f"the credentials may not call {permission}", permission) from error
        if code in _THROTTLED:
            raise NotKnown(f"{permission} is throttled ({code}); run the check again in a minute") from error
        if (cause := _foreign_429(error, code)) is not None:
            raise NotKnown(f"{permission} is answered with {cause}") from error
        raise
    except BotoCoreError as error:
        raise NoAnswer(f"{permission} got no answer: {one_line(error)}") from error
    except Exception as error:  # an answer may be of any form, and botocore's parser raises as many kinds of error
        raise NotKnown(
            f"{permission} got an answer that cannot be read ({type(error).__name__})", permission
        ) from error


def _foreign_429(error: ClientError, code: str) -> str | None:
    """Return what a 429 probably is that is none of the service's own; None for any other answer."""
    if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") != 429:
        return None
    if code in ("", "429"):
        return (
            "a 429 without a code, as API Gateway's own throttle or a proxy in front of the service gives: such answers "
            "count as unclassified_429 in a run; --treat-bare-429-as tps_throttled counts them as throttles"
        )
    if code == "LimitExceededException" and error.response.get("Error", {}).get("Message") == "Limit Exceeded":
        return (
            "the 429 of an API Gateway usage plan (Limit Exceeded), which a gateway of your own in front of the service "
            "gives: raise the plan's quota; a run counts it as unclassified_429, not as the active-chat limit"
        )
    return None


def code_of(error: ClientError) -> str:
    """Return the error code of a refusal."""
    return redact_field(str(error.response.get("Error", {}).get("Code", ""))) or "refused"


def one_line(error: object) -> str:
    """Return an error's text in one bounded line, without what may be a secret: it may hold pieces of an answer."""
    return redact_line(error)[:_LONGEST_TEXT]
