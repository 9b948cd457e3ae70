"""Finds a run's chats by the attribute that each carries, for starts without an answer and where no ledger survived.

SearchContacts finds a chat by an attribute only where that attribute is searchable for the instance, and some minutes after
its start (https://docs.aws.amazon.com/connect/latest/adminguide/search-custom-attributes.html).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from harness.connect.contract import RUN_ATTRIBUTE
from harness.connect.outcome import classify
from harness.connect.target import Target
from harness.load.cleanup.patience import patient_client
from harness.recording.format.ledger import LONGEST_ID
from harness.recording.redact import redact_field
from harness.vocabulary import TPS_THROTTLED, UNCLASSIFIED_429

LONGEST_SPAN = timedelta(weeks=8)
"""SearchContacts looks at no longer time."""
_MARGIN = timedelta(minutes=10)  # clocks differ
_PAGE = 100
_MOST_PAGES = 10_000
_ATTEMPTS = 12
_PAUSE = 2.1  # seconds after a throttle; SearchContacts allows a call every two seconds


class SearchFailed(Exception):
    """The search was refused. Its text says why, and what to do; `code` is the service's, "" without one."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


@dataclass
class Found:
    """Chats of a run: contact ids with the unix time of their start; those that have ended are in `ended`."""

    open: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)


def find_chats(
    target: Target, run_id: str, since: float | None, until: float | None = None, timeout: float | None = None
) -> Found:
    """Return the chats of a run that were started between two unix times (None: eight weeks ago, now).

    `timeout` in seconds bounds each part of a call, twice as much all of it. Raises SearchFailed.
    """
    end = datetime.fromtimestamp(until, UTC) if until is not None else datetime.now(UTC)
    earliest = end - LONGEST_SPAN + timedelta(hours=1)
    start = earliest
    if since is not None and earliest.timestamp() < since < end.timestamp():
        start = datetime.fromtimestamp(since, UTC) - _MARGIN
    request: dict[str, Any] = {
        "InstanceId": target.instance_id,
        "TimeRange": {"Type": "INITIATION_TIMESTAMP", "StartTime": start, "EndTime": end + _MARGIN},
        "SearchCriteria": {
            "Channels": ["CHAT"],
            "SearchableContactAttributes": {
                "Criteria": [{"Key": RUN_ATTRIBUTE, "Values": [run_id]}],
                "MatchType": "MATCH_ALL",
            },
        },
        "MaxResults": _PAGE,
    }
    try:
        client = patient_client(target, timeout)
    except (BotoCoreError, ValueError) as error:
        raise SearchFailed(f"SearchContacts cannot be called ({error}); give --region") from error
    found = Found()
    for _ in range(_MOST_PAGES):
        answer = ask_for_page(client, request)
        for contact in answer.get("Contacts", []):
            _add(contact, found)
        if not answer.get("NextToken"):
            return found
        request["NextToken"] = answer["NextToken"]
    raise SearchFailed(f"SearchContacts still has more after {_MOST_PAGES:,} pages; it is not asked any further")


def _add(contact: dict[str, Any], found: Found) -> None:
    contact_id, begun = contact.get("Id"), contact.get("InitiationTimestamp")
    if isinstance(contact_id, str) and 0 < len(contact_id) <= LONGEST_ID:
        at = begun.timestamp() if isinstance(begun, datetime) else 0.0
        (found.ended if contact.get("DisconnectTimestamp") else found.open)[contact_id] = at


def ask_for_page(client: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a SearchContacts request. Raises SearchFailed."""
    advice = f"allow connect:SearchContacts, make the attribute {RUN_ATTRIBUTE} searchable for the instance"
    return ask_patiently("SearchContacts", lambda: client.search_contacts(**request), advice)


def ask_patiently(operation: str, call: Callable[[], dict[str, Any]], advice: str) -> dict[str, Any]:
    """Return the answer to `call`, made again after a pause where it is throttled. Raises SearchFailed with the `advice`."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return call()
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            throttled = classify(operation, status, code) in (TPS_THROTTLED, UNCLASSIFIED_429)
            if not throttled or attempt == _ATTEMPTS:
                shown = redact_field(str(code or status))
                raise SearchFailed(f"{operation} is refused ({shown}); {advice}, and run this again", code) from error
            time.sleep(_PAUSE)
        except Exception as error:  # an answer may be of any form, and botocore's parser raises as many kinds of error
            raise SearchFailed(f"{operation} got no answer that can be read ({type(error).__name__})") from error
    raise AssertionError("unreachable")
