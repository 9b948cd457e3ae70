"""Run by test_patched.py in a process of its own: the connection layer under gevent's monkey patching, as under Locust."""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import sys  # noqa: E402

import gevent  # noqa: E402

from harness.connect.signing import Credentials  # noqa: E402
from harness.connect.target import Target  # noqa: E402


def credentials() -> Credentials:
    """Any will do."""
    return Credentials("AKID", "secret")


def main() -> None:
    """Call each endpoint given on the command line ten times at once; print the outcomes and what else could run."""
    bundle, *endpoints = sys.argv[1:]
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            gevent.sleep(0.001)

    gevent.spawn(tick)
    said = []
    for endpoint in endpoints:
        client = Target(endpoint, endpoint, "us-east-1", "i", "f", credentials, ca_bundle=bundle).client("test", 1.0)
        calls = [gevent.spawn(client.start_chat, b"{}") for _ in range(10)]
        gevent.joinall(calls, timeout=20)
        said.append(sorted({call.value.outcome for call in calls}))
    print(json.dumps({"outcomes": said, "others_ran": ticks > 10}))


if __name__ == "__main__":
    main()
