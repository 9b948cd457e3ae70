"""What AWS declares, asked of moto's servers for Service Quotas, CloudWatch and STS over a socket."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto.core.exceptions import JsonRESTError
from moto.server import ThreadedMotoServer
from moto.servicequotas.exceptions import NoSuchResource
from moto.servicequotas.models import ServiceQuotasBackend
from moto.servicequotas.responses import ServiceQuotasResponse

from harness.preflight.declared import Clients, fetch_declared
from harness.preflight.model.minutes import Minute, NoMinutes, fetch_minutes

INSTANCE = "11111111-2222-3333-4444-555555555555"
ARN = f"arn:aws:connect:us-east-1:123456789012:instance/{INSTANCE}"
BEGAN = 1_795_000_020.0
QUOTAS = {
    "L-AA48CD49": {"QuotaCode": "L-AA48CD49", "QuotaName": "Rate of StartChatContact API requests", "Value": 7.0},
    "L-D4BA6F6E": {"QuotaCode": "L-D4BA6F6E", "QuotaName": "Concurrent active chats per instance", "Value": 1500.0},
    "L-NAMELESS": {"QuotaCode": "L-NAMELESS", "QuotaName": "Rate of StopContact API requests", "Value": 12.0},
}


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A moto server on a free port that knows Amazon Connect's quotas, which moto itself does not."""

    def get(self: ServiceQuotasBackend, service_code: str, quota_code: str) -> dict[str, Any]:
        if service_code != "connect" or quota_code not in QUOTAS:
            raise NoSuchResource
        return QUOTAS[quota_code]

    def answer(self: ServiceQuotasResponse) -> str:
        wanted = json.loads(self.body)
        if wanted["QuotaCode"] == "L-D4BA6F6E" and wanted.get("ContextId") != ARN:
            raise NoSuchResource
        return json.dumps({"Quota": get(self.backend, wanted["ServiceCode"], wanted["QuotaCode"])})

    def listed(self: ServiceQuotasResponse) -> str:
        return json.dumps({"Quotas": list(QUOTAS.values())})

    monkeypatch.setattr(ServiceQuotasBackend, "get_service_quota", get)
    monkeypatch.setattr(ServiceQuotasResponse, "get_service_quota", answer)
    monkeypatch.setattr(ServiceQuotasResponse, "list_service_quotas", listed, raising=False)
    monkeypatch.setattr(ServiceQuotasResponse, "list_aws_default_service_quotas", listed)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture
def clients(endpoint: str) -> Clients:
    """Clients of that server."""
    session = boto3.Session("testing", "testing", region_name="us-east-1")
    return Clients(
        session.client("service-quotas", endpoint_url=endpoint),
        session.client("cloudwatch", endpoint_url=endpoint),
        session.client("sts", endpoint_url=endpoint),
    )


def fetch(clients: Clients) -> dict[str, Any]:
    """Everything declared about a run of two minutes."""
    return fetch_declared(clients, region="us-east-1", instance_id=INSTANCE, started_at=BEGAN, ended_at=BEGAN + 120)


def test_each_quota_comes_with_its_source(clients: Clients) -> None:
    """Account-level, resource-level and name-only quotas are found, each with the code it came from."""
    declared = fetch(clients)
    assert (declared["tps"]["value"], declared["tps"]["source"]) == (7.0, "service-quotas L-AA48CD49")
    assert declared["active_chats"]["value"] == 1500.0
    assert declared["active_chats"]["source"] == "service-quotas L-D4BA6F6E of the instance"
    assert (declared["stop_contact_tps"]["value"], declared["stop_contact_tps"]["source"]) == (
        12.0,
        "service-quotas L-NAMELESS",
    )


