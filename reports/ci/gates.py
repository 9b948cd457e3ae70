"""Judges gates on an answer, and tells a CI service: JUnit XML, GitHub's annotations and step summary."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from harness.counting import counted
from harness.gates import CHAT_ENDS, Gate
from reports.capacity.model import Capacity

_NOT_XML = "[^\t\n\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
"""Compiled where XML is written: so large a class takes as long as loading msgspec."""


_UNRELIABLE = ", in an invalid run, of which no number is to be relied on"


@dataclass(frozen=True)
class Judgement:
    """One gate, what was found, and whether it passed. `found` is None where the run does not tell."""

    gate: Gate
    found: float | None
    passed: bool

    @property
    def text(self) -> str:
        """What happened, in one sentence."""
        if self.found is None:
            return f"{self.gate.metric} is unknown in this run, so that {self.gate.wanted} cannot be judged"
        return f"{self.gate.metric} is {self.found:g}, wanted {self.gate.wanted}"


def judge(gates: Iterable[Gate], answer: Capacity) -> list[Judgement]:
    """Judge each gate on the answer. A number that the run does not tell is a breach: it was not shown to be kept."""
    table: object = msgspec.to_builtins(answer)
    judgements = []
    for gate in gates:
        found = lookup(gate.metric, table)
        judgements.append(Judgement(gate, found, found is not None and gate.holds(found)))
    return judgements


def lookup(metric: str, answer: object) -> float | None:
    """The number that a gate's metric names in the plain form of an answer, or None."""
    if metric.startswith("locust."):
        request, _, statistic = metric.removeprefix("locust.").rpartition(".")
        keys = ["locust", request, statistic]
    elif metric.startswith("tps.safe.refused_at."):
        keys = ["tps", "safe", "refused_at", metric.removeprefix("tps.safe.refused_at.")]
    else:
        keys = metric.split(".")
    value = answer
    for key in keys:
        value = value.get(key, 0 if keys[0] == CHAT_ENDS else None) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, (int, float)) else None


@dataclass(frozen=True)
class GateRow:
    """One gate as the report shows it."""

    name: str
    wanted: str
    found: str
    result: str


@dataclass(frozen=True)
class GatesView:
    """The judgements as the report shows them."""

    breached: bool
    text: str
    rows: list[GateRow]


def view(judgements: list[Judgement], *, valid: bool = True) -> GatesView:
    """The judgements as the report shows them; of a run that is not `valid` a passed gate was not shown to be kept."""
    breached = [one for one in judgements if not one.passed]
    text = f"{len(judgements) - len(breached)} of {counted(len(judgements), 'gate')} passed{_UNRELIABLE * (not valid)}."
    if breached:
        text += " Breached: " + "; ".join(f"{one.gate.name} ({one.text})" for one in breached) + "."
    rows = [
        GateRow(
            one.gate.name,
            one.gate.wanted if one.gate.name == one.gate.metric else f"{one.gate.metric} {one.gate.wanted}",
            "unknown" if one.found is None else f"{one.found:g}",
            "passed" if one.passed else "BREACHED",
        )
        for one in judgements
    ]
    return GatesView(bool(breached), text, rows)


def junit(judgements: list[Judgement], run_id: str, reasons: Iterable[str] = ()) -> str:
    """The judgements as JUnit XML: one test case a gate. `reasons` say why the run is not valid, on its standard error."""
    import xml.etree.ElementTree as ET

    failures = sum(not one.passed for one in judgements)
    suite = ET.Element("testsuite", name="chatquota gates", tests=str(len(judgements)), failures=str(failures))
    suite.set("errors", "0")
    suite.set("skipped", "0")
    for one in judgements:
        case = ET.SubElement(suite, "testcase", classname=f"chatquota.{_legal(run_id)}", name=_legal(one.gate.name))
        if not one.passed:
            ET.SubElement(case, "failure", message=_legal(one.text), type="breach").text = _legal(one.text)
    if told := "; ".join(reasons):
        ET.SubElement(suite, "system-err").text = _legal(f"Invalid run: {told}. No number of it is to be relied on.")
    suites = ET.Element("testsuites", tests=str(len(judgements)), failures=str(failures))
    suites.append(suite)
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _legal(text: str) -> str:
    """Text without the characters that XML forbids."""
    return re.sub(_NOT_XML, "", text)


def annotations(judgements: list[Judgement], answer: Capacity) -> list[str]:
    """GitHub workflow commands: an error for each breached gate, a warning for an invalid run."""
    lines = [
        f"::error title={_property(f'Gate breached: {one.gate.name}')}::{_data(one.text)}"
        for one in judgements
        if not one.passed
    ]
    if not answer.generator.valid:
        lines.append(f"::warning title=Invalid run::{_data('; '.join(answer.generator.reasons))}")
    return lines


def tell_github(lines: list[str], summary: str, environment: Mapping[str, str] = os.environ) -> None:
    """Print the annotations and append to the step summary, if this runs in a GitHub workflow."""
    if environment.get("GITHUB_ACTIONS") == "true":
        for line in lines:
            print(line)
    if path := environment.get("GITHUB_STEP_SUMMARY"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(summary + "\n")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
