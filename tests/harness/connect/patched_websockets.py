"""Run by test_broken_websockets.py in a process of its own: websockets under gevent's monkey patching, as under Locust."""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import sys  # noqa: E402

import gevent  # noqa: E402

from harness.connect.websocket import participant_socket  # noqa: E402
from harness.connect.websocket.participant_socket import ParticipantSocket  # noqa: E402
from harness.connect.websocket.pulse import Pulse  # noqa: E402


def main() -> None:
    """Open and subscribe at each address of the command line, all at once; print the replies and the items heard.

    The first argument is the bundle of certificates to trust.
    """
    participant_socket.SUBSCRIBE_AGAIN_AFTER = 0.05
    bundle, *urls = sys.argv[1:]
    pulse = Pulse()

    def meet(url: str) -> dict[str, object]:
        items: list[object] = []
        lost: list[object] = []
        socket = ParticipantSocket("c-1", lambda item, at: items.append(item), lost.append, pulse, 1.0, bundle)
        replies = [socket.open(url)]
        if replies[0].outcome == "ok":
            replies.append(socket.subscribe())
            gevent.sleep(0.1)
        socket.close()
        said = [(reply.outcome, reply.status, reply.error_code, reply.message) for reply in replies]
        return {"replies": said, "items": len(items), "lost": len(lost)}

    met = [gevent.spawn(meet, url) for url in urls]
    gevent.joinall(met, timeout=30)
    failures = [repr(greenlet.exception) for greenlet in met if not greenlet.successful()]
    print(json.dumps({"met": [greenlet.value for greenlet in met], "failures": failures}))


if __name__ == "__main__":
    main()
