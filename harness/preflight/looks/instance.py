"""Whether the instance and the contact flow are there and fit for chats, and what a chat in that flow costs."""

from __future__ import annotations

from collections.abc import Iterator

from botocore.exceptions import ClientError

from harness.preflight.looks.flow import flow_sentence, read_flow
from harness.preflight.model.asking import Account, ask, code_of
from harness.preflight.model.rows import Row

_CHAT_FLOWS = frozenset({"CONTACT_FLOW"})
"""Types of flows that StartChatContact may name
(https://docs.aws.amazon.com/connect/latest/APIReference/API_StartChatContact.html: "must be of the inbound type")."""
_BY_ALIAS, _BY_TEST_ALIAS = 50, 2
"""Text conversations at once of an alias (https://docs.aws.amazon.com/lexv2/latest/dg/quotas.html)."""
_MISSING = frozenset({"ResourceNotFoundException", "InvalidParameterException", "InvalidRequestException"})


def check_instance(account: Account) -> Iterator[Row]:
    """Yield the row on the instance."""
    client = account.connect
    try:
        answer = ask("connect:DescribeInstance", lambda: client.describe_instance(InstanceId=account.instance_id))
    except ClientError as error:
        yield _refused(
            "instance",
            error,
            f"no instance {account.instance_id} in {account.region}; check --instance-id and --region",
        )
        return
    found = answer.get("Instance", {})
    status, alias = found.get("InstanceStatus", ""), found.get("InstanceAlias") or account.instance_id
    if status == "ACTIVE":
        yield Row(check="instance", state="ok", text=f"{alias} is active")
    else:
        yield Row(
            check="instance",
            state="stop",
            text=f"{alias} is {status or 'of unknown status'}, not active; wait, or check --instance-id",
        )


def check_flow(account: Account) -> Iterator[Row]:
    """Yield the rows on the contact flow and on what it does."""
    client = account.connect
    try:
        answer = ask(
            "connect:DescribeContactFlow",
            lambda: client.describe_contact_flow(InstanceId=account.instance_id, ContactFlowId=account.contact_flow_id),
        )
    except ClientError as error:
        if code_of(error) == "ContactFlowNotPublishedException":
            yield Row(
                check="flow",
                state="stop",
                text="the flow is not published; publish it, or name another by --contact-flow-id",
            )
        else:
            yield _refused("flow", error, f"no flow {account.contact_flow_id} in the instance; check --contact-flow-id")
        return
    flow = answer.get("ContactFlow", {})
    name = flow.get("Name") or account.contact_flow_id
    for fits, trouble in (
        (flow.get("Status", "PUBLISHED") == "PUBLISHED", "is saved but not published; publish it"),
        (flow.get("State", "ACTIVE") == "ACTIVE", "is archived; restore it"),
        (
            flow.get("Type", "CONTACT_FLOW") in _CHAT_FLOWS,
            f"is of type {flow.get('Type')}; chats start in an inbound flow",
        ),
    ):
        if not fits:
            yield Row(check="flow", state="stop", text=f"{name!r} {trouble}, or name another by --contact-flow-id")
            return
    yield Row(check="flow", state="ok", text=f"{name!r} is published, active and inbound")
    yield from _content(str(flow.get("Content", "")))


def _content(text: str) -> Iterator[Row]:
    try:
        content = read_flow(text)
    except ValueError as error:
        yield Row(check="flow content", state="not_known", text=str(error))
        return
    costly = content.lex_bots or content.lambdas or content.queues or content.messages or content.elsewhere
    yield Row(check="flow content", state="note" if costly else "ok", text=flow_sentence(content))
    for bot in content.bots:
        served = f"serves {_BY_TEST_ALIAS if bot.is_for_tests else _BY_ALIAS} conversations at once"
        kind = "the test alias" if bot.is_for_tests else f"alias {bot.alias}"
        remedy = "; let the flow use another alias" if bot.is_for_tests else ", which may bind before the chats do"
        yield Row(check=f"Lex bot {bot.bot}", state="note", text=f"{kind} {served} unless raised{remedy}")
    for function in content.functions:
        text = "its own and the account's concurrent executions bound it; the report counts its throttles"
        yield Row(check=f"Lambda function {function}", state="note", text=text)


def _refused(check: str, error: ClientError, missing: str) -> Row:
    code = code_of(error)
    if code in _MISSING:
        return Row(check=check, state="stop", text=missing)
    return Row(check=check, state="not_known", text=f"Amazon Connect answered {code}")
