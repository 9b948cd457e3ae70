"""Whether the credentials may make each call of the run, as IAM's policy simulator says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from botocore.exceptions import ClientError

from harness.preflight.looks.who import principal_of
from harness.preflight.model.asking import Account, ask, code_of
from harness.preflight.model.rows import NotKnown, Row

NEEDED = ("connect:StartChatContact", "connect:StopContact")
WANTED = {
    "connect:DescribeContact": "why chats ended stays unknown",
    "connect:SearchContacts": "chats of earlier runs, and of starts without an answer, cannot be found",
    "connect:GetContactAttributes": "whose chats are open on the instance stays unknown",
    "servicequotas:GetServiceQuota": "the report cannot hold the quotas against what was measured",
    "cloudwatch:GetMetricData": "the chats of others stay unknown",
    "cloudwatch:ListMetrics": "flow errors, queues and throttles of Lex stay unknown",
    "connect:DescribeContactFlow": "the Lex bots and Lambda functions behind the chats stay unknown",
}


def check_permissions(account: Account) -> Iterator[Row]:
    """Yield a row for each action."""
    try:
        number, arn = principal_of(account)
    except ClientError as error:
        raise NotKnown(f"who calls is not known ({code_of(error)})") from error
    if arn.endswith(":root"):
        yield Row(
            check="permissions",
            state="note",
            text="these are the account's root credentials, which may do everything; use a role",
        )
        return
    resource = f"arn:{arn.split(':')[1]}:connect:{account.region}:{number}:instance/{account.instance_id}"
    allowed = _simulate(account, policy_source(arn), resource)
    for action in (*NEEDED, *WANTED):
        decision = allowed.get(action)
        check = f"permission {action}"
        if decision is None:
            yield Row(check=check, state="not_known", text="the simulator did not say")
        elif decision == "allowed":
            yield Row(check=check, state="ok", text="allowed")
        elif action in NEEDED:
            yield Row(check=check, state="stop", text=f"{_spaced(decision)}; allow it (docs/iam/run.json)")
        else:
            yield Row(check=check, state="note", text=f"{_spaced(decision)}: {WANTED[action]}")


def policy_source(arn: str) -> str:
    """Return the ARN to simulate for a caller: of an assumed role's session the role itself."""
    match = re.fullmatch(r"arn:([\w-]+):sts::(\d+):assumed-role/([^/]+)/.*", arn)
    return f"arn:{match[1]}:iam::{match[2]}:role/{match[3]}" if match else arn


def _simulate(account: Account, source: str, resource: str) -> dict[str, str]:
    client = account.iam
    found: dict[str, str] = {}
    # Each action with the resources it knows: only Connect's are of the instance.
    for actions, resources in (
        ([a for a in (*NEEDED, *WANTED) if a.startswith("connect:")], [resource, f"{resource}/contact/*"]),
        ([a for a in WANTED if not a.startswith("connect:")], ["*"]),
    ):
        try:
            answer = ask(
                "iam:SimulatePrincipalPolicy",
                partial(
                    client.simulate_principal_policy,
                    PolicySourceArn=source,
                    ActionNames=actions,
                    ResourceArns=resources,
                ),
            )
        except ClientError as error:
            raise NotKnown(f"IAM cannot simulate {source} ({code_of(error)})", "iam:SimulatePrincipalPolicy") from error
        for result in answer.get("EvaluationResults", []):
            name, decision = result["EvalActionName"], result["EvalDecision"]
            if found.get(name, "allowed") == "allowed":
                found[name] = decision
    return found


def _spaced(decision: str) -> str:
    return {"implicitDeny": "not allowed by any policy", "explicitDeny": "denied by a policy"}.get(decision, decision)
