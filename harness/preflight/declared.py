"""What AWS declares about an instance: its quotas (Service Quotas) and its chat metrics (CloudWatch).

Fetched at the end of a live run into run.json, every value with its source. A call that fails costs its own entry, which
then says why, and nothing else. Codes and metrics: docs.aws.amazon.com/connect/latest/adminguide, pages
"Amazon Connect service quotas" and "Monitoring your instance using CloudWatch".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from harness.preflight.model.codes import ACTIVE_CHATS, SERVICE, START_RATE
from harness.preflight.model.minutes import METRICS, PERIOD, Minute, read_minutes
from harness.recording.redact import redact_line

if TYPE_CHECKING:
    from types_boto3_cloudwatch import CloudWatchClient
    from types_boto3_service_quotas import ServiceQuotasClient
    from types_boto3_sts import STSClient

_STOP_RATE = "Rate of StopContact API requests"  # found by name: AWS documents no code for it

Entry = dict[str, Any]


@dataclass(frozen=True)
class Clients:
    """The clients to ask, each of the run's Region. `sts` names the account, for the instance's ARN."""

    quotas: ServiceQuotasClient
    cloudwatch: CloudWatchClient
    sts: STSClient


def connect_clients(region: str) -> Clients:
    """Clients from the usual AWS credential chain."""
    import boto3  # not at import time: Locust must patch the sockets first

    session = boto3.Session(region_name=region)
    return Clients(session.client("service-quotas"), session.client("cloudwatch"), session.client("sts"))


def fetch_declared(
    clients: Clients, *, region: str, instance_id: str, started_at: float, ended_at: float
) -> dict[str, Any]:
    """Everything declared, as run.json's `declared`: `tps`, `active_chats`, `stop_contact_tps` and `cloudwatch`.

    Each entry has `source` and either `value` or `error`. Times are unix seconds. Raises nothing that AWS answers.
    """
    return {
        "tps": _quota(clients.quotas, START_RATE.code),
        "active_chats": _active_chats(clients, region, instance_id),
        "stop_contact_tps": _by_name(clients.quotas, _STOP_RATE),
        "cloudwatch": _metrics(clients.cloudwatch, instance_id, started_at, ended_at),
    }


def _active_chats(clients: Clients, region: str, instance_id: str) -> Entry:
    source = f"service-quotas {ACTIVE_CHATS.code} of the instance"
    try:
        caller = clients.sts.get_caller_identity()
    except (ClientError, BotoCoreError) as error:
        return {"source": source, "error": f"the account is unknown: {_said(error)}"}
    partition = caller["Arn"].split(":")[1]
    arn = f"arn:{partition}:connect:{region}:{caller['Account']}:instance/{instance_id}"
    return _quota(clients.quotas, ACTIVE_CHATS.code, context=arn)


def _quota(quotas: ServiceQuotasClient, code: str, context: str | None = None) -> Entry:
    """Return the applied value of a quota; where the account has none of its own, AWS's default, named as such."""
    source = f"service-quotas {code}" + (" of the instance" if context else "")
    try:
        if context:
            answer = quotas.get_service_quota(ServiceCode=SERVICE, QuotaCode=code, ContextId=context)
        else:
            answer = quotas.get_service_quota(ServiceCode=SERVICE, QuotaCode=code)
        return _value(answer.get("Quota", {}), source)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "NoSuchResourceException":
            return {"source": source, "error": _said(error)}
    except BotoCoreError as error:
        return {"source": source, "error": _said(error)}
    return _search(_defaults(quotas), "QuotaCode", code, f"{source} (AWS's default, not the applied value)")


def _by_name(quotas: ServiceQuotasClient, name: str) -> Entry:
    found = _search(_applied(quotas), "QuotaName", name, "service-quotas")
    if "value" in found:
        found["source"] = f"service-quotas {found.pop('code')}"
    return found


def _applied(quotas: ServiceQuotasClient) -> Iterator[Any]:
    for page in quotas.get_paginator("list_service_quotas").paginate(ServiceCode=SERVICE):
        yield from page["Quotas"]


def _defaults(quotas: ServiceQuotasClient) -> Iterator[Any]:
    for page in quotas.get_paginator("list_aws_default_service_quotas").paginate(ServiceCode=SERVICE):
        yield from page["Quotas"]


def _search(listed: Iterator[Any], key: str, wanted: str, source: str) -> Entry:
    try:
        for quota in listed:
            if quota.get(key) == wanted:
                return _value(quota, source) | ({"code": quota.get("QuotaCode")} if key == "QuotaName" else {})
    except (ClientError, BotoCoreError) as error:
        return {"source": source, "error": _said(error)}
    return {"source": source, "error": f"Service Quotas lists no quota {wanted!r} for {SERVICE}"}


def _value(quota: Any, source: str) -> Entry:
    entry = {"value": quota.get("Value"), "source": source, "name": quota.get("QuotaName")}
    if quota.get("QuotaAppliedAtLevel"):
        entry["level"] = quota["QuotaAppliedAtLevel"]
    if entry["value"] is None:
        entry["error"] = str(quota.get("ErrorReason", {}).get("ErrorMessage", "Service Quotas gave no value"))
    return entry


def _metrics(cloudwatch: CloudWatchClient, instance_id: str, started_at: float, ended_at: float) -> dict[str, Entry]:
    """One number for each chat metric over the run's whole minutes: the largest of a level, the sum of a count."""
    minutes: list[Minute] = []
    failure = "no data points: CloudWatch may be some minutes behind; ask again later"
    try:
        minutes = read_minutes(cloudwatch, instance_id, started_at, ended_at)
    except (ClientError, BotoCoreError) as error:
        failure = _said(error)
    first, last = started_at // PERIOD * PERIOD, (ended_at // PERIOD + 1) * PERIOD
    table: dict[str, Entry] = {}
    for member, name, statistic in METRICS:
        if statistic == "Minimum":
            continue
        entry: Entry = {"source": f"cloudwatch AWS/Connect {name} ({statistic})", "from": first, "to": last}
        values = [value for minute in minutes if (value := getattr(minute, member)) is not None]
        if values:
            entry |= {"value": max(values) if statistic == "Maximum" else sum(values), "minutes": len(values)}
        else:
            entry["error"] = failure
        table[name] = entry
    return table


def _said(error: ClientError | BotoCoreError) -> str:
    """Return what AWS said, in one line; a missing permission names the action to allow."""
    if isinstance(error, ClientError):
        said = error.response.get("Error", {})
        text = f"{said.get('Code', 'error')}: {said.get('Message', '')}".rstrip(": ")
        if said.get("Code") in ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation"):
            text = f"{text} (the run's credentials lack the permission for {error.operation_name})"
    else:
        text = str(error)
    return redact_line(text)
