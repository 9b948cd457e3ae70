"""Makes a report: reads the run, folds its samples, infers the limits, draws, and writes the files beside it."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from harness.gates import Gate
from harness.usage import UsageError
from reports import figures, variety_figures
from reports.capacity import capacity
from reports.evidence import Inference, infer
from reports.fold import Aggregates, fold
from reports.gates import annotations, judge, junit, tell_github
from reports.gates import view as gates_view
from reports.histogram import Histograms
from reports.limit_figures import bucket_trace, feasible_region
from reports.page import render
from reports.request import request_text
from reports.rundir import Run, is_number, read_run
from reports.samples import count_rows, read_batches
from reports.style import Picture, report_style, standalone_svg
from reports.terminal import print_gates, print_summary
from reports.timeline import Timeline, timeline
from reports.vocabulary import SIZE_BANDS, START_OUTCOMES, UNKNOWN
from reports.wanted import Wanted


def build_report(
    path: Path,
    *,
    gates: tuple[Gate, ...] = (),
    junit_path: Path | None = None,
    wanted: Wanted | None = None,
    quiet: bool = False,
) -> int:
    """Make the report of the run directory at `path`; return 1 if one of `gates` was breached, else 0.

    With `wanted`, the text of a quota-increase request is written beside it. Raises UsageError if there is no such run or
    it cannot be written to.
    """
    run = read_run(path)
    console = Console(quiet=quiet)
    total = _fold(run, console)
    view = timeline(total, _dropped(run))
    inference = infer(run, total)
    answer = capacity(run, total, inference, view)
    with report_style():
        pictures = draw(answer, total, view, inference)
    judgements = judge(gates, answer)
    shown = gates_view(judgements) if gates else None
    html, markdown = render(answer, pictures, table_of(total.kinds.numbers, total.by_kind), shown)
    texts = {"report.md": markdown, "report.html": html}
    if wanted is not None:
        texts["quota-request.md"] = request_text(answer, wanted)
    texts["capacity.json"] = json.dumps(answer, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        write(run.path, texts, pictures)
        if gates:
            replace(junit_path or run.path / "junit.xml", junit(judgements, answer["run"]["id"]))
        tell_github(annotations(judgements, answer), markdown)
    except OSError as error:
        raise UsageError(
            f"{error.filename or run.path} cannot be written ({error.strerror}); give a place that can"
        ) from error
    print_summary(answer, run.path / "report.html", console)
    if shown is not None:
        print_gates(shown, console)
    return 1 if shown is not None and shown["breached"] else 0


def _fold(run: Run, console: Console) -> Aggregates:
    bar = Progress(
        TextColumn("reading samples"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task("samples", total=count_rows(run.sample_files) or None)
        return fold(read_batches(run.sample_files), lambda rows: bar.advance(task, rows))


def _dropped(run: Run) -> dict[int, int]:
    by_second = run.section("generator").get("dropped_by_second") or {}
    return {int(float(second)): int(count) for second, count in by_second.items()}


def draw(answer: Mapping[str, Any], total: Aggregates, view: Timeline, inference: Inference) -> list[Picture]:
    """Draw every figure that the run has something to show in."""
    if not len(view.rates) or not sum(answer["outcomes"].values()):
        return []
    types, bands = table_of(total.types.numbers, total.by_type), table_of(_bands(), total.by_band)
    type_latency = latency_table(total.types.numbers, total.started_by_type)
    band_latency = latency_table(_bands(), total.started_by_band)
    entry = answer["declared"].get("active_chats")
    declared = entry.get("value") if isinstance(entry, dict) and is_number(entry.get("value")) else None
    pictures = [figures.outcomes_over_time(view, answer), figures.active_chats(view, answer, declared)]
    if inference.tps.trace is not None and len(inference.tps.trace.at):
        pictures.append(bucket_trace(inference.tps, total.first))
    if inference.tps.region is not None and inference.tps.region.probability.size:
        pictures.append(feasible_region(inference.tps))
    if answer["latency_ms"]:
        pictures.append(figures.latency(total, answer))
    pictures.append(variety_figures.varieties(types, bands))
    if len(type_latency):
        pictures.append(variety_figures.variety_latency(type_latency, band_latency))
    if answer["generator"]["measured_lateness_ms"]["p50"] is not None:
        pictures.append(figures.lateness(view, answer))
    return pictures


def table_of(numbers: Mapping[str, int], counts: NDArray[Any]) -> pd.DataFrame:
    """A row for each category that occurred, a column for each outcome that occurred."""
    names = [*START_OUTCOMES, "ok", UNKNOWN]
    counts = counts[:, : len(names)]
    rows = {name or "(not set)": counts[number] for name, number in numbers.items() if counts[number].any()}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=names)
    return table.loc[:, (table != 0).any()]


def latency_table(numbers: Mapping[str, int], histograms: Histograms) -> pd.DataFrame:
    """p50, p95 and p99 (ms) of each category that has durations."""
    rows = {}
    for name, number in numbers.items():
        if histograms.total(number):
            values = [histograms.quantile(number, q) for q in (0.5, 0.95, 0.99)]
            rows[name or "(not set)"] = [value * 1000 for value in values if value is not None]
    return pd.DataFrame.from_dict(rows, orient="index", columns=["p50", "p95", "p99"])


def _bands() -> dict[str, int]:
    return {name: number for number, (_, name) in enumerate(SIZE_BANDS)}


def write(path: Path, texts: Mapping[str, str], pictures: list[Picture]) -> None:
    """Write the files of the report into the run directory, each whole; figures of an older report go."""
    folder = path / "figures"
    folder.mkdir(exist_ok=True)
    for old in (*folder.glob("*.png"), *folder.glob("*.svg")):
        old.unlink()
    for one in pictures:
        (folder / f"{one.name}.svg").write_text(standalone_svg(one), "utf-8")
        (folder / f"{one.name}.png").write_bytes(one.png)
    for name, text in texts.items():
        replace(path / name, text)


def replace(path: Path, text: str) -> None:
    """Write a file whole: a reader sees the old one or the new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise
