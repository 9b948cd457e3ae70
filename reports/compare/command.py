"""Runs `chatquota compare`: refuses what cannot be compared, prints the deltas, draws the trend."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.errors import UsageError
from reports.capacity.load import load_capacity
from reports.capacity.model import Capacity
from reports.ci.gates import tell_github
from reports.compare.comparison import Delta, compare, differences, figure
from reports.compare.texts import cell_text, change_text
from reports.figures.picture import OUTCOME_COLOURS, Picture, standalone_svg
from reports.figures.style import picture, report_style, wide_figure
from reports.run.files import replace
from reports.wording.numbers import utc
from reports.wording.vocabulary import QUOTA, STARTED, TPS

_STYLES = {"worse": "bold red", "better": "green"}


def run_compare(paths: Sequence[Path], *, tolerance: float, allow: Sequence[str], out: Path | None) -> int:
    """Compare the first run with each of the others; return 1 if a metric got worse in any of them, else 0.

    Raises UsageError for a run that is invalid or was made under other conditions.
    """
    answers = [load_capacity(path) for path in paths]
    _refuse(paths, answers, frozenset(allow))
    base, console = answers[0], Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:  # a log of a CI job has no width to keep to
        console = Console(width=150)
    deltas = {str(path): compare(base, new, tolerance) for path, new in zip(paths[1:], answers[1:], strict=True)}
    for path, rows in deltas.items():
        console.print(_table(f"{path} against {paths[0]}", rows))
    worse = [(path, row) for path, rows in deltas.items() for row in rows if row.direction == "worse"]
    text = markdown(str(paths[0]), deltas)
    if out is not None:
        _write(out, text, deltas, answers)
        console.print(Text(f"comparison: {out / 'compare.md'}"), soft_wrap=True)
    lines = [f"::error title=Regression::{row.metric} got worse in {path}: {change_text(row)}" for path, row in worse]
    tell_github(lines, text)
    return 1 if worse else 0


def _refuse(paths: Sequence[Path], answers: Sequence[Capacity], allowed: frozenset[str]) -> None:
    for path, answer in zip(paths, answers, strict=True):
        if not answer.generator.valid and "validity" not in allowed:
            raise UsageError(
                f"{path} is an invalid run ({'; '.join(answer.generator.reasons)}); "
                "make it again, or add --allow validity"
            )
    for path, answer in zip(paths[1:], answers[1:], strict=True):
        if found := differences(answers[0], answer, allowed):
            names = " ".join(f"--allow {text.split(' ')[0]}" for text in found)
            raise UsageError(
                f"{paths[0]} and {path} differ in {', '.join(found)}; to compare them all the same, add {names}"
            )


def _table(title: str, rows: Sequence[Delta]) -> Table:
    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("metric", "base", "new"):
        table.add_column(name, justify="left" if name == "metric" else "right", no_wrap=True)
    table.add_column("change (interval)", justify="right", min_width=16)
    table.add_column("verdict", min_width=14)
    for row in rows:
        verdict = Text(
            row.direction if not row.why else f"{row.direction}: {row.why}", style=_STYLES.get(row.direction, "")
        )
        table.add_row(row.metric, cell_text(row.base), cell_text(row.new), change_text(row), verdict)
    return table


def markdown(base: str, deltas: Mapping[str, Sequence[Delta]]) -> str:
    """The comparison as Markdown tables, one a run."""
    parts = []
    for path, rows in deltas.items():
        parts += [f"### {path} against {base}", "", "| metric | base | new | change | verdict |"]
        parts += ["| --- | ---: | ---: | ---: | --- |"]
        parts += [
            f"| {row.metric} | {cell_text(row.base)} | {cell_text(row.new)} | {change_text(row)} | "
            f"{'**worse**' if row.direction == 'worse' else row.direction}{f': {row.why}' if row.why else ''} |"
            for row in rows
        ]
        parts.append("")
    return "\n".join(parts)


def _write(out: Path, text: str, deltas: Mapping[str, Sequence[Delta]], answers: Sequence[Capacity]) -> None:
    with report_style():
        trend = trend_figure(answers)
    table = {path: [_plain(asdict(row)) for row in rows] for path, rows in deltas.items()}
    try:
        out.mkdir(parents=True, exist_ok=True)
        replace(out / "compare.md", f"{text}\n![trend](trend.png)\n")
        replace(out / "compare.json", json.dumps({"schema": 1, "deltas": table}, indent=2, allow_nan=False) + "\n")
        replace(out / "trend.svg", standalone_svg(trend))
        replace(out / "trend.png", trend.png)
    except OSError as error:
        raise UsageError(f"the comparison cannot be written to {out} ({error.strerror}); give another --out") from error


def _plain(value: Any) -> Any:
    """The value with infinite numbers, which JSON has no word for, as None."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def trend_figure(answers: Sequence[Capacity]) -> Picture:
    """Both limits and the latency of started chats over the runs, in the order given, with their intervals."""
    figure_, axes = wide_figure(3, 2.7)
    words = []
    for plot, metric, title, colour in zip(
        axes,
        ("tps.rate", "active_chats", "latency_ms.started.p50"),
        ("TPS rate (1/s)", "Active chats", "Median start (ms)"),
        (OUTCOME_COLOURS[TPS], OUTCOME_COLOURS[QUOTA], OUTCOME_COLOURS[STARTED]),
        strict=True,
    ):
        known = [
            (place, found) for place, answer in enumerate(answers, 1) if (found := figure(metric, answer)) is not None
        ]
        for place, found in known:
            if found.estimate is None:
                plot.plot(place, found.low, "^", color=colour, fillstyle="none")
            else:
                spread = [[found.estimate - found.low], [found.high - found.estimate]]
                plot.errorbar(place, found.estimate, yerr=spread, fmt="o", color=colour, markersize=4, capsize=3)
        plot.set_title(title)
        plot.set_xticks(range(1, len(answers) + 1))
        plot.set_xlim(0.5, len(answers) + 0.5)
        plot.set_ylim(bottom=0)
        plot.set_xlabel("run")
        words.append(f"{title}: {', '.join(cell_text(found) for _, found in known) or 'no numbers'}")
    began = ", ".join(utc(answer.run.started_at) for answer in answers)
    sentence = f"{'; '.join(words)}. Runs began at {began}."
    return picture("trend", "Trend over the runs", sentence, sentence, figure_)
