"""`chatquota check` against services that answer as AWS does: each row in each of its states."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from harness.command import main
from harness.preflight.looks.budget import check_policy
from harness.preflight.model.intent import Intent
from harness.preflight.model.rows import Row
from tests.support.scripted_aws import BOT_FLOW, BUSY_FLOW, Refusal, Script, ScriptedAws

INSTANCE = "11111111-2222-3333-4444-555555555555"
SCRIPTED: tuple[str, ...] = ("STS", "IAM", "SERVICE_QUOTAS")
"""The services that the script stands for, besides Amazon Connect."""
Check = Callable[..., tuple[int, dict[str, dict[str, Any]]]]


@pytest.fixture(scope="module")
def cloudwatch() -> Iterator[str]:
    """A moto server that stands for CloudWatch."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture
def check(
    cloudwatch: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Check]:
    """Runs `chatquota check --json` against a script and returns its exit code and its rows by name."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", cloudwatch)

    def run(script: Script | None = None, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
        with ScriptedAws(script or Script()) as aws:
            for service in SCRIPTED:
                monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", aws.url)
            given = ["check", "--json", "--host", aws.url, "--region", "us-east-1", "--instance-id", INSTANCE, "--live"]
            given += ["--participant-host", aws.url]
            given += [
                "--contact-flow-id",
                "flow",
                "--approval",
                "case 1",
                "--any-hour",
                "--runs",
                str(tmp_path / "runs"),
            ]
            code = main([*given, "--max-chats", "700", "-t", "5m", *arguments])
        document = json.loads(capsys.readouterr().out)
        return code, {row["check"]: row for row in document["rows"]}

    yield run
    urllib.request.urlopen(urllib.request.Request(f"{cloudwatch}/moto-api/reset", method="POST"), timeout=10).close()


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


def test_leftovers_name_their_cleanup(check: Check, tmp_path: Path) -> None:
    """A run that left chats open on the instance is named with its cleanup; broken records are passed over."""
    for name, text in {
        "a": json.dumps({"status": "ended", "target": {"instance_id": INSTANCE}, "chats": {"left_open": 4}}),
        "b": json.dumps({"status": "ended", "target": {"instance_id": "another"}, "chats": {"left_open": 9}}),
        "c": "{",
    }.items():
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_text(text)
    _, rows = check()
    assert rows["leftovers"]["text"].startswith("a left 4 chats open")
    assert "chatquota cleanup" in rows["leftovers"]["text"]


def test_chats_of_other_machines_runs_are_found_on_the_instance(check: Check) -> None:
    """Open chats that carry a run's id are a note with the command that stops them; customers' chats are none."""
    chats = {
        "c1": "",
        "c2": "20261129T010000Z-start-chat-aa11",
        "c3": "20261129T010000Z-start-chat-aa11",
        "c4": "; rm x",
    }
    code, rows = check(Script(open_chats=chats))
    text = rows["leftovers on the instance"]["text"]
    assert (code, rows["leftovers on the instance"]["state"]) == (0, "note")
    assert text.startswith("2 chats of run 20261129T010000Z-start-chat-aa11 are open, of 4 open chats")
    assert "chatquota cleanup --sweep --run-id 20261129T010000Z-start-chat-aa11 --host http://127.0.0.1:" in text
    assert f"--region us-east-1 --instance-id {INSTANCE}`" in text


def test_a_run_with_a_directory_here_is_named_once(check: Check, tmp_path: Path) -> None:
    """Chats whose run has a directory on this machine are cleaned up with that, so no second command is given."""
    record = {"run_id": "r1", "target": {"instance_id": INSTANCE}, "chats": {"left_open": 1}}
    (tmp_path / "runs" / "r1").mkdir(parents=True)
    (tmp_path / "runs" / "r1" / "run.json").write_text(json.dumps(record))
    _, rows = check(Script(open_chats={"c1": "r1"}))
    assert rows["leftovers"]["state"] == "note"
    assert rows["leftovers on the instance"]["state"] == "ok"
    assert "those of the runs above" in rows["leftovers on the instance"]["text"]


@pytest.mark.parametrize(
    ("script", "state", "words"),
    [
        (Script(), "ok", "none of 0 open chats carries loadtest-run (a chat is found some minutes after its start)"),
        (Script(open_chats=Refusal(403, "AccessDeniedException")), "not_known", "connect:SearchContacts"),
        (Script(open_chats=Refusal(429, "TooManyRequestsException")), "not_known", "throttled"),
        (Script(open_chats=Refusal(400, "InvalidRequestException")), "not_known", "InvalidRequestException"),
        (
            Script(open_chats={"c": ""}, attributes=Refusal(403, "AccessDeniedException")),
            "not_known",
            "connect:GetContactAttributes",
        ),
        (Script(open_chats={"c": ""}, attributes=Refusal(404, "ResourceNotFoundException")), "ok", "none of 1 open"),
    ],
)
def test_what_the_instance_does_not_tell_of_its_open_chats_is_said(
    check: Check, script: Script, state: str, words: str
) -> None:
    """Where search or attributes are refused the row is not known, with the permission that would tell."""
    code, rows = check(script)
    row = rows["leftovers on the instance"]
    assert (code, row["state"]) == (0, state)
    assert words in row["text"] + row.get("permission", "")


def test_of_many_open_chats_some_are_read(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy instance a bounded number of chats is read, spread over their starts, and the row says so."""
    monkeypatch.setattr("harness.preflight.looks.leftovers.time.sleep", lambda seconds: None)
    chats = {f"c{number}": "r-70" if 70 <= number < 80 else "" for number in range(250)}
    _, rows = check(Script(open_chats=chats))
    text = rows["leftovers on the instance"]["text"]
    assert text.startswith("4 chats of run r-70 are open, of 250 open chats, of which 40 were read")


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


