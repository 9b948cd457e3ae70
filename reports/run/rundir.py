"""Reads a run directory as it is found: whole, half written, or damaged, and says what is missing."""

import contextlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from harness.errors import UsageError

SCHEMA = 1
"""The newest run-directory schema that this version reads."""

_NOT_IN_ORDER = "the run did not end in order"


@dataclass(frozen=True)
class Ledger:
    """What the ledger files say of the chats: distinct ids started, ended (by how), and calls never answered."""

    started: int = 0
    ended: dict[str, int] = field(default_factory=dict)
    open_ids: int = 0
    unanswered: int = 0
    torn_lines: int = 0
    files: int = 0


@dataclass(frozen=True)
class Run:
    """A run directory's manifest and file names.

    `manifest` holds only values of the type that schema 1 promises; whatever was not is left out and named in
    `problems`, one sentence each. Times are unix seconds.
    """

    path: Path
    manifest: dict[str, Any]
    sample_files: tuple[Path, ...]
    problems: tuple[str, ...]

    @property
    def finished(self) -> bool:
        """Whether the harness closed the run itself."""
        return self.manifest.get("status") == "finished"

    def section(self, name: str) -> dict[str, Any]:
        """The manifest's table `name`, empty if it has none."""
        value = self.manifest.get(name)
        return value if isinstance(value, dict) else {}


def read_run(path: Path) -> Run:
    """Read the run directory at `path`.

    Raises UsageError if there is no such directory, it is not a run directory, or a newer version wrote it.
    """
    if not path.exists():
        raise UsageError(f"{path} does not exist; give the run directory that locust wrote, such as runs/<time>-<user>")
    if not path.is_dir():
        raise UsageError(f"{path} is a file; give the run directory that holds run.json and samples/")
    manifest_path, samples = path / "run.json", path / "samples"
    if not manifest_path.exists() and not samples.is_dir():
        raise UsageError(f"{path} is not a run directory: it has neither run.json nor samples/")
    manifest, problems = _manifest(manifest_path)
    files = _sample_files(samples)
    if not files:
        problems.append("samples/ holds no samples: no call was recorded")
    return Run(path, manifest, files, tuple(problems))


def _sample_files(samples: Path) -> tuple[Path, ...]:
    """The parquet files, and the journals (`.arrows`) that a killed run did not get to turn into one."""
    whole = {file.stem: file for file in samples.glob("*.arrows") if file.is_file()}
    whole |= {file.stem: file for file in samples.glob("*.parquet") if file.is_file()}
    return tuple(sorted(whole.values()))


def _manifest(path: Path) -> tuple[dict[str, Any], list[str]]:
    try:
        raw: Any = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}, ["run.json is missing: options, target and generator figures are unknown"]
    except (OSError, ValueError, RecursionError) as error:
        return {}, [f"run.json cannot be read ({_first_line(error)}): options, target and generator are unknown"]
    if not isinstance(raw, dict):
        return {}, ["run.json is not a table: options, target and generator figures are unknown"]
    schema = raw.get("schema")
    if isinstance(schema, (int, float)) and not isinstance(schema, bool) and schema > SCHEMA:
        raise UsageError(
            f"{path} has schema {schema}; this chatquota reads up to schema {SCHEMA}: report it with a newer chatquota"
        )
    manifest, problems = _typed(raw)
    if schema != SCHEMA:
        problems.append(f"run.json does not say schema {SCHEMA}: read as if it did")
    if manifest.get("status") != "finished":
        problems.append(f"{_NOT_IN_ORDER} (status {manifest.get('status', 'unknown')!r}): its last samples may be lost")
    return manifest, problems


