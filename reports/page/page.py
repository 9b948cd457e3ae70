"""Lays the answer out as a page for people (`report.html`) and as text for a pull request (`report.md`)."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import jinja2
from markupsafe import Markup, escape

from harness import __version__
from harness.counting import counted
from harness.recording.format.manifest import Table, Workload
from reports.capacity import sentences as words
from reports.capacity.clocks import clock_sentences
from reports.capacity.model import Capacity, ErrorText
from reports.ci.gates import GatesView
from reports.figures.picture import INK, MUTED, PAPER, Picture, inline_svg, page_colours
from reports.page import sections
from reports.page.advice import advice
from reports.page.answered import answered
from reports.page.baseline import BaselineView
from reports.page.compiled import template
from reports.page.declared import declared_rows
from reports.page.journey_probe import journey_probe
from reports.page.keys import keys_of
from reports.page.variety import variety_sentences
from reports.run.latencies import Latency
from reports.wording.numbers import label, milliseconds, seconds, share, utc
from reports.wording.vocabulary import OTHER_429, QUOTA

Counts = Mapping[str, Mapping[str, int]]

_SIZE = "@@size@@"  # replaced once the page's size is known


def render(
    answer: Capacity,
    pictures: Sequence[Picture],
    kinds: Counts,
    gates: GatesView | None = None,
    earlier: BaselineView | None = None,
) -> tuple[str, str]:
    """Return the HTML page and the Markdown text of one answer, beside an `earlier` run if there is one."""
    view = _view(answer, kinds) | {"gates": gates, "earlier": earlier}
    shown = [_shown(one) for one in pictures]
    page, text = load_templates()
    html = page.render(view, pictures=shown)
    html = html.replace(_SIZE, f"{(len(html.encode('utf-8', 'replace')) + 1023) // 1024:,} KiB")
    return html, text.render(view, pictures=shown)


def load_templates() -> tuple[jinja2.Template, jinja2.Template]:
    """Return the templates of the page and of the text. Where they must be compiled, it takes as long as half a figure."""
    return _template("report.html.j2", escape=True), _template("report.md.j2", escape=False)


def _shown(one: Picture) -> dict[str, str]:
    return {
        "name": one.name,
        "title": one.title,
        "sentence": one.sentence,
        "alternative": one.alternative,
        "inline": inline_svg(one),
    }


@cache
def _template(name: str, *, escape: bool) -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=escape, undefined=jinja2.StrictUndefined, trim_blocks=False, keep_trailing_newline=True
    )
    environment.filters["md"] = _markdown
    environment.filters["mdcode"] = _markdown_with_code
    environment.filters["code"] = _html_with_code
    environment.filters["wbr"] = _breakable
    return template(environment, name)


def _markdown(text: object) -> str:
    """Text that stays text in a Markdown table, and fetches nothing."""
    plain = " ".join(str(text).split())
    marks = (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("`", "'"), ("@", "&#64;"), ("![", "!\\["), ("](", "]\\("))
    for mark, harmless in marks:
        plain = plain.replace(mark, harmless)
    return plain


def _markdown_with_code(text: str) -> str:
    """Text with commands between backticks, which stay; a name from the run is markup neither within nor outside of them."""
    parts = [" ".join(part.split()) if n % 2 else _outside(part) for n, part in enumerate(text.split("`"))]
    return "`".join(parts)


def _outside(part: str) -> str:
    before, after = (" " if part.startswith(" ") else ""), (" " if part.endswith(" ") else "")
    return f"{before}{_markdown(part)}{after}" if part.strip() else part


def _html_with_code(text: str) -> Markup:
    """The same for HTML: commands are set as code."""
    parts = [escape(part) for part in text.split("`")]
    return Markup("").join(Markup("<code>{}</code>").format(part) if n % 2 else part for n, part in enumerate(parts))


def _breakable(name: str) -> Markup:
    """A long name that may break between its words, for narrow columns: CamelCase and snake_case."""
    return Markup("<wbr>").join(escape(word) for word in re.split(r"(?<=[a-z_])(?=[A-Z])|(?<=_)", name))


def _view(answer: Capacity, kinds: Counts) -> Table:
    answers = [_error_row(row) for row in answer.answers]
    return {
        "answer": answer,
        "target": words.target(answer),
        "headline": words.headline(answer),
        "order": words.first_limit_sentence(answer),
        "crossing": words.crossover_sentence(answer),
        "validity": words.validity(answer),
        "certainty": words.certainty(answer),
        "keys": keys_of(answer),
        "outcomes": _outcome_rows(answer),
        "kinds": _kind_rows(kinds),
        "percentiles": _percentiles(answer),
        "advice": advice(answer),
        "variety": variety_sentences(answer.variety),
        "any_limiter": sections.any_limiter(answer),
        "answered": answered(answer),
        "operations": sections.operations(answer),
        "retry_lab": sections.retry_lab(answer),
        "journey_probe": journey_probe(answer.journey_probe),
        "chat_ends": sections.chat_ends(answer),
        "declared": declared_rows(answer),
        "answers": answers,
        "unclassified": [row for row in answers if row.raw == OTHER_429],
        "beware": [*words.causes_of_429(answer), *usage_plan_warning(answer), *clock_sentences(answer)],
        "conditions": _conditions(answer),
        "options": sorted((name, _plain(value)) for name, value in answer.run.options.items()),
        "began": utc(answer.run.started_at or answer.run.first_call_at),
        "version": __version__,
        "size": _SIZE,
        "ink": INK[1:],
        "muted": MUTED[1:],
        "paper": PAPER[1:],
        "light": page_colours(dark=False),
        "dark": page_colours(dark=True),
    }


def _plain(value: object) -> str:
    """An option's value as it would be written."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def usage_plan_warning(answer: Capacity) -> list[str]:
    """A warning where an active-chat refusal of a run of 0.1 reads as an API Gateway usage plan's does."""
    like = sum(
        row.count or 0
        for row in answer.answers
        if row.outcome == QUOTA and (row.message or "").strip().rstrip(".").lower() == "limit exceeded"
    )
    if not like:
        return []
    text = (
        f'{like:,} LimitExceededException answers carry the bare message "Limit Exceeded", which an API Gateway usage '
        "plan in front of the service also sends when its quota is used up. If there is one, these refusals may be "
        "its, and not the active-chat limit's."
    )
    return [text]


