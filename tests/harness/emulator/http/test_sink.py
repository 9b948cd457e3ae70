"""Where streaming chats are posted to: a sink that fails now and then gets all that comes later."""

import socket

from harness.emulator.http.sink import Sink
from harness.emulator.settings.parse import parse_settings
from tests.harness.emulator.support import Lab


def test_sink_that_answers_nonsense_gets_what_comes_later() -> None:
    """An answer that is not HTTP loses one item, not those after it."""
    lab, sink = Lab(), Sink()
    contact, _ = lab.connected()
    chat = lab.state.chats.by_id[contact]
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        settings = parse_settings(f"stream_to=http://127.0.0.1:{server.getsockname()[1]}/")
        bodies = []
        for text in ("first", "second"):
            item = lab.state.conversations.say(0.0, chat, "text/plain", text)
            sink.publish(settings, "arn:aws:sns:us-east-1:000000000000:topic", chat, item)
        for answer in (b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"):
            connection, _ = server.accept()
            with connection:
                connection.settimeout(10)
                body = b""
                while not body.endswith(b"}}}"):
                    body += connection.recv(65536)
                bodies.append(body)
                connection.sendall(answer)
    assert [text in body for text, body in zip((b"first", b"second"), bodies, strict=True)] == [True, True]
