"""The chats that the rivals start: parameters of boto3's start_chat_contact, about as large as the built-in workload's."""

import random
from typing import Any

_WORDS = (
    "order",
    "parcel",
    "refund",
    "invoice",
    "address",
    "delivery",
    "payment",
    "account",
    "voucher",
    "return",
    "size",
)


def draw(rng: random.Random) -> dict[str, Any]:
    """The parameters of one chat: 4 to 10 attributes, a message, content types, a duration."""
    return {
        "InstanceId": "11111111-1111-4111-8111-111111111111",
        "ContactFlowId": "22222222-2222-4222-8222-222222222222",
        "ParticipantDetails": {"DisplayName": rng.choice(["Ana Souza", "Ben Carter", "Grace Lim"])},
        "Attributes": {f"key_{n}": " ".join(rng.choices(_WORDS, k=8)) for n in range(rng.randint(4, 10))},
        "InitialMessage": {
            "ContentType": "text/markdown",
            "Content": "My order is **late**. It was *promised* for Friday.",
        },
        "SupportedMessagingContentTypes": ["text/plain", "text/markdown"],
        "ChatDurationInMinutes": rng.choice([60, 240, 1500]),
    }
