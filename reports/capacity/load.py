"""Reads `capacity.json`, of schema 1 or 2, from a run directory or by its own path."""

from pathlib import Path
from shlex import quote

import msgspec

from harness.errors import UsageError
from harness.recording.format.files import MiB, read_plain
from reports.capacity.model import SCHEMA, Capacity, Target, TargetKind

FILE = "capacity.json"
LONGEST = 64 * MiB


def load_capacity(path: Path) -> Capacity:
    """Read the capacity.json of a run directory, or the file itself. Raises UsageError that says how to make one."""
    file = path / FILE
    try:
        file = path / FILE if path.is_dir() else path
        content = read_plain(file, LONGEST)
    except FileNotFoundError:
        if path.is_dir():
            raise UsageError(f"{path} has no {FILE}; make it with `chatquota report {quote(str(path))}`") from None
        raise UsageError(f"{path} does not exist; give a run directory or a {FILE}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{str(file)!r} cannot be read ({reason}); make it with `chatquota report RUN`") from None
    return parse_capacity(content, str(file))


def parse_capacity(content: bytes, where: str) -> Capacity:
    """Validate the text of a capacity.json. Raises UsageError that names the place and what is wrong with it."""
    try:
        schema = msgspec.json.decode(content, type=_Schema).schema
        if schema > SCHEMA:
            raise UsageError(
                f"{where} has schema {schema}; this chatquota reads schemas 1 to {SCHEMA}: use a newer one"
            )
        answer = msgspec.json.decode(content, type=Capacity)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UsageError(f"{where} is not a {FILE} ({reason}); make it with `chatquota report RUN`") from None
    if answer.target is None:
        answer = msgspec.structs.replace(answer, target=_target_of_schema_1(answer))
    return answer


class _Schema(msgspec.Struct):
    schema: int


def _target_of_schema_1(answer: Capacity) -> Target:
    run = answer.run
    kind: TargetKind | None = None if run.live is None else "live" if run.live else "lab"
    return Target(kind, run.endpoint, None, run.region, run.instance_id)
