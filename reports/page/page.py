"""Lays the answer out as a page for people (`report.html`) and as text for a pull request (`report.md`)."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import jinja2
import pandas as pd

from harness import __version__
from reports.figures.picture import INK, MUTED, PAPER, Picture, inline_svg, page_colours
from reports.page import sections
from reports.page.declared import declared_rows
from reports.wording import sentences as words
from reports.wording.vocabulary import OTHER_429, QUOTA

_SIZE = "@@size@@"  # replaced once the page's size is known


def render(
    answer: Mapping[str, Any], pictures: Sequence[Picture], kinds: pd.DataFrame, gates: Mapping[str, Any] | None = None
) -> tuple[str, str]:
    """Return the HTML page and the Markdown text of one answer."""
    view = _view(answer, kinds) | {"gates": gates}
    shown = [_shown(one) for one in pictures]
    html = _template("report.html.j2", escape=True).render(view, pictures=shown)
    html = html.replace(_SIZE, f"{(len(html.encode()) + 1023) // 1024:,} KiB")
    return html, _template("report.md.j2", escape=False).render(view, pictures=shown)


def _shown(one: Picture) -> dict[str, str]:
    return {
        "name": one.name,
        "title": one.title,
        "sentence": one.sentence,
        "alternative": one.alternative,
        "inline": inline_svg(one),
    }


def _template(name: str, *, escape: bool) -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=escape, undefined=jinja2.StrictUndefined, trim_blocks=False, keep_trailing_newline=True
    )
    environment.filters["md"] = _markdown
    return environment.from_string(files("reports.page").joinpath("templates", name).read_text("utf-8"))


def _markdown(text: object) -> str:
    """Text that stays text in a Markdown table."""
    plain = " ".join(str(text).split())
    for mark, harmless in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("`", "'"), ("@", "&#64;")):
        plain = plain.replace(mark, harmless)
    return plain


def _view(answer: Mapping[str, Any], kinds: pd.DataFrame) -> dict[str, Any]:
    answers = [_answer_row(row) for row in answer["answers"]]
    return {
        "answer": answer,
        "headline": words.headline(answer),
        "order": words.order(answer),
        "crossing": words.crossing(answer),
        "validity": words.validity(answer),
        "certainty": words.certainty(answer),
        "keys": _keys(answer),
        "outcomes": _outcome_rows(answer),
        "kinds": _kind_rows(kinds),
        "operations": sections.operations(answer),
        "retry_lab": sections.retry_lab(answer),
        "chat_ends": sections.chat_ends(answer),
        "declared": declared_rows(answer),
        "answers": answers,
        "unclassified": [row for row in answers if row["raw"] == OTHER_429],
        "usage_plan": usage_plan_warning(answer),
        "conditions": _conditions(answer),
        "options": sorted((name, value) for name, value in answer["run"]["options"].items()),
        "began": words.moment(answer["run"]["started_at"] or answer["run"]["first_call_at"]),
        "version": __version__,
        "size": _SIZE,
        "ink": INK[1:],
        "muted": MUTED[1:],
        "paper": PAPER[1:],
        "light": page_colours(dark=False),
        "dark": page_colours(dark=True),
    }


def usage_plan_warning(answer: Mapping[str, Any]) -> str | None:
    """A warning where an active-chat refusal reads as an API Gateway usage plan's does; None where none does."""
    like = sum(
        int(row.get("count") or 0)
        for row in answer["answers"]
        if row.get("outcome") == QUOTA and str(row.get("message", "")).strip().rstrip(".").lower() == "limit exceeded"
    )
    if not like:
        return None
    return (
        f'{like:,} LimitExceededException answers carry the bare message "Limit Exceeded", which an API Gateway usage '
        "plan in front of the service also sends when its quota is used up. If there is one, these refusals may be "
        "its, and not the active-chat limit's."
    )


def _keys(answer: Mapping[str, Any]) -> list[dict[str, str]]:
    tps, chats, at = answer["tps"], answer["active_chats"], answer["crossover_s"]
    first = {"tps": "TPS", "active_chats": "active chats", None: "none met"}[answer["first_limit"]]
    keys = [
        {
            "name": "Chat starts a second",
            "value": _value(tps["rate"], tps["verdict"]),
            "note": _pace(tps) or _note(tps["rate"], tps["verdict"]),
        },
        {
            "name": "Burst",
            "value": _value(tps["burst"], tps["verdict"]),
            "note": _note(tps["burst"], tps["verdict"]),
        },
        {
            "name": "Chats at once",
            "value": _value(chats, chats["verdict"]),
            "note": _note(chats, chats["verdict"]),
        },
        {"name": "First limit", "value": first, "note": _first_note(answer)},
    ]
    if at is not None:
        note = (
            f"longer chats meet the active-chat limit first ({words.number(at['low'])} to {words.number(at['high'])} s)"
        )
        keys.append({"name": "The limits meet at a mean length of", "value": f"{words.known(at)} s", "note": note})
    if answer["binds_first"] is not None:
        row = answer["operations"][answer["binds_first"]]
        value, note = words.known(row["binds_at_chats_per_s"]), f"a second: {answer['binds_first']} binds first"
        keys.append({"name": "Whole journeys", "value": value, "note": note})
    left = answer["chats"]["left_open"]
    note = f"of {words.number(answer['chats']['started'])} started" if answer["chats"]["started"] is not None else ""
    if answer["chats"]["unanswered"]:
        note += f"; {words.number(answer['chats']['unanswered'])} calls unanswered, which may have started one"
    keys.append({"name": "Chats left open", "value": "unknown" if left is None else words.number(left), "note": note})
    return keys


