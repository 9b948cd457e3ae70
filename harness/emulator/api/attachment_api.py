"""The operations of the Participant Service on attachments.

Sources: API reference of the Participant Service; Amazon Connect feature specifications (types, 20 MB a file, 35 files a
chat).
"""

from harness.emulator.api.responses import Refused, Response, success
from harness.emulator.service.chats import Chat
from harness.emulator.service.clock import iso8601
from harness.emulator.service.items import Attachment, Participant
from harness.emulator.service.members import Members
from harness.emulator.service.state import State
from harness.emulator.settings import documented

_READABLE = 300


class AttachmentApi:
    """Handlers: `(now, parameters, chat, who) -> Response`; a `who` of None is the customer who started the chat."""

    def __init__(self, state: State) -> None:
        self.state = state

    def start_upload(self, now: float, parameters: Members, chat: Chat, who: Participant | None) -> Response:
        """StartAttachmentUpload: where the file is to be put, and with which headers."""
        known = chat.sent.get(token := f"upload {parameters['ClientToken']}")
        if known is not None:
            return success(known)
        if parameters["AttachmentSizeInBytes"] > documented.ATTACHMENT_FILE_BYTES:
            raise Refused("ValidationException", f"An attachment has at most {documented.ATTACHMENT_FILE_BYTES} bytes.")
        suffix = parameters["AttachmentName"].rpartition(".")[2].lower()
        if suffix not in documented.ATTACHMENT_SUFFIXES or parameters["ContentType"].count("/") != 1:
            allowed = ", ".join(sorted(documented.ATTACHMENT_SUFFIXES))
            raise Refused(
                "ValidationException", f"The type of the attachment is not supported; it is one of {allowed}."
            )
        if len(chat.attachments or {}) >= documented.ATTACHMENTS_PER_CHAT:
            raise Refused(
                "ServiceQuotaExceededException", f"A chat has at most {documented.ATTACHMENTS_PER_CHAT} attachments."
            )
        attachment = self.state.attachments.announce(now, chat, parameters, who)
        chat.sent[token] = {
            "AttachmentId": attachment.id,
            "UploadMetadata": {
                "Url": self._url(chat, attachment, attachment.upload_secret),
                "UrlExpiry": iso8601(self.state.clock.unix(attachment.upload_until)),
                "HeadersToInclude": {
                    "Content-Type": attachment.content_type,
                    "Content-Length": str(attachment.size),
                },
            },
        }
        return success(chat.sent[token])

    def complete_upload(self, now: float, parameters: Members, chat: Chat, who: Participant | None) -> Response:
        """CompleteAttachmentUpload: the file becomes an item of the chat."""
        attachment = self._find(chat, parameters["AttachmentIds"][0])
        if attachment.body is None:
            raise Refused("ConflictException", "The attachment has not been uploaded to its address.")
        if not attachment.complete:
            attachment.complete = True
            self.state.attached(now, chat, attachment, who)
        return success({})

    def get_attachment(self, now: float, parameters: Members, chat: Chat, who: Participant | None) -> Response:
        """GetAttachment: where the file can be read for a while."""
        attachment = self._find(chat, parameters["AttachmentId"])
        if not attachment.complete:
            raise Refused("ValidationException", "The upload of the attachment is not complete.")
        seconds = parameters.get("UrlExpiryInSeconds") or _READABLE
        url = self._url(chat, attachment, self.state.attachments.open(now, attachment, seconds))
        if parameters.get("UrlContentDisposition") == "ATTACHMENT":
            url += "&disposition=attachment"
        expiry = iso8601(self.state.clock.unix(now + seconds))
        return success({"Url": url, "UrlExpiry": expiry, "AttachmentSizeInBytes": attachment.size})

    def _find(self, chat: Chat, attachment_id: str) -> Attachment:
        attachment = (chat.attachments or {}).get(attachment_id)
        if attachment is None:
            raise Refused("ValidationException", "There is no such attachment in this chat.")
        return attachment

    def _url(self, chat: Chat, attachment: Attachment, secret: str) -> str:
        return f"{self.state.http_base}/attachments/{chat.contact_id}/{attachment.id}?secret={secret}"
