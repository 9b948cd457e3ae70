"""The IAM policies in the documentation allow what is called, and nothing else."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.session
import pytest

from harness import command
from harness.preflight.behind import flow_behind, read_behind
from harness.preflight.declared import Clients, fetch_declared
from harness.preflight.model.minutes import NoMinutes
from tests.support.counting import CountingServer, counting_server
from tests.support.locust_runs import ROOT, chatquota, locust, manifest, started, wait_until_started
from tests.support.scripted_aws import Script, ScriptedAws

UNPRIVILEGED = {"sts:GetCallerIdentity"}
"""Needs no permission (https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html)."""


def _allowed(policy: str) -> set[str]:
    document = json.loads((ROOT / "docs" / "iam" / policy).read_bytes())
    actions: set[str] = set()
    for statement in document["Statement"]:
        assert statement["Effect"] == "Allow"
        action = statement["Action"]
        actions |= {action} if isinstance(action, str) else set(action)
    return actions


def _called(server: CountingServer) -> set[str]:
    """The operations of Amazon Connect that the requests were, as botocore's model has their paths."""
    model = botocore.session.get_session().get_service_model("connect")
    operations = {}
    for name in model.operation_names:
        http = model.operation_model(name).http
        operations[http["method"], tuple(http["requestUri"].split("?")[0].strip("/").split("/"))] = name
    names = set()
    for entry in server.record():
        parts = entry["path"].strip("/").split("/")
        names |= {
            f"connect:{name}"
            for (method, uri), name in operations.items()
            if method == entry["method"]
            and len(uri) == len(parts)
            and all(a == b or a.startswith("{") for a, b in zip(uri, parts, strict=True))
        }
    return names


@pytest.mark.slow
def test_a_run_needs_exactly_what_its_policy_allows(tmp_path: Path) -> None:
    """A run whose chats are partly ended by others, and a sweep after it, make every call that the policy names."""
    with counting_server() as server:
        options = ("-u", "40", "-r", "40", "-t", "4s", "--hold", "1s", "--stop-rate", "100", "--run-dir", "run")
        with started(locust(server, *options), tmp_path, server) as run:
            wait_until_started(server, 20)
            server.end_all()
            assert run.wait().code == 0
        assert manifest(tmp_path / "run")["chats"]["already_ended"] > 0
        with started(chatquota("cleanup", "run", "--sweep"), tmp_path, server) as cleanup:
            assert cleanup.wait().code == 0
        boto3.client(
            "connect",
            endpoint_url=server.endpoint,
            region_name="us-east-1",
            aws_access_key_id=server.announcement["access_key_id"],
            aws_secret_access_key=server.announcement["secret_access_key"],
        ).start_chat_contact(InstanceId="i", ContactFlowId="f", ParticipantDetails={"DisplayName": "somebody"})
        where = ("--host", server.endpoint, "--region", "us-east-1", "--instance-id", "i")
        with started(chatquota("cleanup", "--sweep", "--run-id", "lost", *where), tmp_path, server) as sweep:
            assert sweep.wait().code == 0
        assert _called(server) == _allowed("run.json")


def test_a_check_needs_exactly_what_its_policy_allows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`chatquota check` makes every call that its policy names, and no other."""
    called: set[str] = set()
    make = boto3.Session.client

    def client(session: boto3.Session, service: Any, **options: Any) -> Any:
        made: Any = make(session, service, **options)
        prefix = made.meta.service_model.signing_name if service != "cloudwatch" else "cloudwatch"
        made.meta.events.register("before-call", lambda model, **_: called.add(f"{prefix}:{model.name}"))
        return made

    monkeypatch.setattr(boto3.Session, "client", client)
    script = Script(open_chats={"c": ""})
    with ScriptedAws(script) as aws:
        for name in ("STS", "IAM", "SERVICE_QUOTAS", "CLOUDWATCH"):
            monkeypatch.setenv(f"AWS_ENDPOINT_URL_{name}", aws.url)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")
        where = ["--host", aws.url, "--participant-host", aws.url, "--region", "us-east-1", "--instance-id", "i"]
        command.main(["check", "--contact-flow-id", "f", "--runs", str(tmp_path), *where])
    assert called - UNPRIVILEGED == _allowed("check.json")


def test_reading_what_aws_declares_needs_exactly_what_its_policy_allows() -> None:
    """Quotas, metrics and the flow: each call is in the policy, and each action of the policy is called."""
    called: set[str] = set()
    answers: dict[str, dict[str, Any]] = {
        "GetServiceQuota": {
            "Error": {"Code": "NoSuchResourceException", "Message": ""}
        },  # so that defaults are asked for
        "ListServiceQuotas": {"Quotas": []},
        "ListAWSDefaultServiceQuotas": {"Quotas": []},
        "GetMetricData": {"MetricDataResults": []},
        "ListMetrics": {"Metrics": [{"Namespace": "AWS/Connect", "MetricName": "QueueSize", "Dimensions": []}]},
        "DescribeContactFlow": {"ContactFlow": {"Content": ""}},
        "GetCallerIdentity": {"Account": "000000000000", "Arn": "arn:aws:iam::000000000000:user/u"},
    }

    def answer(model: Any, **_: Any) -> tuple[Any, dict[str, Any]]:
        called.add(f"{model.service_model.service_name.replace('-', '')}:{model.name}")
        parsed = answers[model.name]
        return SimpleNamespace(status_code=400 if "Error" in parsed else 200), parsed

    def client(service: str) -> Any:
        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        create: Any = boto3.Session(region_name="us-east-1").client
        made = create(service, **keys)
        made.meta.events.register("before-call", answer)
        return made

    clients = Clients(client("service-quotas"), client("cloudwatch"), client("sts"))
    fetch_declared(clients, region="us-east-1", instance_id="i", started_at=0.0, ended_at=60.0)
    read_behind(clients.cloudwatch, "i", (), (), 0.0, 60.0)
    with pytest.raises(NoMinutes):  # the scripted flow is none
        flow_behind(client("connect"), "i", "f")
    assert called - UNPRIVILEGED == _allowed("report.json")