@dataclass(frozen=True)
class OutcomeRow:
    """One outcome of StartChatContact as texts: `latency` is p50, p95, p99 and the longest."""

    name: str
    count: str
    share: str
    latency: list[str]


def _outcome_rows(answer: Capacity) -> list[OutcomeRow]:
    calls = sum(answer.outcomes.values())
    return [
        OutcomeRow(
            label(name),
            f"{count:,}",
            share(count, calls, answer.share_intervals.get(name)),
            _latency_cells(answer.latency_ms.get(name)),
        )
        for name, count in answer.outcomes.items()
        if count
    ]


def _latency_cells(latency: Latency | None) -> list[str]:
    if latency is None:
        return [""] * 4
    sent = latency.from_sent
    pairs = ((latency.p50, sent.p50), (latency.p95, sent.p95), (latency.p99, sent.p99), (latency.max, sent.max))
    return ["" if due is None else f"{milliseconds(due)} ({milliseconds(on_wire)})" for due, on_wire in pairs]


def _percentiles(answer: Capacity) -> list[tuple[str, list[str]]]:
    """A row for each outcome of StartChatContact that has an interval of any percentile."""
    rows = []
    for name, latency in answer.latency_ms.items():
        cells = []
        for quantile in ("p50", "p95", "p99"):
            value, bounds = getattr(latency, quantile), latency.intervals.get(quantile)
            between = "" if bounds is None else f" ({milliseconds(bounds[0])} to {milliseconds(bounds[1])})"
            cells.append(f"{milliseconds(value)}{between}" if between and value is not None else "")
        if any(cells):
            rows.append((label(name), cells))
    return rows


@dataclass(frozen=True)
class KindTable:
    """Attempts by kind of chat: the names of the outcomes, and a (kind, counts) a row."""

    columns: list[str]
    rows: list[tuple[str, list[str]]]


def _kind_rows(kinds: Counts) -> KindTable | None:
    if not kinds:
        return None
    rows = [(name, [f"{cell:,}" for cell in counts.values()]) for name, counts in kinds.items()]
    return KindTable([label(name) for name in next(iter(kinds.values()))], rows)


@dataclass(frozen=True)
class ErrorRow:
    """One distinct error text of the service, with where it came and how often."""

    raw: str
    outcome: str
    operation: str
    status: str
    error_code: str
    message: str
    count: str
    first_at: str


def _error_row(row: ErrorText) -> ErrorRow:
    return ErrorRow(
        raw=row.outcome,
        outcome=label(row.outcome),
        operation=row.operation,
        status="" if row.status is None else str(row.status),
        error_code=row.error_code or "(none)",
        message=row.message or "(none)",
        count="" if row.count is None else f"{row.count:,}",
        first_at="" if row.first_at is None else utc(row.first_at),
    )


def _conditions(answer: Capacity) -> list[tuple[str, str]]:
    run = answer.run
    length = "unknown" if run.measured_s is None else seconds(run.measured_s)
    rows = [
        ("Target", words.target(answer)),
        ("Endpoint", run.endpoint or "unknown"),
        ("Region, instance", f"{run.region or 'unknown'}, {run.instance_id or 'unknown'}"),
        ("Emulator", run.emulator or ""),
        ("User class", run.user_class or "unknown"),
        ("Ended", f"{run.status or 'unknown'}, by {run.ended_by or 'unknown'}, {utc(run.ended_at)}"),
        ("First call to last answer", f"{length}, {counted(run.samples, 'sample')}"),
        ("Offered", words.offered_sentence(answer)),
        ("Workload", _workload(run.workload)),
        ("Versions", ", ".join(f"{name} {version}" for name, version in run.versions.items())),
    ]
    return [(name, value) for name, value in rows if value]


def _workload(workload: Workload) -> str:
    kinds = [str(kind.get("name")) for kind in workload.kinds]
    seed = "unknown" if workload.seed is None else workload.seed
    draw = ", balanced draw" if workload.draw == "balanced" else ""
    return f"{workload.source or 'unknown'}, seed {seed}{draw}" + (f"; kinds {', '.join(kinds)}" if kinds else "")
