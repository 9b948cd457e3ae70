"""The short table that a run ends with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.wording import sentences as words


def print_summary(answer: Mapping[str, Any], page: Path | None, console: Console) -> None:
    """Print what was offered and what became of it, the first limit, the chats left open, and where the report is."""
    console.print(Text(f"\n{words.headline(answer)}", style="bold"))
    console.print(Text(words.order(answer)))
    title, text = words.validity(answer)
    if not answer["generator"]["valid"]:
        console.print(Text.assemble((f"{title}: ", "bold red"), text))
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    if answer["generator"]["offered"]:  # a probe offers no load: it decides each call
        table.add_row("offered", f"{answer['generator']['offered']:,}")
    for name, count in answer["outcomes"].items():
        seen = answer["first_seen"].get(name)
        if count or name == "started":
            note = f"from {words.seconds(seen['after_s'])}" if seen else ""
            table.add_row(words.label(name), f"{count:,}", note)
    table.add_row(
        "first limit", {"tps": "TPS", "active_chats": "active chats", None: "none met"}[answer["first_limit"]]
    )
    table.add_row("TPS limit", _limit(answer["tps"]["rate"], answer["tps"]["verdict"], "/s"), _burst(answer["tps"]))
    table.add_row("active-chat limit", _limit(answer["active_chats"], answer["active_chats"]["verdict"]))
    if answer["binds_first"] is not None:
        row = answer["operations"][answer["binds_first"]]
        table.add_row("binds first", f"{words.known(row['binds_at_chats_per_s'])} chats/s", answer["binds_first"])
    left = answer["chats"]["left_open"]
    table.add_row("chats left open", "unknown" if left is None else f"{left:,}")
    console.print(table)
    for problem in answer["problems"]:
        console.print(f"missing: {problem}", highlight=False, markup=False)
    if page is not None:
        console.print(f"report: {page}", highlight=False, markup=False, soft_wrap=True)


def print_gates(shown: Mapping[str, Any], console: Console) -> None:
    """Print each gate and whether it passed."""
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for row in shown["rows"]:
        style = "green" if row["result"] == "passed" else "bold red"
        cells = (Text(row["name"]), Text(row["wanted"]), Text(row["found"]))
        table.add_row("gate", *cells, Text(row["result"], style=style))
    console.print(table)


def _limit(entry: Mapping[str, Any], verdict: str, unit: str = "") -> str:
    if verdict == "explained":
        return words.interval(entry, unit)
    if verdict == "not_explained":
        return "not explained"
    return f"not met: {words.bound(entry, unit)}" if entry["low"] else "not met"


def _burst(tps: Mapping[str, Any]) -> str:
    return f"burst {words.interval(tps['burst'])}" if tps["verdict"] == "explained" else ""
