"""A proxy that the environment names sees nothing of a lab run."""

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from harness.connect.target import LAB_CREDENTIALS, Target
from harness.load.session.sdk_retries import RetryingSdk
from tests.support.scripted_server import ScriptedServer, answer, answering, serving

BODY = b'{"InstanceId": "i", "ContactFlowId": "f", "ParticipantDetails": {"DisplayName": "d"}, "ClientToken": "t"}'


def _target(server: ScriptedServer, live: bool = False) -> Target:
    return Target(server.url, server.url, "us-east-1", "i", "f", lambda: LAB_CREDENTIALS, live)


@pytest.mark.parametrize("live", [False, True])
def test_calls_to_this_machine_use_no_proxy(monkeypatch: pytest.MonkeyPatch, live: bool) -> None:
    """Neither the run's own client, nor boto3's with or without its retries, goes through HTTP_PROXY or HTTPS_PROXY."""
    refused = answering(answer(400, b'{"message": "no"}', "x-amzn-ErrorType: InvalidRequestException"))
    with serving(refused) as proxy, serving(refused) as server:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        target = _target(server, live)
        assert target.client("test", 5.0).start_chat(BODY).status == 400
        assert [reply.status for reply in RetryingSdk(target, "standard", 5.0, 1).call(BODY)] == [400]
        with pytest.raises(ClientError):
            target.boto("connect", timeout=5.0, endpoint_url=server.url).describe_contact(InstanceId="i", ContactId="c")
        assert len(server.requests) == 3
        assert proxy.connections == 0


def test_services_of_aws_use_the_proxy_in_a_live_run_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """STS has a name on the network: a live run asks it through the proxy, and a lab run asks no proxy."""
    with serving(answering(answer(400, b"no"))) as proxy, serving(answering(answer(400, b"no"))) as server:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("https_proxy", proxy.url)
        with pytest.raises((BotoCoreError, ClientError)):
            _target(server, live=True).boto("sts", timeout=2.0).get_caller_identity()
        asked = proxy.connections
        assert asked > 0
        with pytest.raises((BotoCoreError, ClientError)):
            _target(server).boto("sts", timeout=2.0).get_caller_identity()
        assert proxy.connections == asked
