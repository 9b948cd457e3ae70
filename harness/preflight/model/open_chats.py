"""How an instance is asked for its open chats: by SearchContacts, without any attribute that it must have made searchable.

SearchContacts finds a contact by one of its attributes only where that attribute is made searchable for the instance
(https://docs.aws.amazon.com/connect/latest/adminguide/search-custom-attributes.html), and does not show attributes in what
it found. Open chats are few beside all chats, so they are listed, and GetContactAttributes tells whose they are.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from harness.connect.contract import LONGEST_CHAT

if TYPE_CHECKING:
    from types_boto3_connect.type_defs import SearchContactsRequestTypeDef

_MARGIN = 600.0
"""Seconds by which clocks may differ."""
PAGE = 100
"""The most contacts that SearchContacts shows at once."""


def open_chats_request(instance_id: str, now: float, since: float | None = None) -> SearchContactsRequestTypeDef:
    """Return the request for chats that were started by the API and have not ended, oldest first.

    `since` and `now` are unix seconds and bound the start; without `since`, as long ago as a chat can last.
    """
    earliest = now - LONGEST_CHAT
    begin = max(earliest, since) if since is not None and since < now else earliest
    return {
        "InstanceId": instance_id,
        "TimeRange": {
            "Type": "INITIATION_TIMESTAMP",
            "StartTime": datetime.fromtimestamp(begin - _MARGIN, UTC),
            "EndTime": datetime.fromtimestamp(now + _MARGIN, UTC),
        },
        "SearchCriteria": {
            "Channels": ["CHAT"],
            "InitiationMethods": ["API"],
            "AdditionalTimeRange": {
                "Criteria": [{"TimestampCondition": {"Type": "DISCONNECT_TIMESTAMP", "ConditionType": "NOT_EXISTS"}}],
                "MatchType": "MATCH_ALL",
            },
        },
        "MaxResults": PAGE,
        "Sort": {"FieldName": "INITIATION_TIMESTAMP", "Order": "ASCENDING"},
    }
