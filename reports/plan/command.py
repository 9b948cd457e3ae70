"""Runs `chatquota plan`: finds the limits, plans, prints, and writes the plan's files."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from harness.errors import UsageError
from reports.capacity.load import load_answer
from reports.figures.picture import standalone_svg
from reports.figures.style import report_style
from reports.plan.day import parse_arrivals
from reports.plan.lengths import parse_length
from reports.plan.planning import Limits, course, plan
from reports.plan.text import day_figure, frontier_figure, markdown, sentences
from reports.run.files import replace
from reports.run.rundir import is_number

DOCUMENTED = Limits(5.0, 8.0, 500, "AWS's documented defaults for new accounts (5/s, burst 8, 500 chats)")


def run_plan(arguments: Any) -> int:
    """Make the plan that the parsed `arguments` of `chatquota plan` ask for. Raises UsageError."""
    day, length = parse_arrivals(arguments.arrivals), parse_length(arguments.length)
    limits = find_limits(arguments)
    answer = plan(day, length, limits, refused=arguments.refused, margin=arguments.margin, seed=arguments.seed)
    console = Console()
    first, *rest = sentences(answer)
    console.print(Text(first, style="bold"))
    for sentence in rest:
        console.print(Text(f"- {sentence}"))
    if arguments.out is not None:
        with report_style():
            pictures = [frontier_figure(answer, limits)]
            if not day.constant:
                pictures.append(day_figure(course(day, length, limits), day, limits))
        try:
            arguments.out.mkdir(parents=True, exist_ok=True)
            for one in pictures:
                (arguments.out / f"{one.name}.png").write_bytes(one.png)
                replace(arguments.out / f"{one.name}.svg", standalone_svg(one))
            replace(arguments.out / "plan.json", json.dumps(answer, indent=2, allow_nan=False) + "\n")
            replace(arguments.out / "plan.md", markdown(answer))
        except OSError as error:
            raise UsageError(
                f"the plan cannot be written to {arguments.out} ({error.strerror}); give --out DIR"
            ) from error
        console.print(Text(f"plan: {arguments.out / 'plan.md'}"), soft_wrap=True)
    return 0


def find_limits(arguments: Any) -> Limits:
    """The limits to plan against: given ones over a run's over AWS's documented defaults. Raises UsageError."""
    limits = DOCUMENTED
    if arguments.run is not None:
        limits = run_limits(arguments.run)
    elif arguments.declared is not None:
        limits = declared_limits(arguments.declared)
    given = {"tps": arguments.tps, "burst": arguments.burst, "active_chats": arguments.active_chats}
    chosen = {name: value for name, value in given.items() if value is not None}
    if not chosen:
        return limits
    values = {"tps": limits.tps, "burst": limits.burst, "active_chats": limits.active_chats} | chosen
    if "tps" in chosen and "burst" not in chosen:
        values["burst"] = max(1.0, limits.burst / limits.tps * values["tps"])
    named = ", ".join(f"--{name.replace('_', '-')}" for name in chosen)
    source = f"given ({named})" if len(chosen) == 3 else f"given ({named}); the rest from {limits.source}"
    return Limits(float(values["tps"]), float(values["burst"]), int(values["active_chats"]), source)


def run_limits(path: Path) -> Limits:
    """What a run found: estimates where they are explained, lower bounds where a limit was not reached."""
    answer = load_answer(path)
    tps, chats = answer["tps"], answer["active_chats"]
    for name, limit in (("TPS", tps), ("active-chat", chats)):
        if limit["verdict"] == "not_explained":
            raise UsageError(
                f"{path} does not explain its {name} limit; give it with --tps and --burst, or --active-chats"
            )
    rate, quota = _figure(tps["rate"], tps), _figure(chats, chats)
    if not rate and tps["verdict"] == "lower_bound":
        raise UsageError(f"{path} met no TPS limit, and a burst may have carried what it admitted; give --tps")
    if not rate or not quota:
        raise UsageError(f"{path} says nothing about a limit; give --tps, --burst and --active-chats")
    burst = _figure(tps["burst"], tps) or max(1.0, 1.6 * rate)
    bounds = [name for name, limit in (("TPS", tps), ("active chats", chats)) if limit["verdict"] == "lower_bound"]
    note = f" ({' and '.join(bounds)}: a lower bound only, the limit was not reached)" if bounds else ""
    return Limits(float(rate), float(burst), int(quota), f"run {answer['run']['id']}{note}")


def _figure(entry: Any, limit: Any) -> float | None:
    value = entry["estimate"] if limit["verdict"] == "explained" else entry["low"]
    return float(value) if is_number(value) and value is not None and value > 0 else None


def declared_limits(path: Path) -> Limits:
    """What AWS declared for the run's account and instance; where it did not, the documented default."""
    declared = load_answer(path)["declared"]
    found: dict[str, float] = {}
    sources = []
    for name in ("tps", "burst", "active_chats"):
        entry = declared.get(name)
        value = entry.get("value") if isinstance(entry, dict) else None
        if value is not None and is_number(value) and value > 0:
            found[name] = float(value)
            sources.append(f"{name} from {entry.get('source', 'unknown source')}")
    if not {"tps", "active_chats"} & set(found):
        raise UsageError(f"{path} declares no quotas; give --tps, --burst and --active-chats")
    tps = found.get("tps", DOCUMENTED.tps)
    burst = found.get("burst", tps * DOCUMENTED.burst / DOCUMENTED.tps)
    return Limits(tps, burst, int(found.get("active_chats", DOCUMENTED.active_chats)), "; ".join(sources))
