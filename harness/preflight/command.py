"""`chatquota check`: looks before the first call, spends no chat, and says what should stop a run."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import boto3
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.connect.target import resolve_target
from harness.durations import parse_duration
from harness.errors import Parser, UsageError
from harness.preflight.checks import Surroundings, run_checks
from harness.preflight.model.asking import Account
from harness.preflight.model.intent import Intent
from harness.preflight.model.rows import Row, State, stops
from harness.preflight.plan_document import plan_document

EXIT_STOP = 3
_WIDTH = 160
"""Columns of a table that is not printed to a terminal: wide enough that most rows are one line."""

_MOST = 1_000_000
"""The largest number of users, calls a second, messages and dollars that is taken for one."""
_STYLES: dict[State, str] = {"ok": "green", "note": "yellow", "stop": "bold red", "not_known": "cyan"}


def main(argv: list[str]) -> int:
    """Run `chatquota check` and return its exit code: 0, or 3 where a row says stop. Raises UsageError."""
    options = _parser().parse_args(argv)
    target = resolve_target(
        options.host,
        options.participant_host,
        options.region,
        options.instance_id,
        options.contact_flow_id,
        live=options.live,
    )
    intent = _intent(options, target.live)
    if options.runs is not None and not Path(options.runs).is_dir():
        raise UsageError(f"--runs {options.runs}: no such directory; name the one where earlier runs were recorded")
    account = Account(boto3.Session(), target.region, target.endpoint, target.instance_id, target.contact_flow_id)
    around = Surroundings(target.participant_endpoint, target.ca_bundle, Path(options.runs or "runs"), time.time)
    rows = run_checks(account, intent, around)
    if options.plan:
        _write(Path(options.plan), plan_document(account, intent, rows))
    if options.json:
        sys.stdout.write(to_json(account, intent.live, rows) + "\n")
    else:
        print_rows(rows)
        if options.plan:
            print(f"the plan for AWS is in {options.plan}; fill in what it marks")
    return EXIT_STOP if stops(rows) else 0


def print_rows(rows: Sequence[Row], console: Console | None = None) -> None:
    """Print the rows as a table, and in one line what to do."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        text = row.text + (f" [needs {row.permission}]" if row.permission else "")
        table.add_row(Text(row.state.replace("_", " "), _STYLES[row.state]), row.check, Text(text))
    console = console or Console(width=None if sys.stdout.isatty() else _WIDTH)
    console.print(table)
    stopping = stops(rows)
    if stopping:
        console.print(Text(f"stop: {', '.join(row.check for row in stopping)}", "bold red"))
    else:
        console.print("nothing here stops a run")


def to_json(account: Account, live: bool, rows: Sequence[Row]) -> str:
    """Return the rows as JSON: `target`, `rows`, and `stop`, which is true where a row says stop."""
    target = {
        "kind": "live" if live else "lab",
        "endpoint": account.endpoint,
        "region": account.region,
        "instance_id": account.instance_id,
    }
    document = {"schema": 1, "target": target, "stop": bool(stops(rows)), "rows": list(rows)}
    return msgspec.json.format(msgspec.json.encode(document)).decode()


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(
            f"--plan {path}: {(error.strerror or str(error)).lower()}; name a file that can be written"
        ) from error


def _parser() -> Parser:
    parser = Parser(
        "chatquota check",
        description="Look before the first call of a live run: credentials, endpoints, instance, flow, permissions, "
        "quotas, who else is active, budget and policy. Only reads, and spends no chat.",
    )
    target = parser.add_argument_group("target")
    target.add_argument("--host", help="the Connect endpoint (default: the Region's own)")
    target.add_argument("--participant-host", default="", help="the participant service (default: derived)")
    target.add_argument("--region", default="", help="the AWS Region (default: AWS_REGION or the profile's)")
    target.add_argument("--instance-id", default="", help="the instance")
    target.add_argument("--contact-flow-id", default="", help="the flow that chats start in")
    load = parser.add_argument_group("the run that is planned; as for `locust`")
    load.add_argument(
        "user_class", nargs="?", default="QuotaProbe", help="StartChat, ChatConversation or QuotaProbe (default)"
    )
    load.add_argument("-u", "--users", type=int, default=1, help="the peak number of users")
    load.add_argument("--starts-per-user", type=float, default=1.0, help="chat starts a second of a user")
    load.add_argument("--max-probe-rate", type=float, default=500.0, help="calls a second that QuotaProbe may send")
    load.add_argument("-t", "--run-time", default="", help="how long load is offered, such as 90s or 10m")
    load.add_argument("--max-chats", type=int, help="the budget of chats")
    load.add_argument("--stop-rate", type=float, default=9.0, help="StopContact calls a second")
    load.add_argument("--messages-per-chat", type=float, default=2.0)
    load.add_argument("--price-per-message", type=float, default=0.01, help="US dollars")
    guard = parser.add_argument_group("policy")
    guard.add_argument("--approval", default="", help="AWS's approval of the load test")
    guard.add_argument(
        "--live", action="store_true", help="hold a loopback host (a tunnel) to the policy of live runs too"
    )
    guard.add_argument("--any-hour", action="store_true", help="the approval allows other hours than 6 PM to 6 AM")
    guard.add_argument("--shared", action="store_true", help="others may be active on the instance")
    guard.add_argument("--emergency-contact", default="", metavar="TEXT", help="who can be reached during the test")
    out = parser.add_argument_group("output")
    out.add_argument("--json", action="store_true", help="print JSON in place of the table")
    out.add_argument("--plan", metavar="FILE", help="write the test plan that AWS asks for, as Markdown")
    out.add_argument("--runs", metavar="DIR", help="where earlier runs were recorded (default: runs)")
    return parser


def _intent(options: argparse.Namespace, live: bool) -> Intent:
    probe = options.user_class == "QuotaProbe"
    if options.user_class not in ("StartChat", "ChatConversation", "QuotaProbe"):
        raise UsageError(f"{options.user_class!r} is not a user class; use StartChat, ChatConversation or QuotaProbe")
    for name in ("users", "starts_per_user", "max_probe_rate", "stop_rate"):
        value = getattr(options, name)
        if not 0 < value <= _MOST:
            raise UsageError(f"--{name.replace('_', '-')} {value:g}: give a number above 0, up to {_MOST:,}")
    for name in ("messages_per_chat", "price_per_message"):
        value = getattr(options, name)
        if not 0 <= value <= _MOST:
            raise UsageError(f"--{name.replace('_', '-')} {value:g}: give a number from 0 to {_MOST:,}")
    if options.max_chats is not None and options.max_chats < 1:
        raise UsageError(f"--max-chats {options.max_chats} leaves no chat to start; give 1 or more")
    try:
        seconds = parse_duration(options.run_time) if options.run_time else None
    except ValueError as error:
        raise UsageError(f"--run-time: {error}") from error
    return Intent(
        user_class=options.user_class,
        rate=options.max_probe_rate if probe else options.users * options.starts_per_user,
        seconds=seconds,
        max_chats=options.max_chats,
        messages_per_chat=options.messages_per_chat,
        price_per_message=options.price_per_message,
        stop_rate=options.stop_rate,
        approval=options.approval,
        live=live,
        any_hour=options.any_hour,
        shared=options.shared,
        emergency_contact=options.emergency_contact,
    )
