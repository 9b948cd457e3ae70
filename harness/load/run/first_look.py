"""The checks of `chatquota check` at the start of a live run: what they say, and whether the run may start."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from harness.connect.target import Target
from harness.errors import Unreachable
from harness.load.options.guard import PROBE_CLASS
from harness.load.options.options import Settings
from harness.preflight.checks import Surroundings, run_checks
from harness.preflight.command import print_rows
from harness.preflight.model.asking import Account
from harness.preflight.model.intent import Intent
from harness.preflight.model.rows import stops


def look_first(settings: Settings, target: Target, user_class: str, users: int, seconds: float | None) -> None:
    """Print what the checks find about a live run that is about to start.

    Raises Unreachable, which names them, when a row says stop.
    """
    import boto3  # the look is for live runs alone
    from rich.console import Console

    probe = user_class == PROBE_CLASS
    intent = Intent(
        user_class=user_class,
        rate=settings.max_probe_rate if probe else users * settings.starts_per_user,
        seconds=settings.probe_time if probe else seconds,
        max_chats=settings.max_chats,
        messages_per_chat=settings.messages_per_chat,
        price_per_message=settings.price_per_message,
        stop_rate=settings.stop_rate or Intent.stop_rate,
        approval=settings.approval,
        any_hour=settings.any_hour,
        shared=settings.shared,
    )
    account = Account(boto3.Session(), target.region, target.endpoint, target.instance_id, target.contact_flow_id)
    runs = Path(settings.run_dir).parent if settings.run_dir else Path("runs")
    rows = run_checks(account, intent, Surroundings(target.participant_endpoint, target.ca_bundle, runs, time.time))
    print_rows(rows, Console(file=sys.stderr, width=None if sys.stderr.isatty() else 160))
    stopping = stops(rows)
    if stopping:
        raise Unreachable("; ".join(f"{row.check}: {row.text}" for row in stopping))
