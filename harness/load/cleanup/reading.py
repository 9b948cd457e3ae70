"""Finds a run's open chats without a search by attribute: lists the instance's open chats and reads each one's attributes.

For instances on which `loadtest-run` is not made searchable. Of what it reads it keeps the run's id alone.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError

from harness.connect.contract import RUN_ATTRIBUTE
from harness.connect.target import Target
from harness.counting import counted
from harness.load.cleanup.patience import patient_client
from harness.load.cleanup.search import SearchFailed, ask_for_page, ask_patiently
from harness.load.stopping.pace import Pace
from harness.preflight.model.open_chats import open_chats_request
from harness.recording.format.ledger import LONGEST_ID

MOST_READ = 5_000
_RATE = 8.0
"""GetContactAttributes calls a second, of the 10/s that the account shares with production."""
_GONE = frozenset({"ResourceNotFoundException", "ContactNotFoundException", "InvalidParameterException"})


def read_open_chats(target: Target, run_id: str, since: float | None, timeout: float | None = None) -> dict[str, float]:
    """Return the open chats that carry a run's id, with the unix time of their start; `since` bounds that time.

    Looks at no more than `MOST_READ` open chats, oldest first, and says so. `timeout` in seconds bounds each call. Raises
    SearchFailed.
    """
    try:
        client = patient_client(target, timeout)
    except (BotoCoreError, ValueError) as error:
        raise SearchFailed(f"SearchContacts cannot be called ({error}); give --region") from error
    listed = _open_chats(client, target.instance_id, since)
    print(f"reading {RUN_ATTRIBUTE} of the instance's {counted(len(listed), 'open chat')} one by one")
    pace = Pace(_RATE)
    found = {}
    for contact_id, at in listed.items():
        time.sleep(pace.reserve(time.monotonic()))
        if _run_of(client, target.instance_id, contact_id) == run_id:
            found[contact_id] = at
    return found


def _open_chats(client: Any, instance_id: str, since: float | None) -> dict[str, float]:
    request: dict[str, Any] = {**open_chats_request(instance_id, time.time(), since)}
    found: dict[str, float] = {}
    while True:
        answer = ask_for_page(client, request)
        for contact in answer.get("Contacts", []):
            contact_id, begun = contact.get("Id"), contact.get("InitiationTimestamp")
            if (
                isinstance(contact_id, str)
                and 0 < len(contact_id) <= LONGEST_ID
                and not contact.get("DisconnectTimestamp")
            ):
                found[contact_id] = begun.timestamp() if isinstance(begun, datetime) else 0.0
        if not answer.get("NextToken"):
            return found
        if len(found) >= MOST_READ:
            print(f"more than {counted(MOST_READ, 'chat')} are open; the oldest are looked at")
            return found
        request["NextToken"] = answer["NextToken"]


def _run_of(client: Any, instance_id: str, contact_id: str) -> str:
    """Return the run id that a contact carries, "" without one or where the contact is gone. Raises SearchFailed."""
    advice = f"allow connect:GetContactAttributes, or make {RUN_ATTRIBUTE} searchable for the instance"
    try:
        answer = ask_patiently(
            "GetContactAttributes",
            lambda: client.get_contact_attributes(InstanceId=instance_id, InitialContactId=contact_id),
            advice,
        )
    except SearchFailed as failed:
        if failed.code in _GONE:
            return ""
        raise
    return str((answer.get("Attributes") or {}).get(RUN_ATTRIBUTE, ""))
