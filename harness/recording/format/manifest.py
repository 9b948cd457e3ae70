"""The manifest `run.json`: its contents as types, written in one step, and read with whatever of it can be trusted."""

import contextlib
import os
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import orjson
from msgspec import Meta, Struct

from harness.errors import UsageError
from harness.recording.format.files import MiB, open_plain, read_plain
from harness.recording.format.journey_probe import JourneyProbe
from harness.recording.format.layout import MANIFEST, RUN_SCHEMA

LONGEST_MANIFEST = 64 * MiB

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Number = Annotated[float, Meta(ge=-1e300, le=1e300)]
Text = Annotated[str, Meta(max_length=100_000)]
Second = Annotated[str, Meta(pattern=r"^-?\d{1,12}(\.\d{1,9})?$")]
Table = dict[str, object]


class Target(Struct, frozen=True):
    """What a run called: `kind` is lab or live (None in runs of 0.1), `account` AWS's of a live one, `emulator` the settings
    of an embedded emulator, None for any other target.
    """

    kind: Text | None = None
    account: Text | None = None
    endpoint: Text = ""
    region: Text = ""
    instance_id: Text = ""
    contact_flow_id: Text = ""
    live: bool = False
    emulator: Text | None = None
    approval: Text | None = None


class Workload(Struct, frozen=True):
    """Where the workload came from, how chats are drawn from it ("weighted" or "balanced"; older runs: by weight), its kinds
    of chat (name, weight, invalid) and conversations (name, weight, turns).
    """

    source: Text = ""
    seed: int | None = None
    draw: Text = "weighted"
    kinds: list[Table] = []
    conversations: list[Table] = []


class Generator(Struct, frozen=True):
    """What the load generator did and whether the run is valid. Counts are arrivals and samples; `reasons` are sentences."""

    offered: Count = 0
    sent: Count = 0
    dropped: Count = 0
    withheld: Count = 0
    dropped_late: Count = 0
    samples_recorded: Count = 0
    samples_lost: Count = 0
    dropped_by_second: dict[Second, Count] = {}
    workers_lost: list[Text] = []
    offered_per_s: Number | None = None
    lateness_ms_p50: Number | None = None
    lateness_ms_p99: Number | None = None
    cpu_percent_max: Number | None = None
    valid: bool = False
    reasons: list[Text] = []
    processes: list[Table] = []


class Chats(Struct, frozen=True):
    """What became of the run's chats."""

    started: Count = 0
    stopped: Count = 0
    already_ended: Count = 0
    kept: Count = 0
    left_open: Count = 0
    unanswered: Count = 0


class SdkRetries(Struct, frozen=True):
    """What an SDK's retry mode did to a run (`retry_lab` in the file)."""

    mode: Text = ""
    calls: Count = 0
    attempts: Count = 0
    started: Count = 0
    retry_quota_reached: Count = 0
    gave_up: dict[str, Count] = {}
    attempts_by_call: dict[str, Count] = {}
    goodput_per_s: Number | None = None
    attempts_per_started_chat: Number | None = None
    latency_ms: dict[str, Number | None] = {}
    added_latency_ms: dict[str, Number | None] = {}


class WorkerClock(Struct, frozen=True):
    """A worker's clock beside the master's, in seconds. All its times were `moved` by so much, and are then `within` so much
    of the master's; None where that was not measured. `off_at_end` is how far ahead they were when the run had ended, give
    or take `off_at_end_within`.
    """

    moved: Number = 0.0
    within: Number | None = None
    off_at_end: Number | None = None
    off_at_end_within: Number = 0.0


class Probe(Struct, frozen=True):
    """What QuotaProbe did, in order: `stages` as `harness.quotas.stages.Stage` reads them, times in unix seconds."""

    stages: list[Table] = []


_MOST_EVENTS = 10_000
EventKind = Literal["users", "drain", "worker_lost"]


class Event(Struct, frozen=True):
    """Something that happened to a run at unix second `at`: from then on there were `value` users, its chats were being
    stopped, or the worker in `note` was lost.
    """

    at: Number
    kind: EventKind
    value: Number | None = None
    note: Text = ""


class Manifest(Struct, frozen=True):
    """The manifest of a run. `status` is running, finished or recovered; times are unix seconds. What a file lacks, or has
    of another type, is as it stands here.
    """

    run_id: Text = ""
    owner: Text | None = None
    user_class: Text = ""
    status: Text = ""
    ended_by: Text | None = None
    exit_code: int | None = None
    started_at: Number | None = None
    ended_at: Number | None = None
    versions: Table = {}
    options: Table = {}
    target: Target = Target()
    workload: Workload = Workload()
    declared: Table = {}
    generator: Generator = Generator()
    answers: list[Table] = []
    chats: Chats = Chats()
    chat_ends: dict[str, Count] = {}
    retry_lab: SdkRetries | None = None
    probe: Probe | None = None
    journey_probe: JourneyProbe | None = None
    clocks: dict[Text, WorkerClock] = {}
    events: list[Table] = []


