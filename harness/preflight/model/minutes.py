"""The chats of the whole instance minute by minute, as CloudWatch counts them: ours and those of others together.

Amazon Connect publishes its chat metrics once a minute, some minutes late
(https://docs.aws.amazon.com/connect/latest/adminguide/monitoring-cloudwatch.html).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from harness.preflight.model.asking import code_of, one_line

if TYPE_CHECKING:
    from types_boto3_cloudwatch import CloudWatchClient
    from types_boto3_cloudwatch.type_defs import DimensionTypeDef, MetricDataQueryTypeDef

PERIOD = 60
"""Seconds of a minute, and of the metrics' period."""
LATE = 300.0
"""Seconds by which CloudWatch may be behind."""
METRICS = (
    ("most_open", "ConcurrentActiveChats", "Maximum"),
    ("least_open", "ConcurrentActiveChats", "Minimum"),
    ("started", "SuccessfulChatsPerInterval", "Sum"),
    ("refused_by_quota", "ChatsBreachingActiveChatQuota", "Sum"),
    ("percent_open", "ConcurrentActiveChatsPercentage", "Maximum"),
)
"""The members of a Minute, each with its metric and statistic."""


@dataclass(frozen=True)
class Minute:
    """What CloudWatch counted in the minute that begins at `at` (unix seconds); None where it has no point."""

    at: int
    most_open: float | None = None
    least_open: float | None = None
    started: float | None = None
    refused_by_quota: float | None = None
    percent_open: float | None = None


def read_minutes(cloudwatch: CloudWatchClient, instance_id: str, begin: float, end: float) -> list[Minute]:
    """Return the minutes between two unix times of which CloudWatch knows something, in order.

    Raises ClientError or BotoCoreError where CloudWatch does not answer.
    """
    dimensions: list[DimensionTypeDef] = [
        {"Name": "InstanceId", "Value": instance_id},
        {"Name": "MetricGroup", "Value": "Chats"},
    ]
    queries: list[MetricDataQueryTypeDef] = [
        {
            "Id": name,
            "MetricStat": {
                "Metric": {"Namespace": "AWS/Connect", "MetricName": metric, "Dimensions": dimensions},
                "Period": PERIOD,
                "Stat": statistic,
            },
        }
        for name, metric, statistic in METRICS
    ]
    known: dict[int, dict[str, float]] = {}
    for name, at, value in minute_values(cloudwatch, queries, begin, end):
        known.setdefault(at, {})[name] = value
    names = {name for name, _, _ in METRICS}
    return [
        Minute(at, **{name: value for name, value in values.items() if name in names})
        for at, values in sorted(known.items())
    ]


def minute_values(
    cloudwatch: CloudWatchClient, queries: Sequence[MetricDataQueryTypeDef], begin: float, end: float
) -> Iterator[tuple[str, int, float]]:
    """Yield the id of a query, the unix time of a minute and the value then, for the minutes between two unix times.

    Raises ClientError or BotoCoreError where CloudWatch does not answer.
    """
    pages = cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries,
        StartTime=datetime.fromtimestamp(begin // PERIOD * PERIOD, UTC),
        EndTime=datetime.fromtimestamp((end // PERIOD + 1) * PERIOD, UTC),
    )
    for page in pages:
        for result in page["MetricDataResults"]:
            for at, value in zip(result.get("Timestamps", []), result.get("Values", []), strict=False):
                yield result.get("Id", ""), int(at.timestamp()), value


class NoMinutes(Exception):
    """CloudWatch did not answer. Its text says why, and the permission that is missing where one is."""


@contextmanager
def asking_cloudwatch(missing: str) -> Iterator[None]:
    """Raise NoMinutes where CloudWatch does not answer; `missing` says which permission would tell what."""
    try:
        yield
    except ClientError as error:
        raise NoMinutes(f"CloudWatch answered {code_of(error)}; {missing}") from error
    except BotoCoreError as error:
        raise NoMinutes(f"CloudWatch did not answer: {one_line(error)}") from error


def fetch_minutes(cloudwatch: CloudWatchClient, instance_id: str, begin: float, end: float) -> list[Minute]:
    """Return what `read_minutes` does. Raises NoMinutes."""
    with asking_cloudwatch("cloudwatch:GetMetricData would tell what others hold"):
        return read_minutes(cloudwatch, instance_id, begin, end)


def merged(earlier: Iterable[Minute], later: Iterable[Minute]) -> list[Minute]:
    """Return all minutes in order; of one that both have, the later look, which may know more."""
    return sorted({minute.at: minute for minute in (*earlier, *later)}.values(), key=lambda minute: minute.at)


def to_json(minutes: Iterable[Minute]) -> list[dict[str, float | None]]:
    """Return the minutes as `run.json` has them."""
    return [asdict(minute) for minute in minutes]
