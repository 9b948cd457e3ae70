"""What stands behind the chats of a run, as CloudWatch counts it minute by minute: flows, queues, Lex bots, functions.

Metrics: https://docs.aws.amazon.com/connect/latest/adminguide/monitoring-cloudwatch.html (by flow and by queue),
https://docs.aws.amazon.com/lexv2/latest/dg/monitoring-cloudwatch.html, https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from harness.preflight.looks.flow import Bot, FlowContent, read_flow
from harness.preflight.model.asking import code_of, one_line
from harness.preflight.model.minutes import PERIOD, NoMinutes, asking_cloudwatch, minute_values

if TYPE_CHECKING:
    from types_boto3_cloudwatch import CloudWatchClient
    from types_boto3_cloudwatch.type_defs import DimensionTypeDef, MetricDataQueryTypeDef, MetricTypeDef
    from types_boto3_connect import ConnectClient

SUM, MAXIMUM = "Sum", "Maximum"
_BY_QUEUE = {"QueueSize": MAXIMUM, "LongestQueueWaitTime": MAXIMUM, "QueueCapacityExceededError": SUM}
_BY_FLOW = {"ContactFlowErrors": SUM, "ContactFlowFatalErrors": SUM}
_OF_BOTS = {"RuntimeThrottledEvents": SUM, "RuntimeSystemErrors": SUM, "RuntimeConcurrency": MAXIMUM}
_OF_FUNCTIONS = {"Throttles": SUM, "Errors": SUM, "ConcurrentExecutions": MAXIMUM}
_MOST_METRICS = 400
"""GetMetricData takes 500 queries at once."""


@dataclass(frozen=True)
class Series:
    """One metric: of what (a queue, flow, bot or function, by name), and the statistic that its numbers are."""

    namespace: str
    metric: str
    of: str
    statistic: str


@dataclass(frozen=True)
class Reading:
    """What CloudWatch counted in the minute that begins at `at` (unix seconds)."""

    series: Series
    at: int
    value: float


def flow_behind(connect: ConnectClient, instance_id: str, flow_id: str) -> FlowContent:
    """Return what the flow of a run names. Raises NoMinutes, which says what is missing."""
    try:
        flow = connect.describe_contact_flow(InstanceId=instance_id, ContactFlowId=flow_id)["ContactFlow"]
        return read_flow(str(flow.get("Content", "")))
    except ClientError as error:
        raise NoMinutes(
            f"Amazon Connect answered {code_of(error)}; connect:DescribeContactFlow would tell which bots and functions "
            "the flow calls"
        ) from error
    except (BotoCoreError, ValueError) as error:
        raise NoMinutes(f"which bots and functions the flow calls is not known: {one_line(error)}") from error


def read_behind(
    cloudwatch: CloudWatchClient,
    instance_id: str,
    bots: Sequence[Bot],
    functions: Sequence[str],
    begin: float,
    end: float,
) -> list[Reading]:
    """Return what CloudWatch counted between two unix times, in no order. Raises NoMinutes."""
    needed = "cloudwatch:ListMetrics and cloudwatch:GetMetricData"
    with asking_cloudwatch(f"{needed} would tell what queues, flows, bots and functions did"):
        metrics = _metrics(cloudwatch, instance_id, bots, functions)[:_MOST_METRICS]
        return _readings(cloudwatch, metrics, begin, end) if metrics else []


def merge_readings(earlier: Iterable[Reading], later: Iterable[Reading]) -> list[Reading]:
    """Return all readings; of a minute that both have, the later look, which may know more."""
    return list({(reading.series, reading.at): reading for reading in (*earlier, *later)}.values())


def readings_to_json(readings: Iterable[Reading]) -> list[dict[str, Any]]:
    """Return `behind` as run.json's `declared` has it: a table for each series, with the minutes in which it was not 0."""
    tables: dict[Series, list[Reading]] = {}
    for reading in readings:
        tables.setdefault(reading.series, []).append(reading)
    return [
        {
            "source": f"cloudwatch {series.namespace} {series.metric} ({series.statistic})",
            "metric": series.metric,
            "of": series.of,
            "statistic": series.statistic,
            "known_minutes": len(found),
            "minutes": [
                {"at": one.at, "value": one.value} for one in sorted(found, key=lambda one: one.at) if one.value
            ],
        }
        for series, found in sorted(tables.items(), key=lambda item: (item[0].namespace, item[0].metric, item[0].of))
    ]


def _metrics(
    cloudwatch: CloudWatchClient, instance_id: str, bots: Sequence[Bot], functions: Sequence[str]
) -> list[tuple[Series, MetricTypeDef]]:
    """Return the metrics to ask for. Those by queue, flow and bot are listed: only CloudWatch knows all their dimensions."""
    found: list[tuple[Series, MetricTypeDef]] = []
    known: set[tuple[Any, ...]] = set()

    def listed(namespace: str, names: dict[str, str], of: str, dimensions: list[Any]) -> None:
        for name, statistic in names.items():
            pages = cloudwatch.get_paginator("list_metrics").paginate(
                Namespace=namespace, MetricName=name, Dimensions=dimensions
            )
            for page in pages:
                for metric in page["Metrics"]:
                    values = {one["Name"]: one["Value"] for one in metric["Dimensions"]}
                    which = (namespace, name, *sorted(values.items()))
                    if which in known:  # listed twice, it would be counted twice
                        continue
                    known.add(which)
                    series = Series(namespace, name, values.get(of, of), statistic)
                    found.append(
                        (series, {"Namespace": namespace, "MetricName": name, "Dimensions": metric["Dimensions"]})
                    )

    instance = {"Name": "InstanceId", "Value": instance_id}
    listed("AWS/Connect", _BY_FLOW, "ContactFlowName", [instance, {"Name": "ContactFlowName"}])
    listed("AWS/Connect", _BY_QUEUE, "QueueName", [instance, {"Name": "QueueName"}])
    for bot in bots:
        names = ("BotName", "BotAlias") if bot.classic else ("BotId", "BotAliasId")
        dimensions = [{"Name": name, "Value": value} for name, value in zip(names, (bot.bot, bot.alias), strict=True)]
        listed("AWS/Lex", _OF_BOTS, f"{bot.bot}/{bot.alias}", dimensions)
    for function in functions:
        dimension: list[DimensionTypeDef] = [{"Name": "FunctionName", "Value": function}]
        for name, statistic in _OF_FUNCTIONS.items():
            metric: MetricTypeDef = {"Namespace": "AWS/Lambda", "MetricName": name, "Dimensions": dimension}
            found.append((Series("AWS/Lambda", name, function, statistic), metric))
    return found


def _readings(
    cloudwatch: CloudWatchClient, metrics: list[tuple[Series, MetricTypeDef]], begin: float, end: float
) -> list[Reading]:
    queries: list[MetricDataQueryTypeDef] = [
        {"Id": f"m{number}", "MetricStat": {"Metric": metric, "Period": PERIOD, "Stat": series.statistic}}
        for number, (series, metric) in enumerate(metrics)
    ]
    # A bot has a metric for each operation and locale: counts of them add up, the largest of levels counts.
    known: dict[tuple[Series, int], float] = {}
    for query, at, value in minute_values(cloudwatch, queries, begin, end):
        series = metrics[int(query[1:])][0]
        before = known.get((series, at), 0.0)
        known[series, at] = before + value if series.statistic == SUM else max(before, value)
    return [Reading(series, at, value) for (series, at), value in known.items()]