def events_of(tables: list[Table]) -> list[Event]:
    """Return the events that a manifest holds; what is none is left out."""
    events = []
    for table in tables[:_MOST_EVENTS]:
        with contextlib.suppress(msgspec.ValidationError):
            events.append(msgspec.convert(table, Event))
    return events


@dataclass(frozen=True)
class StoredManifest:
    """A `run.json` that was read: `contents` as types, and `tables` as the file has them.

    `tables` keeps what this version does not know, so that a manifest can be written back without loss; what is not of the
    type that the schema says is in neither, and is named in `problems`, a sentence each. `schema` may be None.
    """

    contents: Manifest
    tables: Table
    problems: tuple[str, ...]
    schema: int | None

    def section(self, name: str) -> Table:
        """Return the table `name` of the file, empty where it has none."""
        value = self.tables.get(name)
        return value if isinstance(value, dict) else {}


class NotReadable(UsageError):
    """A `run.json` that is there and cannot be read as one."""


def write_manifest(directory: Path, manifest: Mapping[str, object]) -> None:
    """Replace `run.json` in one step, so that a reader never sees half of it."""
    partial = directory / f".{MANIFEST}.{os.getpid()}"
    content = orjson.dumps({"schema": RUN_SCHEMA, **manifest}, option=orjson.OPT_INDENT_2) + b"\n"
    partial.unlink(missing_ok=True)
    try:
        fd = open_plain(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
        partial.replace(directory / MANIFEST)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def read_manifest(directory: Path) -> StoredManifest:
    """Return `run.json` of a run directory.

    Raises UsageError, in one line, when there is none, it cannot be read, it is not a run's, or a newer chatquota wrote it.
    """
    try:
        stored = load_manifest(directory)
    except FileNotFoundError as error:
        raise UsageError(f"{directory}: no {MANIFEST} there; name a run directory, such as one under runs/") from error
    if stored.schema is None:
        raise NotReadable(f"{directory / MANIFEST}: not the manifest of a run")
    return stored


def load_manifest(directory: Path) -> StoredManifest:
    """Return `run.json`, be it without a schema. Raises FileNotFoundError, NotReadable, and UsageError for a newer one."""
    path = directory / MANIFEST
    try:
        tables = orjson.loads(read_plain(path, LONGEST_MANIFEST))
        orjson.dumps(tables)  # of less depth than it reads
    except FileNotFoundError:
        raise
    except OSError as error:
        raise NotReadable(f"{path}: {(error.strerror or 'cannot be read').lower()}") from error
    except orjson.JSONDecodeError as error:
        raise NotReadable(f"{path}: not valid JSON ({error}); the file is damaged") from error
    except TypeError as error:
        raise NotReadable(f"{path}: nested too deeply; no run writes such a file") from error
    if not isinstance(tables, dict):
        raise NotReadable(f"{path}: not the manifest of a run")
    schema = tables.get("schema")
    if isinstance(schema, int | float) and not isinstance(schema, bool) and schema > RUN_SCHEMA:
        raise UsageError(
            f"{path}: written by a newer chatquota (schema {schema}, this one reads {RUN_SCHEMA}); upgrade chatquota"
        )
    problems: list[str] = []
    kept = _keep(Manifest, tables, "", problems)
    known = schema if isinstance(schema, int) and not isinstance(schema, bool) else None
    return StoredManifest(msgspec.convert(_present(kept), Manifest), kept, tuple(problems), known)


def _keep(kind: type[Struct], table: Table, prefix: str, problems: list[str]) -> Table:
    """Return the entries of `table` that have the types of `kind`, and those that it does not know."""
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    kept: Table = {}
    for key, value in table.items():
        expected = _inner(fields.get(key))
        if expected is None or value is None:
            kept[key] = value
        elif _is_struct(expected):
            if isinstance(value, dict):
                kept[key] = _keep(expected, value, f"{prefix}{key}.", problems)
            else:
                problems.append(_wrong(f"{prefix}{key}"))
        elif expected == list[Table] and isinstance(value, list):
            kept[key] = [item for item in value if isinstance(item, dict)]
        else:
            try:
                msgspec.convert(value, expected)
                kept[key] = value
            except msgspec.ValidationError:
                problems.append(_wrong(f"{prefix}{key}"))
    return kept


def _present(table: Table) -> Table:
    """Return `table` without what is null: the type's own default stands for it."""
    return {
        key: _present(value) if isinstance(value, dict) and key in _SECTIONS else value
        for key, value in table.items()
        if value is not None
    }


def _inner(expected: typing.Any) -> typing.Any:
    """Return the struct of `Struct | None`; any other type as it is."""
    options = typing.get_args(expected) if isinstance(expected, types.UnionType) else ()
    return next((option for option in options if _is_struct(option)), expected)


def _is_struct(expected: object) -> bool:
    return isinstance(expected, type) and issubclass(expected, Struct)


def _wrong(name: str) -> str:
    return f"{MANIFEST}: {name} is not what schema {RUN_SCHEMA} says: left out"


_SECTIONS = {field.name for field in msgspec.structs.fields(Manifest) if _is_struct(_inner(field.type))}
