"""The short table that a run ends with."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.counting import counted
from harness.errors import one_line
from harness.vocabulary import STARTED
from reports.capacity import sentences as words
from reports.capacity.answered.model import Agents, Answered
from reports.capacity.clocks import clock_sentences
from reports.capacity.journey import bind_first
from reports.capacity.model import Capacity, Tps
from reports.ci.gates import GatesView
from reports.page.behind import troubles_of
from reports.run.latencies import Quantiles
from reports.wording.numbers import (
    at_least,
    at_once,
    contrary_share,
    interval,
    known,
    label,
    number,
    percent,
    rounded_down,
    seconds,
    share,
)
from reports.wording.vocabulary import FIRST_LIMIT, NO_CALLS, START


def print_summary(answer: Capacity, page: Path | None, console: Console) -> None:
    """Print the target, what was offered and what became of it, the limits, the chats left open, and the report's place."""
    console.print(Text(f"\n{one_line(words.target(answer))}", style="bold"), soft_wrap=True)
    console.print(Text(words.headline(answer), style="bold"))
    console.print(Text(words.first_limit_sentence(answer)))
    title, text = words.validity(answer)
    if not answer.generator.valid:
        console.print(Text.assemble((f"{title}: ", "bold red"), one_line(text)))
    console.print(_table(answer))
    for problem in answer.problems:
        console.print(f"missing: {one_line(problem)}", highlight=False, markup=False)
    for cause in [*words.causes_of_429(answer), *clock_sentences(answer)]:
        console.print(f"beware: {one_line(cause)}", highlight=False, markup=False)
    if page is not None:
        console.print(f"report: {page}", highlight=False, markup=False, soft_wrap=True)


def _table(answer: Capacity) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", overflow="fold")
    table.add_column(overflow="fold")
    table.add_row("offered", f"{answer.generator.offered:,}", "by the probe" if words.by_probe(answer) else "")
    for name, count in answer.outcomes.items():
        seen = answer.first_seen.get(name)
        if count or name == STARTED:
            table.add_row(label(name), f"{count:,}", f"from {seconds(seen.after_s)}" if seen else "")
    table.add_row("first limit", FIRST_LIMIT[answer.first_limit])
    for row in (*_tps_rows(answer.tps), ("active-chat limit", _chats(answer)), *_journey_rows(answer)):
        table.add_row(*row)
    if answer.answered is not None:
        _add_answered(table, answer.answered)
    left = answer.chats.left_open
    table.add_row("chats left open", "unknown" if left is None else f"{left:,}")
    return table


def _tps_rows(tps: Tps) -> Iterator[tuple[str, ...]]:
    yield "TPS limit", words.tps_rate(tps), _burst(tps)
    if not tps.exact and tps.sustained is not None:
        kind = words.CLASSES[tps.class_ or "approximate"]
        yield ("limiter", "unknown", "too few throttles") if tps.too_few else ("limiter", kind, _contrary(tps))
    if tps.safe is not None and (safe := tps.safe.poisson) is not None:
        rate = f"at least {rounded_down(safe.low)}/s" if safe.low else "none"
        yield "safe rate", rate, f"at most {percent(safe.refused_share)} refused"


def _journey_rows(answer: Capacity) -> Iterator[tuple[str, ...]]:
    for name, row in answer.operations.items():
        if row.throttled and name != START and name not in NO_CALLS:
            yield f"{name} throttled", f"{row.throttled:,}", share(row.throttled, row.attempts)
    first = answer.operations.get(answer.binds_first or "")
    if first is not None and first.binds_at_chats_per_s is not None:
        yield (
            "binds first",
            f"{counted(known(first.binds_at_chats_per_s), 'chat')}/s",
            " and ".join(bind_first(answer)),
        )


def print_gates(shown: GatesView, console: Console) -> None:
    """Print each gate and whether it passed."""
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for row in shown.rows:
        style = "green" if row.result == "passed" else "bold red"
        table.add_row("gate", Text(row.name), Text(row.wanted), Text(row.found), Text(row.result, style=style))
    console.print(table)


def _add_answered(table: Table, found: Answered) -> None:
    for name, never, came, latency in (
        ("greeted", found.no_greeting, found.greeted, found.greeting_ms),
        ("answered", found.no_reply, found.replied, found.reply_ms),
    ):
        if never + came:
            whose = "the others" if never else "all"
            p95 = "" if latency is None or latency.p95 is None else f"; p95 of {whose} {seconds(latency.p95 / 1000)}"
            table.add_row(f"never {name}", f"{never:,}", f"{share(never, never + came)}{p95}")
    _add_agents(table, found.agents)
    if found.knee is not None and found.knee.open_chats is not None:
        note = f"most at which {percent(found.knee.share)} of the replies came within {seconds(found.knee.goal)}"
        table.add_row("open chats", f"{found.knee.open_chats:,}", note)
    for one in troubles_of(found)[:3]:
        table.add_row(one.metric, number(one.value), f"of {one.of}, by CloudWatch")


def _add_agents(table: Table, found: Agents | None) -> None:
    if found is None:
        return
    took = _p95(found.first_joined_ms, "after the subscription")
    table.add_row("met an agent", f"{found.joined_chats:,}", f"of {counted(found.subscribed, 'chat')}{took}")
    if found.transfers:
        nobody = f"; after {found.not_taken_over:,} no agent joined" if found.not_taken_over else ""
        took = _p95(found.next_joined_ms, "until the next agent")
        table.add_row(
            "transfers", f"{found.transfers:,}", f"in {counted(found.transferred_chats, 'chat')}{took}{nobody}"
        )


def _p95(took: Quantiles | None, what: str) -> str:
    return "" if took is None or took.p95 is None else f"; p95 {seconds(took.p95 / 1000)} {what}"


def _chats(answer: Capacity) -> str:
    chats = answer.active_chats
    if chats.verdict == "explained":
        return interval(chats)
    if chats.verdict == "not_explained":
        return f"not explained: {at_least(chats)}" if chats.low else "not explained"
    return f"not met: {at_least(chats)}" if chats.low else "not met"


def _contrary(tps: Tps) -> str:
    return f"{contrary_share(tps.contrary_share)} of the decisions contrary" if tps.contrary_share else ""


def _burst(tps: Tps) -> str:
    if tps.exact:
        return f"burst {interval(tps.burst)}"
    if tps.burst_from_rest is not None:
        return f"from rest {at_once(tps.burst_from_rest.low, tps.burst_from_rest.high)} at once"
    return ""