@pytest.mark.parametrize(
    ("script", "row", "words"),
    [
        (Script(identity=Refusal(400, "Throttling")), "account", "sts:GetCallerIdentity is throttled"),
        (Script(simulation=Refusal(400, "Throttling")), "permissions", "iam:SimulatePrincipalPolicy is throttled"),
        (Script(flow=Refusal(429, "TooManyRequestsException")), "flow", "connect:DescribeContactFlow is throttled"),
        (Script(flow=Refusal(403, "AccessDeniedException")), "flow", "connect:DescribeContactFlow"),
        (
            Script(quota_refusal=Refusal(400, "TooManyRequestsException")),
            "quota L-D4BA6F6E",
            "servicequotas:GetServiceQuota is throttled",
        ),
        (
            Script(quota_refusal=Refusal(400, "TooManyRequestsException")),
            "quota requests",
            "servicequotas:ListRequestedServiceQuotaChangeHistory is throttled",
        ),
    ],
)
def test_what_throttles_or_may_not_be_asked_is_not_known(check: Check, script: Script, row: str, words: str) -> None:
    """The row names the call, and the rows of other services say what they did before."""
    _, rows = check(script)
    assert rows[row]["state"] == "not_known"
    assert words in rows[row]["text"] + rows[row].get("permission", "")
    assert rows["instance"]["state"] == "ok"


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (Refusal(429, "", "Too Many Requests"), "--treat-bare-429-as tps_throttled counts them as throttles"),
        (Refusal(429, "LimitExceededException", "Limit Exceeded"), "API Gateway usage plan"),
    ],
)
def test_a_429_of_something_in_front_is_named(check: Check, refusal: Refusal, words: str) -> None:
    """What a gateway in front of the service says is told apart from the service, with the option for a run."""
    code, rows = check(Script(instance=refusal))
    assert (code, rows["instance"]["state"]) == (0, "not_known")
    assert words in rows["instance"]["text"]


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (Refusal(403, "AccessDenied"), "cloudwatch:"),
        (Refusal(400, "Throttling"), "is throttled"),
        (Refusal(500, "InternalFailure"), "CloudWatch answered InternalFailure"),
    ],
)
def test_without_cloudwatch_others_are_not_known(
    check: Check, monkeypatch: pytest.MonkeyPatch, refusal: Refusal, words: str
) -> None:
    """Who else is active cannot be told without its metrics: no stop, and the budget counts none of theirs."""
    with ScriptedAws(Script(cloudwatch=refusal)) as metrics:
        monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", metrics.url)
        code, rows = check(None, "--max-chats", "501")
    assert code == 0
    for name in ("others now", "queues"):
        assert rows[name]["state"] == "not_known"
        assert words in rows[name]["text"] + rows[name].get("permission", "")
    assert rows["budget"]["state"] == "ok"


def test_another_region_is_told_by_what_is_not_there(check: Check) -> None:
    """In a wrong Region there is no such instance and flow: both rows stop and name the options to look at."""
    missing = Refusal(404, "ResourceNotFoundException")
    code, rows = check(Script(instance=missing, flow=missing), "--region", "eu-west-1")
    assert code == 3
    assert "in eu-west-1; check --instance-id and --region" in rows["instance"]["text"]
    assert (rows["instance"]["state"], rows["flow"]["state"]) == ("stop", "stop")


def test_a_slow_service_is_waited_for(check: Check) -> None:
    """Answers that take a second are answers: nothing is unknown for that, and the endpoint's row says how long."""
    code, rows = check(Script(delay=1.0, simulation=lambda action: "allowed"))
    assert code == 0
    assert [name for name, row in rows.items() if row["state"] == "not_known"] == ["quotas without a code"]
    assert float(rows["endpoint"]["text"].split(" answers in ")[1].split()[0]) >= 1000


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_service_that_hangs_is_not_waited_for_at_each_question(check: Check) -> None:
    """The endpoint stops the run, all that was to be asked there is not known, and the check ends."""
    code, rows = check(Script(delay=20.0))
    assert code == 3
    assert rows["endpoint"]["state"] == "stop"
    for name in ("instance", "flow", "permissions", "quota L-AA48CD49", "quota L-D4BA6F6E", "quota requests"):
        assert rows[name]["state"] == "not_known"
        assert "no answer" in rows[name]["text"]
    assert rows["others now"]["state"] == "note"


def test_motos_servers_are_understood(cloudwatch: str, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """STS, IAM and Service Quotas as moto has them: who calls is known, quotas without a value there are the documented
    ones, and what moto cannot do is not known.
    """
    monkeypatch.setattr("tests.harness.preflight.test_check.SCRIPTED", ())
    for service in ("STS", "IAM", "SERVICE_QUOTAS"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", cloudwatch)
    code, rows = check()
    assert code == 0
    assert rows["account"]["text"].startswith("account 123456789012, arn:aws:sts::123456789012:")
    assert "StartChatContact calls a second: 5 (the default" in rows["quota L-AA48CD49"]["text"]
    assert rows["permissions"]["state"] == rows["quota requests"]["state"] == "not_known"


def test_a_service_in_trouble_costs_its_own_rows_only(check: Check) -> None:
    """STS answers with errors: the rows that need it are not known, the others stay."""
    _, rows = check(Script(identity=Refusal(500, "InternalFailure")))
    assert rows["instance"]["state"] == "ok"
    assert rows["permissions"]["state"] == "not_known"
