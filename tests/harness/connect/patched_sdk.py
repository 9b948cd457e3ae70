"""Run by test_patched.py in a process of its own: boto3 with its retries, under gevent's monkey patching as under Locust."""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import sys  # noqa: E402

import gevent  # noqa: E402

from harness.connect.signing import Credentials  # noqa: E402
from harness.connect.target import Target  # noqa: E402
from harness.load.session.sdk_retries import RetryingSdk  # noqa: E402

BODY = b'{"InstanceId": "i", "ContactFlowId": "f", "ParticipantDetails": {"DisplayName": "d"}, "ClientToken": "t"}'


def main() -> None:
    """Call each endpoint given on the command line, all at once; print the outcomes of each call's attempts."""
    calls = []
    for endpoint in sys.argv[1:]:
        target = Target(endpoint, endpoint, "us-east-1", "i", "f", lambda: Credentials("AKID", "secret"))
        calls.append(gevent.spawn(RetryingSdk(target, "standard", 0.5, 10).call, BODY))
    gevent.joinall(calls, timeout=15)
    print(json.dumps([[reply.outcome for reply in call.value] for call in calls]))


if __name__ == "__main__":
    main()
