"""A search that is answered without end: cleanup gives it up."""

import contextlib
from collections.abc import Callable

import pytest

from harness.connect.signing import Credentials
from harness.connect.target import Target
from harness.load.cleanup.reading import read_open_chats
from harness.load.cleanup.search import SearchFailed, find_chats
from tests.support.scripted_server import Peer, Script, answer, answering, serving

PIECE = b" "


def trickle(head: bytes) -> Script:
    """Send a piece, and one more whenever the test lets some time pass, until the client or the test has gone."""

    def script(peer: Peer) -> None:
        if peer.request():
            peer.send(head)
            with contextlib.suppress(OSError):
                for _ in range(400):
                    if peer.server.over.wait(0.05):
                        break
                    peer.send(PIECE)

    return script


ENDLESS = {
    "head": trickle(b"HTTP/1.1 200 OK\r\nX:"),
    "body": trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n{"),
    "chunks": trickle(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n"),
}


@pytest.mark.parametrize("endless", ENDLESS)
@pytest.mark.parametrize("search", [find_chats, read_open_chats])
def test_an_answer_that_trickles_without_end_is_given_up(search: Callable[..., object], endless: str) -> None:
    """Each read is in time, and the whole is not: the search has failed, in one line."""
    with serving(ENDLESS[endless]) as server:
        target = Target(server.url, server.url, "us-east-1", "i", "f", lambda: Credentials("AKID", "secret", None))
        with pytest.raises(SearchFailed, match=r"no answer that can be read \(ReadTimeoutError\)"):
            search(target, "run", None, timeout=0.3)


def test_what_is_answered_and_refused_is_as_without_a_bound() -> None:
    """Answers and errors of the service go through."""
    with serving(answering(answer(200, b'{"Contacts": [{"Id": "c-1"}]}'))) as server:
        target = Target(server.url, server.url, "us-east-1", "i", "f", lambda: Credentials("AKID", "secret", None))
        assert find_chats(target, "run", None, timeout=5.0).open == {"c-1": 0.0}
    with serving(answering(answer(403, b"{}", "x-amzn-ErrorType: X"))) as server:
        target = Target(server.url, server.url, "us-east-1", "i", "f", lambda: Credentials("AKID", "secret", None))
        with pytest.raises(SearchFailed, match="SearchContacts is refused"):
            find_chats(target, "run", None, timeout=5.0)