def test_a_quota_that_was_never_applied_is_declared_as_the_default(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the account has no value of its own, AWS's default is given and called so."""

    def none(self: ServiceQuotasResponse) -> str:
        raise NoSuchResource

    monkeypatch.setattr(ServiceQuotasResponse, "get_service_quota", none)
    entry = fetch(clients)["tps"]
    assert entry["value"] == 7.0
    assert "default" in entry["source"]


def test_a_missing_permission_costs_its_row_only(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    """An access error is an entry with an error; the other entries are as before."""

    def denied(self: ServiceQuotasResponse) -> str:
        raise JsonRESTError("AccessDeniedException", "not authorized")

    monkeypatch.setattr(ServiceQuotasResponse, "get_service_quota", denied)
    declared = fetch(clients)
    assert "GetServiceQuota" in declared["tps"]["error"]
    assert "value" not in declared["tps"]
    assert declared["stop_contact_tps"]["value"] == 12.0


def test_chat_metrics_are_folded_over_the_run(clients: Clients) -> None:
    """Levels give their largest minute and counts their sum, over the minutes of the run and no others."""
    dimensions = [{"Name": "InstanceId", "Value": INSTANCE}, {"Name": "MetricGroup", "Value": "Chats"}]
    series = {
        "ConcurrentActiveChats": (40.0, 90.0),
        "ChatsBreachingActiveChatQuota": (3.0, 4.0),
        "SuccessfulChatsPerInterval": (50.0, 60.0),
    }
    for name, values in series.items():
        for minute, value in enumerate((*values, 10_000.0)):
            at = datetime.fromtimestamp(BEGAN + 60 * minute if minute < 2 else BEGAN + 3600, UTC)
            datum: Any = {"MetricName": name, "Dimensions": dimensions, "Timestamp": at, "Value": value}
            clients.cloudwatch.put_metric_data(Namespace="AWS/Connect", MetricData=[datum])
    metrics = fetch(clients)["cloudwatch"]
    assert metrics["ConcurrentActiveChats"]["value"] == 90.0
    assert metrics["ChatsBreachingActiveChatQuota"]["value"] == 7.0
    assert metrics["SuccessfulChatsPerInterval"]["value"] == 110.0
    assert "no data points" in metrics["ConcurrentActiveChatsPercentage"]["error"]


def test_minutes_tell_what_the_whole_instance_held(clients: Clients) -> None:
    """Each minute has the most and the fewest chats open and what was started; minutes without points are left out."""
    dimensions = [{"Name": "InstanceId", "Value": "another"}, {"Name": "MetricGroup", "Value": "Chats"}]
    points = [
        ("ConcurrentActiveChats", 0, 40.0),
        ("ConcurrentActiveChats", 10, 44.0),
        ("ConcurrentActiveChats", 60, 80.0),
    ]
    for name, second, value in [*points, ("SuccessfulChatsPerInterval", 60, 50.0)]:
        at = datetime.fromtimestamp(BEGAN + second, UTC)
        datum: Any = {"MetricName": name, "Dimensions": dimensions, "Timestamp": at, "Value": value}
        clients.cloudwatch.put_metric_data(Namespace="AWS/Connect", MetricData=[datum])
    began = int(BEGAN)
    assert fetch_minutes(clients.cloudwatch, "another", BEGAN, BEGAN + 300) == [
        Minute(began, most_open=44.0, least_open=40.0),
        Minute(began + 60, most_open=80.0, least_open=80.0, started=50.0),
    ]


def test_minutes_that_nobody_answers_for_say_what_would_tell() -> None:
    """Without CloudWatch the reason is one sentence."""
    quick = Config(retries={"total_max_attempts": 1}, connect_timeout=1)
    session = boto3.Session("testing", "testing", region_name="us-east-1")
    nowhere = session.client("cloudwatch", endpoint_url="http://127.0.0.1:9", config=quick)
    with pytest.raises(NoMinutes, match="CloudWatch did not answer"):
        fetch_minutes(nowhere, INSTANCE, BEGAN, BEGAN + 60)


def test_an_unreachable_service_costs_rows_not_the_report(endpoint: str) -> None:
    """Nothing is raised when no service answers; every entry says why it has no value."""
    session = boto3.Session("testing", "testing", region_name="us-east-1")
    quick = Config(retries={"total_max_attempts": 1}, connect_timeout=1)
    nowhere = "http://127.0.0.1:9"
    clients = Clients(
        session.client("service-quotas", endpoint_url=nowhere, config=quick),
        session.client("cloudwatch", endpoint_url=nowhere, config=quick),
        session.client("sts", endpoint_url=nowhere, config=quick),
    )
    declared = fetch(clients)
    entries = [
        declared["tps"],
        declared["active_chats"],
        declared["stop_contact_tps"],
        *declared["cloudwatch"].values(),
    ]
    assert all("error" in entry and "value" not in entry and entry["source"] for entry in entries)
