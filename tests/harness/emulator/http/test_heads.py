"""Calls that are known again without the HTTP parser: they are read and answered as the parser would have them."""

import asyncio
import json
import re

import httptools
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from harness.emulator.api.responses import Headers
from harness.emulator.http.connection.heads import KnownHeads, WholeCall
from harness.emulator.settings.settings import Settings
from tests.harness.emulator.fake_wire import FakeWire, Forgetful
from tests.harness.emulator.http.test_malformed import signed

DEFAULTS = Settings()
WHERE = {
    name: getattr(DEFAULTS, name)
    for name in ("instance_id", "contact_flow_id", "access_key_id", "secret_access_key", "region")
}
BODY = json.dumps(
    {
        "InstanceId": WHERE["instance_id"],
        "ContactFlowId": WHERE["contact_flow_id"],
        "ParticipantDetails": {"DisplayName": "Customer"},
    }
).encode()
CALLS = (
    signed(WHERE, "PUT", "/contact/chat", BODY),
    signed(WHERE, "POST", "/contact/stop", json.dumps({"InstanceId": WHERE["instance_id"], "ContactId": "a"}).encode()),
    b"POST /participant/message HTTP/1.1\r\nhost: a\r\nConnection: keep-alive\r\ncontent-length: 2\r\n\r\n{}",
)
LINES = (
    "Connection: close", "Connection: keep-alive", "connection: Keep-Alive, upgrade", "Connection:keep-alive",
    "Proxy-Connection: close", "Upgrade: websocket", "Upgrade: h2c", "Expect: 100-continue", "Host: b", "Host:",
    "Transfer-Encoding: chunked", "Content-Length: 2", "Content-Length: 0", "Content-Length: 400", "X: a  b", "X: a ",
    "X:\ta", "X: \x00", "X: \x7f", "X: \xe9", "X", "X y: z", ": z", " folded", "Content-Type: text/plain", "X: a:b",
    "X-Amz-Date: 20200101T000000Z", "Authorization: none",
)  # fmt: skip


@st.composite
def changed(draw: st.DrawFn, call: bytes) -> bytes:
    """Return `call` with some bytes or lines changed, and perhaps with something behind it."""
    head, _, body = call.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    how = draw(st.sampled_from(["not", "line", "gone", "case", "length", "value", "byte", "cut", "behind", "version"]))
    if how == "line":
        lines.insert(draw(st.integers(1, len(lines))), draw(st.sampled_from(LINES)).encode("latin-1"))
    elif how == "gone":
        del lines[draw(st.integers(0, len(lines) - 1))]
    elif how == "case":
        place = draw(st.integers(0, len(lines) - 1))
        lines[place] = draw(st.sampled_from([bytes.upper, bytes.lower]))(lines[place])
    elif how == "length":
        text = draw(st.sampled_from(["{0}", "00{0}", "+{0}", "{0:x}", "{0} ", " {0}", "", "{0}, {0}", "9{0}"]))
        length = text.format(len(body) + draw(st.integers(-2, 2))).encode()
        lines = [re.sub(rb"(?i)^(content-length: ).*", rb"\g<1>" + length, line) for line in lines]
    elif how == "value":
        place = draw(st.integers(1, len(lines) - 1))
        lines[place] = lines[place].partition(b":")[0] + b": " + draw(st.binary(max_size=4))
    elif how == "version":
        lines[0] = lines[0].replace(b"1.1", draw(st.sampled_from([b"1.0", b"2.0", b"1.2"])))
    call = b"\r\n".join(lines) + b"\r\n\r\n" + body
    if how == "byte":
        place = draw(st.integers(0, len(call) - 1))
        call = call[:place] + draw(st.binary(max_size=2)) + call[place + draw(st.integers(0, 2)) :]
    elif how == "cut":
        call = call[: draw(st.integers(0, len(call)))]
    elif how == "behind":
        call += draw(st.sampled_from([b"\r\n", b"\n", b"x", b"POST", call]))
    return call


class Reader:
    """What httptools reads in one piece of data."""

    def __init__(self, data: bytes) -> None:
        self.path, self.headers, self.body = b"", list[tuple[bytes, bytes]](), b""
        self.begun = self.done = 0
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_url(self, url: bytes) -> None:
        self.path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.done += 1


