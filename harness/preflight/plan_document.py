"""The test plan that AWS asks for two weeks ahead of a load test, filled in with all that is known."""

from __future__ import annotations

from collections.abc import Sequence

from harness.preflight.model.asking import Account
from harness.preflight.model.intent import Intent
from harness.preflight.model.rows import Row

MAIL = "Amazon-Connect-Load-Test-Requests@amazon.com"
"""Where AWS wants it (https://docs.aws.amazon.com/connect/latest/adminguide/load-and-penetration-testing.html)."""


def plan_document(account: Account, intent: Intent, rows: Sequence[Row]) -> str:
    """Return the plan as Markdown. What only its sender knows is marked `TO FILL IN`."""
    journey = (
        ", CreateParticipantConnection, SendMessage, DisconnectParticipant"
        if intent.user_class == "ChatConversation"
        else ""
    )
    told = {row.check: row.text for row in rows}
    budget = f"{intent.max_chats:,}" if intent.max_chats else "TO FILL IN (--max-chats)"
    duration = f"{intent.expected_seconds / 60:.0f} minutes" if intent.expected_seconds is not None else "TO FILL IN"
    quotas = "\n".join(
        f"- {row.check.removeprefix('quota ')}: {row.text}" for row in rows if row.check.startswith("quota L-")
    )
    return f"""# Load test plan: Amazon Connect chat

To: {MAIL} (at least two weeks before the test)

## Who
- AWS account: {told.get("account", "TO FILL IN")}
- Emergency contact, reachable during the whole test: {intent.emergency_contact or "TO FILL IN (name, telephone, mail)"}
- Approval reference: {intent.approval or "requested with this plan"}

## What is tested
- Service: Amazon Connect (AWS's pages also say Connect Customer), chat channel, Region {account.region}
- Instance: {account.instance_id}; contact flow: {account.contact_flow_id}
- What the flow does: {told.get("flow content", "TO FILL IN")}
- API operations called: StartChatContact, StopContact{journey}
- Purpose: to measure the API's TPS throttle and the quota of active chats, and which of them is met first

## How much
- Highest rate of chat starts: {intent.rate:g} a second
- Chats started in all: at most {budget}; the generator stops by itself when they are used up
- Synthetic traffic only: no customer data, each chat carries the attribute `loadtest-run`

## When
- Date and start (between 6 PM and 6 AM local time of {account.region}): TO FILL IN
- Duration, the stopping of all chats included: {duration}

## How it is stopped
- Ctrl-C or SIGTERM ends the load and stops every open chat at {intent.stop_rate:g} StopContact calls a second;
  `chatquota cleanup` stops what a crash leaves. The run ends by itself at its time, its budget of chats, and at 6 AM.

## Quotas as AWS declares them
{quotas or "- not known"}

## Others on the instance
- last hour: {told.get("others now", "not known")}
- same hour a week ago: {told.get("others a week ago", "not known")}
"""
