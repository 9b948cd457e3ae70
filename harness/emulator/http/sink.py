"""Posts what streaming chats say to an HTTP address, in the form in which Amazon SNS posts it to its subscribers.

Source: Amazon Connect administrator guide, "Enable real-time chat message streaming"; Amazon SNS, "HTTP/HTTPS
notification JSON format". There is no signature, as the emulator has no key of AWS.
"""

import http.client
import queue
import sys
import threading
import urllib.request
from uuid import uuid4

import msgspec
import orjson

from harness.emulator.service.chats import Chat
from harness.emulator.service.items import Item
from harness.emulator.settings.settings import Settings

_WAITING = 10_000
_PATIENCE = 10.0


class Sink:
    """A thread that posts one item after the other, in their order; what does not arrive is told on standard error."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[tuple[str, str, bytes]] = queue.Queue(_WAITING)
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._thread: threading.Thread | None = None

    def publish(self, settings: Settings, topic: str, chat: Chat, item: Item) -> None:
        """Post `item` to the address of the settings; without one nothing happens."""
        if not settings.stream_to:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._post_all, name="stream", daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait((settings.stream_to, topic, notification(settings, topic, chat, item)))
        except queue.Full:
            print("chatquota emulator: stream_to is too slow; an item is lost", file=sys.stderr)

    def _post_all(self) -> None:
        while True:
            url, topic, body = self._waiting.get()
            headers = {
                "Content-Type": "text/plain; charset=UTF-8",
                "x-amz-sns-message-type": "Notification",
                "x-amz-sns-topic-arn": topic,
            }
            try:
                with self._opener.open(urllib.request.Request(url, body, headers), timeout=_PATIENCE):
                    pass
            except (OSError, http.client.HTTPException, ValueError) as problem:
                print(f"chatquota emulator: stream_to={url}: {problem}", file=sys.stderr)


def notification(settings: Settings, topic: str, chat: Chat, item: Item) -> bytes:
    """One notification of SNS about `item`."""
    attributes = {
        "AccountId": settings.account_id,
        "InstanceId": chat.instance,
        "InitialContactId": chat.contact_id,
        "ContactId": chat.contact_id,
        "Type": item.type,
        "ContentType": item.content_type,
        "ParticipantRole": item.participant_role or "SYSTEM",
        "MessageVisibility": "ALL",
    }
    return orjson.dumps(
        {
            "Type": "Notification",
            "MessageId": str(uuid4()),
            "TopicArn": topic,
            "Message": msgspec.json.encode(item).decode(),
            "Timestamp": item.absolute_time,
            "MessageAttributes": {name: {"Type": "String", "Value": value} for name, value in attributes.items()},
        }
    )