def _typed(raw: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    problems: list[str] = []

    def keep(table: dict[str, Any], checks: dict[str, Callable[[Any], bool]], prefix: str) -> dict[str, Any]:
        kept = {}
        for key, value in table.items():
            check = checks.get(key)
            if value is None or check is None or check(value):
                kept[key] = value
            else:
                problems.append(f"run.json: {prefix}{key} is not what schema {SCHEMA} says: left out")
        return kept

    manifest = keep(raw, _TOP, "")
    for name, checks in _TABLES.items():
        if isinstance(manifest.get(name), dict):
            manifest[name] = keep(manifest[name], checks, f"{name}.")
    if isinstance(manifest.get("answers"), list):
        manifest["answers"] = [answer for answer in manifest["answers"] if isinstance(answer, dict)]
    return manifest, problems


def is_number(value: Any) -> bool:
    """Whether `value` is a finite number and not a truth value."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_reasons(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(reason, str) for reason in value)


def _is_counts_by_second(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_second(key) and _is_count(count) for key, count in value.items())


def _is_counts(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_count(count) for count in value.values())


def _is_numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(entry is None or is_number(entry) for entry in value.values())


def _is_second(key: str) -> bool:
    with contextlib.suppress(ValueError):
        return is_number(float(key))
    return False


_TOP: dict[str, Callable[[Any], bool]] = {
    "run_id": _is_text,
    "user_class": _is_text,
    "status": _is_text,
    "ended_by": _is_text,
    "started_at": is_number,
    "ended_at": is_number,
    "exit_code": is_number,
    "answers": _is_list,
    "chat_ends": _is_counts,
} | dict.fromkeys(
    ("versions", "options", "target", "workload", "declared", "generator", "chats", "retry_lab"), _is_table
)

_TABLES: dict[str, dict[str, Callable[[Any], bool]]] = {
    "generator": {
        "dropped_by_second": _is_counts_by_second,
        "valid": lambda value: isinstance(value, bool),
        "reasons": _is_reasons,
        "processes": _is_list,
    }
    | dict.fromkeys(("offered", "sent", "dropped", "withheld"), _is_count)
    | dict.fromkeys(("samples_recorded", "samples_lost"), _is_count)
    | dict.fromkeys(("offered_per_s", "lateness_ms_p50", "lateness_ms_p99", "cpu_percent_max"), is_number),
    "chats": dict.fromkeys(("started", "stopped", "already_ended", "kept", "left_open", "unanswered"), _is_count),
    "retry_lab": {"mode": _is_text, "gave_up": _is_counts, "attempts_by_call": _is_counts}
    | dict.fromkeys(("calls", "attempts", "started", "retry_quota_reached"), _is_count)
    | dict.fromkeys(("goodput_per_s", "attempts_per_started_chat"), is_number)
    | dict.fromkeys(("latency_ms", "added_latency_ms"), _is_numbers),
    "workload": {"kinds": _is_list, "source": _is_text},
    "target": dict.fromkeys(("endpoint", "region", "instance_id", "contact_flow_id", "emulator"), _is_text),
}


def read_ledger(run: Run) -> Ledger:
    """Count the chats in the run's ledger files; lines that a crash tore or that are of no known event are skipped."""
    started: set[str] = set()
    ended: dict[str, str] = {}
    unanswered, torn, files = 0, 0, 0
    for path in sorted(run.path.glob("contacts.*")):
        files += 1
        for line in _lines(path):
            try:
                entry = orjson.loads(line)
            except orjson.JSONDecodeError:
                torn += 1
                continue
            if not isinstance(entry, dict):
                torn += 1
                continue
            event, contact = entry.get("event"), entry.get("contact_id")
            if event == "started" and isinstance(contact, str):
                started.add(contact)
            elif event == "ended" and isinstance(contact, str):
                ended[contact] = str(entry.get("how"))
            elif event == "unanswered":
                unanswered += 1
    how: dict[str, int] = {}
    for contact, reason in ended.items():
        if contact in started:
            how[reason] = how.get(reason, 0) + 1
    left = sum(1 for contact in started if ended.get(contact) in (None, "kept"))
    return Ledger(len(started), how, left, unanswered, torn, files)


def _lines(path: Path) -> list[bytes]:
    try:
        return [line for line in path.read_bytes().split(b"\n") if line.strip()]
    except OSError:
        return []


def validity(run: Run) -> tuple[bool, list[str]]:
    """Whether the generator, by its own account, kept to the schedule; and each reason why it did not."""
    generator = run.section("generator")
    reasons = [str(reason) for reason in generator.get("reasons") or []]
    if not run.finished:
        reasons.append(_NOT_IN_ORDER)
    if "valid" not in generator:
        reasons.append("the generator left no account of itself")
    elif not generator["valid"] and not reasons:
        reasons.append("the generator called the run invalid and gave no reason")
    return not reasons and generator.get("valid") is True, reasons


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
