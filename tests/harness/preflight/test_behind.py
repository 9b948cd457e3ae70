"""What stands behind the chats of a run, from a flow's content and moto's CloudWatch."""

import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from harness.load.run.instance_watch import Behind
from harness.preflight.behind import merge_readings, read_behind, readings_to_json
from harness.preflight.looks.flow import Bot, read_flow
from harness.preflight.model.asking import Account
from harness.preflight.model.minutes import NoMinutes
from tests.support.scripted_aws import BOT_FLOW, Refusal, Script, ScriptedAws

INSTANCE = "11111111-2222-3333-4444-555555555555"
BEGAN = 1_795_000_020
BOT = {"BotId": "BOT1234567", "BotAliasId": "PRODALIAS1", "LocaleId": "en_US"}


@pytest.fixture
def cloudwatch() -> Iterator[Any]:
    """A client of a moto server that stands for CloudWatch."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        # What moto's servers know is of the process, so also of the tests before this one.
        urllib.request.urlopen(f"http://{host}:{port}/moto-api/reset", b"", timeout=10).close()
        session = boto3.Session("testing", "testing", region_name="us-east-1")
        yield session.client("cloudwatch", endpoint_url=f"http://{host}:{port}")
    finally:
        server.stop()


def put(cloudwatch: Any, namespace: str, metric: str, minute: int, value: float, **dimensions: str) -> None:
    """Let CloudWatch have counted `value` in a minute of the run."""
    cloudwatch.put_metric_data(
        Namespace=namespace,
        MetricData=[
            {
                "MetricName": metric,
                "Dimensions": [{"Name": name, "Value": text} for name, text in dimensions.items()],
                "Timestamp": datetime.fromtimestamp(BEGAN + 60 * minute, UTC),
                "Value": value,
            }
        ],
    )


def counted(readings: list[dict[str, Any]]) -> dict[tuple[str, str], dict[int, float]]:
    """What was counted, by metric and name, by the minute of the run."""
    return {
        (table["metric"], table["of"]): {(one["at"] - BEGAN) // 60: one["value"] for one in table["minutes"]}
        for table in readings
    }


def test_bots_and_functions_are_those_that_a_chat_can_reach() -> None:
    """Each is named once; what comes from an attribute of the chat has no name."""
    content = read_flow(BOT_FLOW)
    assert content.bots == (
        Bot("BOT1234567", "PRODALIAS1"),
        Bot("BOT1234567", "TSTALIASID"),
        Bot("Orders", "live", classic=True),
    )
    assert [bot.is_for_tests for bot in content.bots] == [False, True, False]
    assert content.functions == ("find-order",)


def test_each_minute_is_told_by_name(cloudwatch: Any) -> None:
    """Queues, flows, bots and functions of this instance and flow, no other; a bot's locales and operations add up."""
    queue = {"InstanceId": INSTANCE, "MetricGroup": "Queue", "QueueName": "Returns"}
    flow = {"InstanceId": INSTANCE, "MetricGroup": "ContactFlow", "ContactFlowName": "Main"}
    put(cloudwatch, "AWS/Connect", "QueueSize", 0, 4, **queue)
    put(cloudwatch, "AWS/Connect", "QueueSize", 1, 7, **queue)
    put(cloudwatch, "AWS/Connect", "QueueSize", 1, 99, **{**queue, "InstanceId": "another"})
    put(cloudwatch, "AWS/Connect", "ContactFlowErrors", 1, 3, **flow)
    put(cloudwatch, "AWS/Connect", "ContactFlowErrors", 2, 2, **flow)  # moto lists the metric a second time
    put(cloudwatch, "AWS/Lex", "RuntimeThrottledEvents", 1, 11, **BOT, Operation="RecognizeText")
    put(
        cloudwatch, "AWS/Lex", "RuntimeThrottledEvents", 1, 2, **{**BOT, "LocaleId": "de_DE"}, Operation="RecognizeText"
    )
    put(cloudwatch, "AWS/Lex", "RuntimeThrottledEvents", 1, 50, **{**BOT, "BotAliasId": "OTHERALIAS"}, Operation="X")
    put(cloudwatch, "AWS/Lex", "RuntimeConcurrency", 1, 50, **BOT, Operation="RecognizeText")
    put(cloudwatch, "AWS/Lambda", "Throttles", 0, 0, FunctionName="find-order")
    put(cloudwatch, "AWS/Lambda", "Throttles", 2, 6, FunctionName="find-order")
    content = read_flow(BOT_FLOW)
    read = read_behind(cloudwatch, INSTANCE, content.bots, content.functions, BEGAN, BEGAN + 150)
    told = readings_to_json(merge_readings(read, read))
    assert counted(told) == {
        ("QueueSize", "Returns"): {0: 4.0, 1: 7.0},
        ("ContactFlowErrors", "Main"): {1: 3.0, 2: 2.0},
        ("RuntimeThrottledEvents", "BOT1234567/PRODALIAS1"): {1: 13.0},
        ("RuntimeConcurrency", "BOT1234567/PRODALIAS1"): {1: 50.0},
        ("Throttles", "find-order"): {2: 6.0},
    }
    (throttles,) = (table for table in told if table["metric"] == "Throttles")
    assert (throttles["known_minutes"], throttles["source"]) == (2, "cloudwatch AWS/Lambda Throttles (Sum)")


@pytest.mark.slow
def test_a_flow_that_may_not_be_read_costs_bots_and_functions_only(
    cloudwatch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without connect:DescribeContactFlow queues and flows are still told, and what is missing is said."""
    put(cloudwatch, "AWS/Connect", "QueueSize", 0, 4, InstanceId=INSTANCE, MetricGroup="Queue", QueueName="Returns")
    put(cloudwatch, "AWS/Lambda", "Throttles", 0, 9, FunctionName="find-order")
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", cloudwatch.meta.endpoint_url)
    for refused, functions in ((True, {}), (False, {("Throttles", "find-order"): {0: 9.0}})):
        answer: Any = Refusal(403, "AccessDeniedException") if refused else {"ContactFlow": {"Content": BOT_FLOW}}
        with ScriptedAws(Script(flow=answer)) as aws:
            session = boto3.Session("testing", "testing", region_name="us-east-1")
            behind = Behind(Account(session, "us-east-1", aws.url, INSTANCE, "flow"))
            told = counted(readings_to_json(behind.fetch(BEGAN, BEGAN + 60)))
        assert told == {("QueueSize", "Returns"): {0: 4.0}, **functions}
        assert ("connect:DescribeContactFlow" in behind.trouble) == refused


def test_cloudwatch_that_does_not_answer_says_what_would_tell() -> None:
    """A dead CloudWatch is one sentence, not an error."""
    session = boto3.Session("testing", "testing", region_name="us-east-1")
    dead = session.client("cloudwatch", endpoint_url="http://127.0.0.1:9")
    with pytest.raises(NoMinutes, match="CloudWatch did not answer"):
        read_behind(dead, INSTANCE, (), (), BEGAN, BEGAN + 60)
