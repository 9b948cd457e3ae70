"""Makes a report: reads the run, folds its samples, infers the limits, draws, and writes the files beside it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from harness.errors import UsageError
from harness.gates import Gate
from reports.capacity.capacity import capacity, measure
from reports.capacity.customers import Customers
from reports.capacity.inference import infer
from reports.capacity.model import Capacity, to_json
from reports.ci.gates import GatesView, annotations, judge, junit, tell_github
from reports.ci.gates import view as gates_view
from reports.figures.picture import FIGURES, Picture, standalone_svg
from reports.figures.process import FigureProcess
from reports.figures.what_happened import what_happened
from reports.page.baseline import BaselineView
from reports.run.files import own_folder, replace
from reports.run.fold import Aggregates, fold, place_ends
from reports.run.rundir import Run, read_run
from reports.run.samples import Batch, Samples
from reports.run.tables import curves, varieties
from reports.run.timeline import timeline
from reports.run.told_ends import told_ends
from reports.variety.calls import CallsSeen
from reports.variety.findings import variety_of

if TYPE_CHECKING:  # what is not asked for is not loaded
    from rich.console import Console

    from reports.page.request.text import QuotaRequest

_FEW_CALLS = 10_000
"""Of so many the tests of variety take less time than to have them done by another process."""

_WHERE_ELSE = "copy the run directory to where there is room and you may write, or print the table alone with --summary"

ONLY_STARTS = "StartChat"
"""The user class whose runs have no customers: ids of chats are not read of a long one."""


def build_report(
    path: Path,
    *,
    gates: tuple[Gate, ...] = (),
    junit_path: Path | None = None,
    wanted: "QuotaRequest | None" = None,
    drawing: FigureProcess | None = None,
    quiet: bool = False,
    summary: bool = False,
    beside: Callable[[Capacity], BaselineView] | None = None,
) -> int:
    """Make the report of the run directory at `path`; return 1 if one of `gates` was breached, else 0.

    `beside` compares the answer with an earlier run, for the page. With `wanted`, the text of a quota-increase request is
    written beside it; without `drawing` there are no figures. With `summary` only the short table is printed, and nothing is
    written.
    Raises UsageError if there is no such run or it cannot be written to.
    """
    run = read_run(path)
    console = _console(quiet)
    answer, drawn, total = _answer(run, console, summary=summary, drawing=drawing)
    if summary:
        _print(console, answer, None, None)
        return 0
    judgements = judge(gates, answer)
    reasons = [] if answer.generator.valid else answer.generator.reasons or ["it does not say why"]
    shown = gates_view(judgements, valid=answer.generator.valid) if gates else None
    earlier = beside(answer) if beside is not None else None
    from reports.page.page import render

    html, markdown = render(answer, drawn, total.counts_of(total.kinds.numbers, total.by_kind), shown, earlier)
    texts = {"report.md": markdown, "report.html": html}
    if wanted is not None:
        from reports.page.request.text import request_text

        texts["quota-request.md"] = request_text(answer, wanted)
    texts["capacity.json"] = to_json(answer)
    try:
        write(run.path, texts, drawn)
        if gates:
            replace(junit_path or run.path / "junit.xml", junit(judgements, answer.run.id, reasons))
        tell_github(annotations(judgements, answer), markdown)
    except OSError as error:
        where = error.filename or str(run.path)
        advice = "name another --junit" if where == str(junit_path) else _WHERE_ELSE
        raise UsageError(f"{where} cannot be written ({(error.strerror or 'no reason').lower()}); {advice}") from error
    _print(console, answer, run.path / "report.html", shown)
    return 1 if shown is not None and shown.breached else 0


def _answer(
    run: Run, console: "Console | None", *, summary: bool, drawing: FigureProcess | None
) -> tuple[Capacity, list[Picture], Aggregates]:
    """Read the samples and return the answer, the pictures that are drawn beside it, and what was counted.

    For a `summary` what it does not show is left out.
    """
    samples = Samples(run.sample_files, with_chats=run.manifest.user_class != ONLY_STARTS)
    customers, calls = Customers(), CallsSeen()
    seen_by = [] if summary else [calls.add]
    total = _fold(samples, [*seen_by, customers.add] if samples.with_chats else seen_by, console)
    if drawing is not None:
        drawing.draw("draw_varieties", varieties(total))  # they take the longest, and need nothing else
    if not samples.with_chats:
        customers.add_kept(samples, total)
    told = told_ends(run)
    place_ends(total, told)
    view = timeline(total, run.dropped_by_second)
    measured = measure(run, total, customers, view)
    seen = calls.calls()
    if drawing is not None:
        if len(seen) > _FEW_CALLS:
            drawing.find_variety(seen)
        drawing.draw("draw_samples", measured, view, what_happened(run, total, view), curves(total))
    inference = infer(run, samples, total, customers, told)
    answer = capacity(measured, inference)
    if drawing is not None:
        drawing.draw("draw_limits", answer, inference.tps, inference.any_limiter)
        drawing.draw("draw_outcomes", answer, view)  # the last ones apart, so that every core draws to the end
        drawing.draw("draw_active_chats", answer, view)
    here = drawing is None or len(seen) <= _FEW_CALLS
    variety = variety_of(seen) if here and not summary else []
    if drawing is None:
        return msgspec.structs.replace(answer, variety=variety), [], total
    from reports.page.page import load_templates  # while the last figures are drawn

    load_templates()
    pictures = drawing.drawn()
    return msgspec.structs.replace(answer, variety=variety if here else drawing.variety), pictures, total


def _console(quiet: bool) -> "Console | None":
    """The terminal that is told how far the reading is, and what was found; None where nothing is printed."""
    if quiet:
        return None
    from rich.console import Console

    return Console()


def _print(console: "Console | None", answer: Capacity, page: Path | None, gates: GatesView | None) -> None:
    if console is None:
        return
    from reports.page.terminal import print_gates, print_summary

    print_summary(answer, page, console)
    if gates is not None:
        print_gates(gates, console)


def _fold(samples: Samples, others: Sequence[Callable[[Batch], None]], console: "Console | None") -> Aggregates:
    if console is None or not console.is_terminal:
        return fold(samples.only_pass(), others=others)
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("reading samples"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task("samples", total=samples.rows or None)
        return fold(samples.only_pass(), lambda rows: bar.advance(task, rows), others)


def write(path: Path, texts: Mapping[str, str], pictures: list[Picture]) -> None:
    """Write the files of the report into the run directory, each whole; figures of an older report go, and nothing else."""
    folder = own_folder(path / "figures")
    for name in FIGURES:
        for ending in ("png", "svg"):
            (folder / f"{name}.{ending}").unlink(missing_ok=True)
    for one in pictures:
        replace(folder / f"{one.name}.svg", standalone_svg(one))
        replace(folder / f"{one.name}.png", one.png)
    for name, text in texts.items():
        replace(path / name, text)
