"""The quotas as AWS declares them, requests for more that are pending, and what the planned load asks of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from botocore.exceptions import ClientError

from harness.preflight.looks.who import principal_of
from harness.preflight.model.asking import Account, ask, code_of
from harness.preflight.model.codes import (
    ACTIVE_CHATS,
    CHAT_QUOTAS,
    SERVICE,
    START_RATE,
    STOP_RATE,
    WITHOUT_CODE,
    QuotaCode,
)
from harness.preflight.model.intent import Intent
from harness.preflight.model.rows import NoAnswer, NotKnown, Row


@dataclass(frozen=True)
class Applied:
    """A quota's value: `applied` by AWS to the account or instance, or else the default."""

    value: float
    source: str


def applied_quota(account: Account, quota: QuotaCode) -> Applied:
    """Return what Service Quotas says of `quota`; AWS's documented default where the account has no value of its own.

    Raises NotKnown.
    """
    client = account.quotas
    try:
        if quota.of_instance:
            number, arn = principal_of(account)
            context = f"arn:{arn.split(':')[1]}:connect:{account.region}:{number}:instance/{account.instance_id}"
            answer = ask(
                "servicequotas:GetServiceQuota",
                lambda: client.get_service_quota(ServiceCode=SERVICE, QuotaCode=quota.code, ContextId=context),
            )
        else:
            answer = ask(
                "servicequotas:GetServiceQuota",
                lambda: client.get_service_quota(ServiceCode=SERVICE, QuotaCode=quota.code),
            )
        value = answer["Quota"].get("Value")
        if value is not None:
            return Applied(float(value), "applied")
    except ClientError as error:
        if code_of(error) != "NoSuchResourceException":
            raise NotKnown(f"Service Quotas answered {code_of(error)} for {quota.code}") from error
    return _default(account, quota)


def _default(account: Account, quota: QuotaCode) -> Applied:
    client = account.quotas
    try:
        answer = ask(
            "servicequotas:GetAWSDefaultServiceQuota",
            lambda: client.get_aws_default_service_quota(ServiceCode=SERVICE, QuotaCode=quota.code),
        )
        value = answer["Quota"].get("Value")
        if value is not None:
            return Applied(float(value), "AWS's default")
    except (ClientError, NotKnown):
        pass
    return Applied(quota.default, "the default in AWS's documentation; applied values of new accounts may be lower")


def check_quotas(account: Account, intent: Intent) -> Iterator[Row]:
    """Yield a row for each quota, one for pending requests, and one for what has no quota code."""
    silent: NoAnswer | None = None
    for quota in CHAT_QUOTAS:
        check = f"quota {quota.code}"
        try:
            found = applied_quota(account, quota) if silent is None else None
        except NotKnown as unknown:
            silent = unknown if isinstance(unknown, NoAnswer) else None
            yield unknown.row(check)
            continue
        if found is None:
            assert silent is not None
            yield silent.row(check)
            continue
        asks = _asks(quota, found.value, intent)
        text = f"{quota.name}: {found.value:g} ({found.source})" + (f"; {asks}" if asks else "")
        yield Row(check=check, state="note" if asks else "ok", text=text)
    yield _pending(account) if silent is None else silent.row("quota requests")
    text = f"{WITHOUT_CODE} have no quota code: a support case raises them, and measuring tells them"
    yield Row(check="quotas without a code", state="not_known", text=text)


def _asks(quota: QuotaCode, value: float, intent: Intent) -> str:
    if quota is START_RATE and intent.rate > value:
        return f"the run offers up to {intent.rate:g}/s, so starts will be throttled, also those of your customers"
    if quota is STOP_RATE and intent.stop_rate > value:
        return f"--stop-rate {intent.stop_rate:g} is above it; give a lower one"
    if quota is ACTIVE_CHATS and intent.max_chats and intent.max_chats > value:
        return f"--max-chats {intent.max_chats:,} may fill it, so chats of your customers may be refused"
    return ""


def _pending(account: Account) -> Row:
    client = account.quotas
    check = "quota requests"
    open_requests: list[str] = []
    statuses: tuple[Literal["PENDING", "CASE_OPENED"], ...] = ("PENDING", "CASE_OPENED")
    listed = partial(
        client.list_requested_service_quota_change_history, ServiceCode=SERVICE, QuotaRequestedAtLevel="ALL"
    )
    for status in statuses:
        try:
            answer = ask("servicequotas:ListRequestedServiceQuotaChangeHistory", partial(listed, Status=status))
        except NotKnown as unknown:
            return unknown.row(check)
        except ClientError as error:
            return Row(check=check, state="not_known", text=f"Service Quotas answered {code_of(error)}")
        open_requests += [
            f"{request.get('QuotaName', request.get('QuotaCode'))} to {request.get('DesiredValue', 0):g}"
            for request in answer.get("RequestedQuotas", [])
        ]
    if not open_requests:
        return Row(check=check, state="ok", text="none is pending")
    return Row(
        check=check, state="note", text=f"pending: {', '.join(open_requests)}; limits may change while you measure"
    )
