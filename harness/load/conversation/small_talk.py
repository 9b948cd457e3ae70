"""What customers say where no script tells them: something in each content type that a customer may send."""

import random
from functools import lru_cache

from harness.load.workload.scripts import Words

_TEXTS = {
    "text/plain": ("Hello!", "I have a question about my order.", "It was due on Friday.", "Thank you."),
    "text/markdown": (
        "My order is **late**.",
        "See [the order](https://shop.example/orders/4711), please.",
        "I tried:\n\n- signing in\n- a new password",
        "1. chose the seat\n2. *paid*",
    ),
    "application/json": ('{"order":4711,"question":"where is it?"}',),
    "application/vnd.amazonaws.connect.message.interactive.response": (
        '{"templateType":"QuickReply","version":"1.0","data":{"content":{"title":"Where is it?"}}}',
    ),
}


def small_talk(declared: str | None, number: int, rng: random.Random) -> Words:
    """Return the customer's message `number`, in the next of the content types that the chat declares."""
    sendable = _sendable(declared)
    content_type = sendable[number % len(sendable)]
    texts = _TEXTS[content_type]
    return Words(content_type, texts[int(rng.random() * len(texts))])


@lru_cache(1024)
def _sendable(declared: str | None) -> tuple[str, ...]:
    """Return the declared content types that a customer may send, in their order; text/plain where none was declared."""
    names = (declared or "text/plain").split(",")
    return tuple(name for name in names if name in _TEXTS) or ("text/plain",)