def parsed(data: bytes) -> tuple[str, bytes, Headers, bytes] | None:
    """Method, path, headers and body of the one call that `data` is, after which its connection is kept."""
    try:
        reader = Reader(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    parser = reader.parser
    kept = parser.should_keep_alive() and parser.get_http_version() == "1.1"
    if (reader.begun, reader.done) != (1, 1) or not kept:
        return None
    return parser.get_method().decode(), reader.path, reader.headers, reader.body


def as_read(data: bytes) -> WholeCall | None:
    """What is to be read of `data` without the parser."""
    call = parsed(data)
    if call is None or len(dict(call[2])) < len(call[2]):
        return None
    return call[0], call[1], dict(call[2]), call[3]


@hypothesis_settings(deadline=None, max_examples=150)
@given(st.data())
def test_what_is_known_again_is_read_as_the_parser_reads_it(data: st.DataObject) -> None:
    """Whatever was learned from calls that the parser has read, no call is read otherwise than by the parser."""
    base = data.draw(st.sampled_from(CALLS))
    heads = KnownHeads()
    for call in (base, data.draw(changed(base))):
        read = parsed(call)
        if read is not None:
            heads.learn(call, *read[:3])
    for _ in range(5):
        call = data.draw(changed(base))
        known = heads.read(call)
        if known is not None:
            assert known == as_read(call)


@pytest.mark.parametrize("call", CALLS)
def test_a_call_like_one_before_needs_no_parser(call: bytes) -> None:
    """Another body, date and signature make no call unknown; what was never learned is."""
    heads = KnownHeads()
    assert heads.read(call) is None
    read = parsed(call)
    assert read is not None
    heads.learn(call, *read[:3])
    other = re.sub(rb"(?i)(content-length: )\d+(.*\r\n\r\n).*", rb"\g<1>7\2{'a':1}", call, flags=re.DOTALL)
    other = re.sub(rb"Signature=[0-9a-f]{64}", b"Signature=" + b"0" * 64, other)
    assert heads.read(other) == as_read(other)
    assert heads.read(other) is not None
    assert heads.read(other + b"\r\n") is None


def test_few_layouts_are_kept() -> None:
    """A client that names its headers anew in each call fills no memory, and layouts known before stay known."""
    heads = KnownHeads()
    calls = [CALLS[2].replace(b"host: a", b"host: a\r\nx-%d: 1" % number) for number in range(20)]
    for call in calls:
        read = parsed(call)
        assert read is not None
        heads.learn(call, *read[:3])
    assert [heads.read(call) is not None for call in calls] == [True] * 8 + [False] * 12


@hypothesis_settings(deadline=None, max_examples=50)
@given(
    steps=st.lists(
        st.sampled_from(CALLS).flatmap(lambda call: st.tuples(changed(call), st.integers(0, 700))), max_size=6
    ),
    spec=st.sampled_from(["clock_skew=30d", "sigv4=off", "sigv4=off,rate=0.001,burst=1,max_body=200"]),
)
@example(steps=[(CALLS[0], 0), (CALLS[0], 0), (CALLS[0], 0)], spec="clock_skew=30d")
def test_an_emulator_that_knows_calls_again_answers_like_one_that_does_not(
    steps: list[tuple[bytes, int]], spec: str
) -> None:
    """Byte by byte, and closing the same connections, whatever comes in whichever pieces."""
    answered_alike(spec, [*((call, 0) for call in CALLS), *steps])


@pytest.mark.parametrize(
    ("before", "then"),
    [
        ("Connection: keep-alive", "Connection: close"),
        ("Connection: keep-alive", "Connection: upgrade"),
        ("Connection: Keep-Alive", "Connection: keep-alive, close"),
        ("Proxy-Connection: keep-alive", "Proxy-Connection: close"),
        ("Expect: nothing", "Expect: 100-continue"),
        ("Transfer-Encoding: identity", "Transfer-Encoding: chunked"),
        ("Connection: keep-alive\r\nUpgrade: h2c", "Connection: upgrade\r\nUpgrade: h2c"),
        ("Connection: keep-alive\r\nUpgrade: h2c", "Connection: upgrade\r\nUpgrade: websocket"),
    ],
)
def test_what_is_to_be_acted_on_is_acted_on(before: str, then: str) -> None:
    """A header that decides what becomes of the connection does so after calls like this in which it did not."""
    first, last = (CALLS[0].replace(b"\r\nHost", f"\r\n{lines}\r\nHost".encode(), 1) for lines in (before, then))
    answered_alike("sigv4=off", [(first, 0), (first, 0), (last, 0), (first, 0)])


def answered_alike(spec: str, steps: list[tuple[bytes, int]]) -> None:
    """Two emulators, of which one knows calls again, answer data alike that each come in two pieces."""

    async def heard(wire: FakeWire) -> list[tuple[bytes, bool]]:
        answers = []
        protocol, transport = wire.connect()
        for data, cut in steps:
            for piece in filter(None, (data[:cut], data[cut:])):
                if not transport.closed:
                    protocol.data_received(piece)
                for _ in range(6):  # turns in which the ASGI application and the outbox do what they have to
                    await asyncio.sleep(0)
            answers.append((transport.sent, transport.closed))
            if transport.closed:
                protocol.connection_lost(None)
                protocol, transport = wire.connect()
        return answers

    async def main() -> None:
        knowing, forgetful = FakeWire(spec), FakeWire(spec, Forgetful)
        assert await heard(knowing) == await heard(forgetful)
        assert knowing.control.api.counts == forgetful.control.api.counts

    asyncio.run(main())