def _value(entry: Mapping[str, Any], verdict: str) -> str:
    if verdict == "explained" and entry["high"] is not None:
        return words.known(entry)
    if verdict == "lower_bound" and not _is_bound(entry):
        return "not met"
    if verdict != "not_explained" and entry["low"] is not None:
        return f"≥ {words.number(entry['low'])}"
    return "unknown"


def _is_bound(entry: Mapping[str, Any]) -> bool:
    """Whether a bound says more than that something was admitted at all."""
    return entry["low"] is not None and entry["low"] > 1


def _pace(tps: Mapping[str, Any]) -> str | None:
    """What was admitted by an instance that throttled nothing; None of any other."""
    admitted, span = tps["evidence"].get("admitted"), tps["evidence"].get("admitted_in_s")
    if tps["verdict"] != "lower_bound" or not admitted or not span:
        return None
    return f"{words.number(admitted)} admitted in {words.seconds(span)}; a burst may have carried them"


def _note(entry: Mapping[str, Any], verdict: str) -> str:
    if verdict == "lower_bound":
        return "not reached" if _is_bound(entry) else ""
    if verdict == "not_explained":
        return "not explained by one limiter"
    if entry["high"] is None:
        return "" if entry["estimate"] is None else f"{words.number(entry['estimate'])}, if it was full at the start"
    if entry["low"] == entry["high"]:
        return "exact"
    return f"between {words.span(entry)} ({words.LEVEL})"


def _first_note(answer: Mapping[str, Any]) -> str:
    seen = answer["first_seen"]
    times = [f"{words.label(name)} from {words.seconds(entry['after_s'])}" for name, entry in seen.items()]
    return ", ".join(times) if times else "no call was refused by a limit"


def _outcome_rows(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for name, count in answer["outcomes"].items():
        if not count:
            continue
        latency = answer["latency_ms"].get(name)
        cells = [_latency_cell(latency, key) for key in ("p50", "p95", "p99", "max")]
        share = answer["outcome_share"][name]
        rows.append(
            {
                "name": words.label(name),
                "count": f"{count:,}",
                "share": f"{share * 100:.2f} %",
                "latency": cells,
            }
        )
    return rows


def _latency_cell(latency: Mapping[str, Any] | None, key: str) -> str:
    if latency is None or latency[key] is None:
        return ""
    return f"{words.number(latency[key])} ({words.number(latency['from_sent'][key])})"


def _kind_rows(kinds: pd.DataFrame) -> dict[str, Any] | None:
    if len(kinds) < 1:
        return None
    return {
        "columns": [words.label(str(name)) for name in kinds.columns],
        "rows": [{"name": name, "cells": [f"{int(cell):,}" for cell in row]} for name, row in kinds.iterrows()],
    }


def _answer_row(row: Mapping[str, Any]) -> dict[str, Any]:
    count, first = row.get("count"), row.get("first_at")
    return {
        "raw": row.get("outcome"),
        "outcome": words.label(str(row.get("outcome", ""))),
        "operation": row.get("operation", ""),
        "status": row.get("status", ""),
        "error_code": row.get("error_code") or "(none)",
        "message": row.get("message") or "(none)",
        "count": f"{count:,}" if isinstance(count, int) else "",
        "first_at": words.moment(first) if isinstance(first, (int, float)) else "",
    }


def _conditions(answer: Mapping[str, Any]) -> list[tuple[str, Any]]:
    run = answer["run"]
    target = (
        "the embedded emulator" if run["emulator"] is not None else ("live" if run["live"] else "not AWS (loopback)")
    )
    length = "unknown" if run["measured_s"] is None else words.seconds(run["measured_s"])
    rows = [
        ("Target", f"{run['endpoint'] or 'unknown'}: {target}"),
        ("Region, instance", f"{run['region'] or 'unknown'}, {run['instance_id'] or 'unknown'}"),
        ("Emulator", run["emulator"]),
        ("User class", run["user_class"] or "unknown"),
        ("Ended", f"{run['status'] or 'unknown'}, by {run['ended_by'] or 'unknown'}, {words.moment(run['ended_at'])}"),
        ("First call to last answer", f"{length}, {run['samples']:,} samples"),
        ("Offered", _offered(answer)),
        ("Workload", _workload(run["workload"])),
        ("Versions", ", ".join(f"{name} {version}" for name, version in run["versions"].items())),
    ]
    return [(name, value) for name, value in rows if value]


def _offered(answer: Mapping[str, Any]) -> str:
    generator = answer["generator"]
    if not generator["offered"]:
        return f"{sum(answer['outcomes'].values()):,} chat starts, each decided by the probe; nothing was scheduled"
    text = f"{generator['offered']:,} chat starts, of which {generator['dropped'] or 0:,} were dropped unsent"
    if generator["withheld"]:
        text += f" and {generator['withheld']:,} withheld by the budget of chats"
    return text


def _workload(workload: Mapping[str, Any]) -> str:
    kinds = [str(kind.get("name")) for kind in workload.get("kinds") or [] if isinstance(kind, dict)]
    source, seed = workload.get("source", "unknown"), workload.get("seed", "unknown")
    return f"{source}, seed {seed}" + (f"; kinds {', '.join(kinds)}" if kinds else "")
