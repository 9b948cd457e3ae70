"""Files that participants send: announced, uploaded to an address, completed, and then to be had for a while."""

from collections.abc import Callable

from harness.emulator.service.chats import Chat
from harness.emulator.service.items import Attachment, Participant
from harness.emulator.service.members import Members
from harness.emulator.settings import documented


class Attachments:
    """The files of all chats; each is kept with its chat."""

    def __init__(self, new_id: Callable[[], str], new_secret: Callable[[], str]) -> None:
        self._new_id, self._new_secret = new_id, new_secret
        self._readable: dict[str, tuple[Attachment, float]] = {}

    def announce(self, now: float, chat: Chat, request: Members, who: Participant | None) -> Attachment:
        """Return a file that somebody is going to upload."""
        attachment = Attachment(
            self._new_id(),
            request["AttachmentName"],
            request["ContentType"],
            request["AttachmentSizeInBytes"],
            who,
            self._new_secret(),
            now + documented.UPLOAD_URL_LIFETIME,
        )
        if chat.attachments is None:
            chat.attachments = {}
        chat.attachments[attachment.id] = attachment
        return attachment

    def upload(self, now: float, chat: Chat, attachment_id: str, secret: str, body: bytes) -> bool:
        """Store what was uploaded; False for an address that is not valid, or a file of another size."""
        attachment = (chat.attachments or {}).get(attachment_id)
        if attachment is None or attachment.upload_secret != secret or attachment.upload_until < now:
            return False
        if attachment.complete or len(body) != attachment.size:
            return False
        attachment.body = body
        return True

    def open(self, now: float, attachment: Attachment, seconds: float) -> str:
        """Return a secret with which `attachment` can be read for `seconds`."""
        for secret in [secret for secret, (_, until) in self._readable.items() if until < now]:
            del self._readable[secret]
        secret = self._new_secret()
        self._readable[secret] = attachment, now + seconds
        return secret

    def read(self, now: float, attachment_id: str, secret: str) -> Attachment | None:
        """Return the file that `secret` still opens."""
        attachment, until = self._readable.get(secret, (None, 0.0))
        if attachment is None or until < now or attachment.id != attachment_id:
            return None
        return attachment
