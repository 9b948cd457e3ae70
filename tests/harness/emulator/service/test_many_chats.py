"""What very many chats cost beside the calls that start them."""

import gc

from tests.harness.emulator.support import Lab


def test_open_chats_are_nothing_to_the_garbage_collector() -> None:
    """It looks at no part of a chat with which nothing was done, so that a hundred thousand of them hold nobody up."""
    lab = Lab("rate=inf,active_chats=1000000")
    body = lab.request(Attributes={"language": "en"}, SupportedMessagingContentTypes=["text/plain"])
    lab.call("PUT", "/contact/chat", body)
    gc.collect()
    before = len(gc.get_objects())
    for number in range(2000):
        assert lab.call("PUT", "/contact/chat", {**body, "ClientToken": str(number)}).status == 200
    gc.collect()
    assert len(gc.get_objects()) - before < 200
    assert lab.state.chats.live == 2001
