"""Reads a run directory as it is found: whole, half written, or damaged, and says what is missing."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import UsageError
from harness.quotas.stages import Stage
from harness.recording.format.files import check_own_directory, check_plain
from harness.recording.format.layout import MANIFEST, RUN_SCHEMA, SAMPLES, sample_files
from harness.recording.format.ledger import merge_ledgers, read_ledgers
from harness.recording.format.manifest import Chats, Manifest, NotReadable, StoredManifest, load_manifest
from harness.recording.lock import is_held
from reports.wording.vocabulary import GOING_ON

_NOT_IN_ORDER = "the run did not end in order"
_UNKNOWN = "options, target and generator figures are unknown"
_MOST_PROBLEMS = 20
_MOST_STAGES = 10_000
_FAR = 2.0**40


@dataclass(frozen=True)
class Run:
    """A run directory's manifest and file names.

    Whatever of run.json was not of its type is left out of `manifest` and named in `problems`, one sentence each. `told`
    holds the names that run.json has in its tables: what is not there is unknown, not zero. `stages` are those that a probe
    went through, in unix seconds. `going_on` is whether a process of this machine still writes it.
    """

    path: Path
    manifest: Manifest
    sample_files: tuple[Path, ...]
    problems: tuple[str, ...]
    stages: tuple[Stage, ...] = ()
    told: dict[str, frozenset[str]] = field(default_factory=dict)
    going_on: bool = False

    @property
    def finished(self) -> bool:
        """Whether the harness closed the run itself."""
        return self.manifest.status == "finished"

    def tells(self, table: str, name: str) -> bool:
        """Whether run.json says `name` in one of its tables."""
        return name in self.told.get(table, frozenset())

    @property
    def dropped_by_second(self) -> dict[int, int]:
        """Arrivals that were dropped, by unix second."""
        counts: Counter[int] = Counter()
        for second, count in self.manifest.generator.dropped_by_second.items():
            counts[int(float(second))] += count
        return dict(counts)


def read_run(path: Path) -> Run:
    """Read the run directory at `path`.

    Raises UsageError if there is no such directory, it is not a run directory, or a newer version wrote it.
    """
    try:
        return _read_run(path)
    except (OSError, ValueError) as error:  # no permission, a NUL byte or too long a name
        raise UsageError(f"{str(path)!r} cannot be read ({_first_line(error)}); give a run directory") from error


def _read_run(path: Path) -> Run:
    if not path.exists():
        raise UsageError(f"{path} does not exist; give the run directory that locust wrote, such as runs/<time>-<user>")
    if not path.is_dir():
        raise UsageError(f"{path} is a file; give the run directory that holds {MANIFEST} and {SAMPLES}/")
    samples = path / SAMPLES
    check_own_directory(samples)
    if not (path / MANIFEST).exists() and not samples.is_dir():
        raise UsageError(f"{path} is not a run directory: it has neither {MANIFEST} nor {SAMPLES}/")
    stored, problems = _read_manifest(path)
    files = tuple(sample_files(samples))
    for file in files:
        check_plain(file)
    if not files:
        problems.append(f"{SAMPLES}/ holds no samples: no call was recorded")
    told = {
        name: frozenset(key for key, value in stored.section(name).items() if value is not None)
        for name in ("generator", "chats", "target")
    }
    going_on = stored.contents.status == "running" and is_held(path)
    return Run(path, stored.contents, files, tuple(problems), _stages(stored), told, going_on)


def _read_manifest(path: Path) -> tuple[StoredManifest, list[str]]:
    """Read run.json, and what is wrong with it, one sentence each. Raises UsageError if a newer version wrote it."""
    nothing = StoredManifest(Manifest(), {}, (), None)
    try:
        stored = load_manifest(path)
    except FileNotFoundError:
        return nothing, [f"{MANIFEST} is missing: {_UNKNOWN}"]
    except NotReadable as error:
        reason = str(error).removeprefix(f"{path / MANIFEST}: ")
        return nothing, [f"{MANIFEST} cannot be read ({reason}): {_UNKNOWN}"]
    problems = list(stored.problems[:_MOST_PROBLEMS])
    if stored.schema != RUN_SCHEMA:
        problems.append(f"{MANIFEST} does not say schema {RUN_SCHEMA}: read as if it did")
    status = stored.contents.status
    if status == "running" and is_held(path):
        problems.append(f"{GOING_ON}: this is what it has recorded so far")
    elif status != "finished":
        problems.append(f"{_NOT_IN_ORDER} (status {status or 'unknown'!r}): its last samples may be lost")
    return stored, problems


def _stages(stored: StoredManifest) -> tuple[Stage, ...]:
    """The stages that a probe wrote down; none where it wrote none, or they are not stages."""
    probe = stored.contents.probe
    if probe is None or len(probe.stages) > _MOST_STAGES:
        return ()
    try:
        stages = [Stage.of_json(one) for one in probe.stages]
    except (ValueError, OverflowError):
        return ()
    told = [(one.begin, one.end, one.offered, one.rest) for one in stages]
    return tuple(stages) if all(abs(value) < _FAR for numbers in told for value in numbers) else ()


def ledger_chats(run: Run) -> Chats | None:
    """What the run's ledgers say of its chats; None where there is no ledger. Raises UsageError for one that is hostile."""
    records = read_ledgers(run.path)
    return merge_ledgers(records).counts() if records else None


def validity(run: Run) -> tuple[bool, list[str]]:
    """Whether the generator, by its own account, kept to the schedule; and each reason why it did not."""
    generator = run.manifest.generator
    reasons = list(generator.reasons)
    if not run.finished:
        reasons.append(GOING_ON if run.going_on else _NOT_IN_ORDER)
    if not run.tells("generator", "valid") and not run.going_on:
        reasons.append("the generator left no account of itself")
    elif not generator.valid and not reasons:
        reasons.append("the generator called the run invalid and gave no reason")
    return not reasons and generator.valid, reasons


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
