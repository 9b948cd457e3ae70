"""Judges gates on an answer, and tells a CI service: JUnit XML, GitHub's annotations and step summary."""

import os
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.gates import Gate


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


def judge(gates: Iterable[Gate], answer: Mapping[str, Any]) -> list[Judgement]:
    """Judge each gate on the answer. A number that the run does not tell is a breach: it was not shown to be kept."""
    judgements = []
    for gate in gates:
        found = lookup(gate.metric, answer)
        judgements.append(Judgement(gate, found, found is not None and gate.holds(found)))
    return judgements


def lookup(metric: str, answer: Mapping[str, Any]) -> float | None:
    """The number that a gate's metric names, or None."""
    if metric.startswith("locust."):
        request, _, statistic = metric.removeprefix("locust.").rpartition(".")
        keys = ["locust", request, statistic]
    else:
        keys = metric.split(".")
    value: Any = answer
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, (int, float)) else None


def view(judgements: list[Judgement]) -> dict[str, Any]:
    """The judgements as the report shows them."""
    breached = [one for one in judgements if not one.passed]
    text = f"{len(judgements) - len(breached)} of {len(judgements)} gates passed."
    if breached:
        text += " Breached: " + "; ".join(f"{one.gate.name} ({one.text})" for one in breached) + "."
    rows = [
        {
            "name": one.gate.name,
            "wanted": one.gate.wanted if one.gate.name == one.gate.metric else f"{one.gate.metric} {one.gate.wanted}",
            "found": "unknown" if one.found is None else f"{one.found:g}",
            "result": "passed" if one.passed else "BREACHED",
        }
        for one in judgements
    ]
    return {"breached": bool(breached), "text": text, "rows": rows}


def junit(judgements: list[Judgement], run_id: str) -> str:
    """The judgements as JUnit XML: one test case a gate."""
    failures = sum(not one.passed for one in judgements)
    suite = ET.Element("testsuite", name="chatquota gates", tests=str(len(judgements)), failures=str(failures))
    suite.set("errors", "0")
    suite.set("skipped", "0")
    for one in judgements:
        case = ET.SubElement(suite, "testcase", classname=f"chatquota.{_legal(run_id)}", name=_legal(one.gate.name))
        if not one.passed:
            ET.SubElement(case, "failure", message=_legal(one.text), type="breach").text = _legal(one.text)
    suites = ET.Element("testsuites", tests=str(len(judgements)), failures=str(failures))
    suites.append(suite)
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _legal(text: str) -> str:
    """Text without the control characters that XML forbids."""
    return "".join(letter for letter in text if letter in "\t\n" or letter >= " ")


def annotations(judgements: list[Judgement], answer: Mapping[str, Any]) -> list[str]:
    """GitHub workflow commands: an error for each breached gate, a warning for an invalid run."""
    lines = [
        f"::error title={_property(f'Gate breached: {one.gate.name}')}::{_data(one.text)}"
        for one in judgements
        if not one.passed
    ]
    if not answer["generator"]["valid"]:
        lines.append(f"::warning title=Invalid run::{_data('; '.join(answer['generator']['reasons']))}")
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
