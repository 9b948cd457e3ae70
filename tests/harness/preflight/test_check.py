"""`chatquota check` against services that answer as AWS does: each row in each of its states."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from harness.preflight.looks.budget import check_policy
from harness.preflight.model.intent import Intent
from harness.preflight.model.rows import Row
from tests.harness.preflight.conftest import INSTANCE, Check
from tests.support.scripted_aws import BOT_FLOW, BUSY_FLOW, Refusal, Script


def chats_seen(cloudwatch: str, name: str, value: float, ago: timedelta, **by: str) -> None:
    """Make CloudWatch know `value` of a metric at a moment in the past: of all chats, or `by` queue or flow."""
    client = boto3.client("cloudwatch", "us-east-1", endpoint_url=cloudwatch)
    about = {"InstanceId": INSTANCE, "MetricGroup": "Chats", **by}
    dimensions: Any = [{"Name": key, "Value": text} for key, text in about.items()]
    at = datetime.now(UTC) - ago
    point: Any = {"MetricName": name, "Dimensions": dimensions, "Value": value, "Timestamp": at}
    client.put_metric_data(Namespace="AWS/Connect", MetricData=[point])


def test_everything_in_order_stops_nothing(check: Check) -> None:
    """With all in order the exit code is 0, and the rows say who, where and what."""
    code, rows = check()
    assert code == 0
    assert rows["account"]["text"].startswith(
        "account 123456789012, arn:aws:sts::123456789012:assumed-role/loadtest/session"
    )
    for name in (
        "endpoint",
        "participant endpoint",
        "clock",
        "instance",
        "flow",
        "flow content",
        "permission connect:StopContact",
    ):
        assert rows[name]["state"] == "ok", name


@pytest.mark.parametrize(
    ("script", "row", "state", "words"),
    [
        (Script(instance=Refusal(404, "ResourceNotFoundException")), "instance", "stop", "check --instance-id"),
        (Script(instance={"Instance": {"InstanceStatus": "CREATION_FAILED"}}), "instance", "stop", "not active"),
        (Script(instance=Refusal(403, "AccessDeniedException")), "instance", "not_known", "connect:DescribeInstance"),
        (Script(instance=Refusal(429, "TooManyRequestsException")), "instance", "not_known", "throttled"),
        (Script(flow=Refusal(404, "ContactFlowNotPublishedException")), "flow", "stop", "publish it"),
        (Script(flow={"ContactFlow": {"Name": "f", "Status": "SAVED"}}), "flow", "stop", "publish it"),
        (Script(flow={"ContactFlow": {"Name": "f", "State": "ARCHIVED"}}), "flow", "stop", "archived"),
        (Script(flow={"ContactFlow": {"Name": "f", "Type": "CUSTOMER_QUEUE"}}), "flow", "stop", "inbound flow"),
        (
            Script(flow={"ContactFlow": {"Name": "f", "Content": "not json"}}),
            "flow content",
            "not_known",
            "cannot be read",
        ),
        (Script(identity=Refusal(403, "InvalidClientTokenId")), "account", "stop", "refuses the credentials"),
        (Script(identity=Refusal(403, "AccessDenied")), "account", "not_known", "sts:GetCallerIdentity"),
        (Script(simulation=Refusal(403, "AccessDenied")), "permissions", "not_known", "iam:SimulatePrincipalPolicy"),
        (
            Script(simulation=lambda action: "implicitDeny"),
            "permission connect:StartChatContact",
            "stop",
            "not allowed",
        ),
        (Script(simulation=lambda action: "explicitDeny"), "permission cloudwatch:GetMetricData", "note", "denied"),
        (Script(clock_ahead=90), "clock", "note", "behind"),
        (Script(clock_ahead=-20), "clock", "note", "ahead"),
        (Script(clock_ahead=900), "clock", "stop", "set the clock"),
        (
            Script(quota_refusal=Refusal(400, "AccessDeniedException")),
            "quota L-AA48CD49",
            "not_known",
            "servicequotas:GetServiceQuota",
        ),
        (Script(quotas={"L-AA48CD49": {"Quota": {"Value": 7.0}}}), "quota L-AA48CD49", "note", "7 (applied)"),
        (Script(), "quota L-D4BA6F6E", "note", "500 (the default in AWS's documentation"),
        (
            Script(pending=[{"QuotaName": "Active chats", "DesiredValue": 900.0}]),
            "quota requests",
            "note",
            "Active chats to 900",
        ),
    ],
)
def test_each_trouble_is_a_row(check: Check, script: Script, row: str, state: str, words: str) -> None:
    """A row says what is wrong in its state, and the exit code is 3 exactly where a row says stop."""
    code, rows = check(script)
    assert rows[row]["state"] == state
    assert words in rows[row]["text"] + rows[row].get("permission", "")
    assert code == (3 if any(found["state"] == "stop" for found in rows.values()) else 0)


def test_flow_that_talks_and_queues_is_told(check: Check) -> None:
    """What a chat costs in a flow is said before one is spent; actions that no chat reaches do not count."""
    _, rows = check(Script(flow={"ContactFlow": {"Name": "f", "Content": BUSY_FLOW}}))
    assert rows["flow content"]["text"] == (
        "2 prompts for each chat, 1 Lex bot, 1 Lambda call, 1 transfer to a queue or agent, 1 wait; "
        "the chat stays open until somebody ends it"
    )


def test_bots_and_functions_of_the_flow_are_told_by_name(check: Check) -> None:
    """Each alias comes with the conversations that it serves at once; the one for tests serves two."""
    _, rows = check(Script(flow={"ContactFlow": {"Name": "f", "Content": BOT_FLOW}}))
    assert "5 Lex bots, 2 Lambda calls" in rows["flow content"]["text"]
    assert rows["Lex bot Orders"]["text"].startswith("alias live serves 50 conversations at once")
    assert rows["Lex bot BOT1234567"]["text"].startswith("the test alias serves 2 conversations at once")
    assert rows["Lambda function find-order"]["state"] == "note"


def test_others_stop_a_run_unless_it_is_shared(check: Check, cloudwatch: str) -> None:
    """Chats of others stop a run unless it is `--shared`, and they count in the budget."""
    chats_seen(cloudwatch, "ConcurrentActiveChats", 23, timedelta(minutes=5))
    quotas: dict[str, Any] = {"L-D4BA6F6E": {"Quota": {"Value": 80.0}}}
    code, rows = check(Script(quotas=quotas), "--max-chats", "57")
    assert (code, rows["others now"]["state"]) == (3, "stop")
    assert "23 chats open lately" in rows["others now"]["text"]
    assert "others hold 23: to meet it takes 58 chats" in rows["budget"]["text"]
    code, rows = check(Script(quotas=quotas), "--max-chats", "58", "--shared")
    assert (code, rows["others now"]["state"], rows["budget"]["state"]) == (0, "note", "ok")


@pytest.mark.slow
def test_full_queues_and_failing_flows_are_told_by_name(check: Check, cloudwatch: str) -> None:
    """Where chats wait and where flows break off is a note with names and numbers, before a chat is spent on it."""
    _, rows = check()
    assert (rows["queues"]["state"], rows["flow errors"]["state"]) == ("ok", "ok")
    chats_seen(cloudwatch, "QueueSize", 7, timedelta(minutes=5), MetricGroup="Queue", QueueName="Returns")
    chats_seen(
        cloudwatch, "ContactFlowErrors", 3, timedelta(minutes=9), MetricGroup="ContactFlow", ContactFlowName="Main"
    )
    code, rows = check()
    assert code == 0
    assert rows["queues"]["text"] == "waiting in the last hour, at most: 7 in Returns"
    assert rows["flow errors"]["text"] == "contacts of the last hour took an error branch: 3 in Main"
    chats_seen(
        cloudwatch, "QueueCapacityExceededError", 2, timedelta(minutes=1), MetricGroup="Queue", QueueName="Sales"
    )
    _, rows = check()
    assert rows["queues"]["text"].startswith("full in the last hour: 2 in Sales; a chat sent there")


def test_the_same_hour_a_week_ago_is_told(check: Check, cloudwatch: str) -> None:
    """Who was active a week ago at this hour is a note, though nobody is now."""
    chats_seen(cloudwatch, "ConcurrentActiveChats", 120, timedelta(days=7, minutes=20))
    code, rows = check()
    assert code == 0
    assert "120 at most in that hour" in rows["others a week ago"]["text"]


def test_unreachable_endpoint_stops(check: Check) -> None:
    """A participant endpoint where nothing listens is a note, and a stop for conversations; both name the URL."""
    _, rows = check(None, "--participant-host", "http://127.0.0.1:1")
    assert rows["participant endpoint"]["state"] == "note"
    code, rows = check(None, "--participant-host", "http://127.0.0.1:1", "ChatConversation")
    assert (code, rows["participant endpoint"]["state"]) == (3, "stop")
    assert "http://127.0.0.1:1 does not answer" in rows["participant endpoint"]["text"]


def test_plan_is_written_with_what_is_known(check: Check, tmp_path: Path) -> None:
    """The plan for AWS names account, instance, load, duration and how to stop, and marks what only its sender knows."""
    check(None, "--plan", str(tmp_path / "plan.md"), "--emergency-contact", "Ana, +1 555 0100")
    plan = (tmp_path / "plan.md").read_text()
    for words in (
        "Amazon-Connect-Load-Test-Requests@amazon.com",
        "account 123456789012",
        INSTANCE,
        "at most 700",
        "Ana, +1 555 0100",
    ):
        assert words in plan
    assert "TO FILL IN" in plan


def test_policy_of_a_live_run() -> None:
    """By day a live run may not start, and near 6 AM only one that ends before."""

    def hours(at: str, seconds: float) -> Row:
        intent = Intent(approval="case 1", seconds=seconds, max_chats=9)
        *_, row = check_policy(intent, "eu-central-1", datetime.fromisoformat(at))
        return row

    assert hours("2026-11-24T12:00+01:00", 60).state == "stop"
    assert hours("2026-11-24T20:00+01:00", 60).state == "ok"
    assert hours("2026-11-24T05:50+01:00", 900).state == "stop"
