"""The quotas that a chat run meets, with their Service Quotas codes and AWS's defaults.

Codes from dumps of the Service Quotas API, defaults from
https://docs.aws.amazon.com/connect/latest/adminguide/amazon-connect-service-limits.html. Participant Service operations and
SearchContacts have no code: a support case raises them, and measuring is the only way to know them.
"""

from __future__ import annotations

from dataclasses import dataclass

SERVICE = "connect"


@dataclass(frozen=True)
class QuotaCode:
    """A quota of Service Quotas: its code, what it limits, and the documented default."""

    code: str
    operation: str
    default: float
    of_instance: bool = False
    """True for a resource-level quota, which is asked with the instance's ARN as its context."""

    @property
    def name(self) -> str:
        """What the quota limits, for a reader."""
        return "concurrent active chats" if self.of_instance else f"{self.operation} calls a second"


START_RATE = QuotaCode("L-AA48CD49", "StartChatContact", 5.0)
ACTIVE_CHATS = QuotaCode("L-D4BA6F6E", "active chats", 500.0, of_instance=True)
STOP_RATE = QuotaCode("L-650BD10F", "StopContact", 10.0)
DESCRIBE_RATE = QuotaCode("L-371095B8", "DescribeContact", 10.0)

CHAT_QUOTAS = (START_RATE, ACTIVE_CHATS, STOP_RATE, DESCRIBE_RATE)
WITHOUT_CODE = (
    "CreateParticipantConnection, SendMessage, SendEvent, GetTranscript, DisconnectParticipant and SearchContacts"
)
