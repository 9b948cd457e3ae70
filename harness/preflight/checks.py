"""All checks in one go, side by side, in bounded time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from botocore.exceptions import ClientError

from harness.preflight.looks.budget import check_budget, check_policy
from harness.preflight.looks.instance import check_flow, check_instance
from harness.preflight.looks.leftovers import check_leftovers
from harness.preflight.looks.others import activity, check_others
from harness.preflight.looks.permissions import check_permissions
from harness.preflight.looks.queues import check_queues
from harness.preflight.looks.quotas import applied_quota, check_quotas
from harness.preflight.looks.reach import check_reach
from harness.preflight.looks.who import check_who
from harness.preflight.model.asking import Account
from harness.preflight.model.codes import ACTIVE_CHATS
from harness.preflight.model.intent import Intent
from harness.preflight.model.rows import Check, NotKnown, Row, collect


@dataclass(frozen=True)
class Surroundings:
    """What else the checks need: the participant endpoint, trusted certificates, run directories, the time."""

    participant_endpoint: str
    ca_bundle: str | None
    runs: Path
    now: Callable[[], float]


def run_checks(account: Account, intent: Intent, around: Surroundings) -> list[Row]:
    """Return every row, in the order in which a reader wants them. Raises nothing: what fails is a row."""

    def reach() -> list[Row]:
        needed = intent.user_class == "ChatConversation"
        return list(check_reach(account.endpoint, around.participant_endpoint, around.ca_bundle, around.now, needed))

    def budget() -> list[Row]:
        return list(check_budget(intent, _quota(account), _open(account, around.now())))

    checks: list[tuple[str, Check]] = [
        ("account", lambda: check_who(account, intent)),
        ("endpoint", reach),
        ("instance", lambda: check_instance(account)),
        ("flow", lambda: check_flow(account)),
        ("permissions", lambda: check_permissions(account)),
        ("quotas", lambda: check_quotas(account, intent)),
        ("others now", lambda: check_others(account, intent, around.now)),
        ("queues", lambda: check_queues(account, around.now)),
        ("leftovers", lambda: check_leftovers(around.runs, account, around.now)),
        ("budget", budget),
        ("policy", lambda: check_policy(intent, account.region, datetime.fromtimestamp(around.now()).astimezone())),
    ]
    with ThreadPoolExecutor(len(checks), thread_name_prefix="check") as pool:
        return [row for rows in pool.map(lambda check: collect(*check), checks) for row in rows]


def _quota(account: Account) -> float | None:
    try:
        return applied_quota(account, ACTIVE_CHATS).value
    except (NotKnown, ClientError):
        return None


def _open(account: Account, now: float) -> float | None:
    try:
        return activity(account, now).open_lately
    except NotKnown:
        return None
