"""Which queues hold contacts, and which flows fail, in the last hour: where chats would wait or break off.

Metrics by queue and by flow: https://docs.aws.amazon.com/connect/latest/adminguide/monitoring-cloudwatch.html.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import ClientError

from harness.preflight.model.asking import Account, ask, code_of
from harness.preflight.model.rows import NotKnown, Row

if TYPE_CHECKING:
    from types_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef, MetricOutputTypeDef

T = TypeVar("T")

HOUR = 3600.0
_PERIOD = 300
_QUEUES = {"QueueSize": "Maximum", "QueueCapacityExceededError": "Sum"}
_FLOWS = {"ContactFlowErrors": "Sum", "ContactFlowFatalErrors": "Sum"}
_MOST_METRICS = 100
_NAMED = 3

Found = dict[str, dict[str, float]]
"""What CloudWatch counted, by metric and by the queue's or flow's name; without zeros."""


def check_queues(account: Account, now: Callable[[], float] = time.time) -> Iterator[Row]:
    """Yield a row for the queues of the instance and one for its flows."""
    at = now()
    queues = _look(account, _QUEUES, "QueueName", at)
    waiting, full = queues["QueueSize"], queues["QueueCapacityExceededError"]
    if full:
        text = f"full in the last hour: {_named(full)}; a chat sent there leaves its flow by the error branch"
        yield Row(check="queues", state="note", text=text)
    elif waiting:
        yield Row(check="queues", state="note", text=f"waiting in the last hour, at most: {_named(waiting)}")
    else:
        yield Row(check="queues", state="ok", text="CloudWatch saw nobody wait in the last hour")
    flows = _look(account, _FLOWS, "ContactFlowName", at)
    fatal, errors = flows["ContactFlowFatalErrors"], flows["ContactFlowErrors"]
    if fatal or errors:
        kind = f"ended by an error: {_named(fatal)}" if fatal else f"took an error branch: {_named(errors)}"
        yield Row(check="flow errors", state="note", text=f"contacts of the last hour {kind}")
    else:
        yield Row(check="flow errors", state="ok", text="CloudWatch saw none in the last hour")


def _look(account: Account, statistics: dict[str, str], by: str, end: float) -> Found:
    metrics = [metric for name in statistics for metric in _listed(account, name, by)][:_MOST_METRICS]
    found: Found = {name: {} for name in statistics}
    if not metrics:
        return found
    queries: list[MetricDataQueryTypeDef] = [
        {
            "Id": f"m{number}",
            "MetricStat": {"Metric": metric, "Period": _PERIOD, "Stat": statistics[metric["MetricName"]]},
        }
        for number, metric in enumerate(metrics)
    ]
    client = account.cloudwatch
    answer = _asked(
        "cloudwatch:GetMetricData",
        lambda: client.get_metric_data(
            MetricDataQueries=queries,
            StartTime=datetime.fromtimestamp(end - HOUR, UTC),
            EndTime=datetime.fromtimestamp(end, UTC),
        ),
    )
    for result in answer["MetricDataResults"]:
        metric = metrics[int(result["Id"][1:])]
        values = result["Values"]
        total = max(values, default=0.0) if statistics[metric["MetricName"]] == "Maximum" else sum(values)
        if total:
            name = next((each["Value"] for each in metric["Dimensions"] if each["Name"] == by), "?")
            found[metric["MetricName"]][name] = total
    return found


def _listed(account: Account, metric: str, by: str) -> list[MetricOutputTypeDef]:
    """Return the metrics of that name that the instance has, one for each queue or flow."""
    client = account.cloudwatch
    answer = _asked(
        "cloudwatch:ListMetrics",
        lambda: client.list_metrics(
            Namespace="AWS/Connect",
            MetricName=metric,
            Dimensions=[{"Name": "InstanceId", "Value": account.instance_id}, {"Name": by}],
        ),
    )
    return answer["Metrics"]


def _asked(permission: str, question: Callable[[], T]) -> T:
    try:
        return ask(permission, question)
    except ClientError as error:
        raise NotKnown(f"CloudWatch answered {code_of(error)}") from error


def _named(counts: dict[str, float]) -> str:
    """Return the largest few with their numbers."""
    order = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    shown = ", ".join(f"{value:g} in {name}" for name, value in order[:_NAMED])
    more = len(order) - _NAMED
    return f"{shown} and {more} more" if more > 0 else shown
