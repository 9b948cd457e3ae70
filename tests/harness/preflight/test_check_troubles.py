"""`chatquota check` where the services that it asks throttle, refuse, are slow, hang, or are not the right ones."""

from __future__ import annotations

import pytest

from tests.harness.preflight.conftest import Check
from tests.support.scripted_aws import Refusal, Script, ScriptedAws


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


@pytest.mark.slow
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


@pytest.mark.slow
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
    monkeypatch.setattr("tests.harness.preflight.conftest.SCRIPTED", ())
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
