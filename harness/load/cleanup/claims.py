"""What a run directory says of where its chats are. It may come from anywhere, so what it says must agree with itself."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.recording import owner
from harness.recording.format.layout import MANIFEST, is_worker_name
from harness.recording.format.ledger import LedgerRecord
from harness.recording.format.manifest import Manifest


@dataclass(frozen=True)
class Claims:
    """What manifest and ledgers agree on, "" where neither says; `own`: this user wrote the directory on this machine."""

    run_id: str = ""
    endpoint: str = ""
    region: str = ""
    instance_id: str = ""
    contact_flow_id: str = ""
    live: bool = False
    embedded: bool = False
    own: bool = False


def read_claims(directory: Path, manifest: Manifest | None, ledgers: Iterable[LedgerRecord]) -> Claims:
    """Return what a run directory says of its target.

    Raises UsageError where its files contradict each other, which no run's do, and for a run id that is not one.
    """
    manifest = manifest or Manifest()
    target = manifest.target
    known = {
        "run_id": (manifest.run_id, MANIFEST),
        "endpoint": (target.endpoint, MANIFEST),
        "region": (target.region, MANIFEST),
        "instance_id": (target.instance_id, MANIFEST),
    }
    for ledger in ledgers:
        for name, (value, where) in known.items():
            theirs = getattr(ledger.header, name, "")
            if value and theirs and value != theirs:
                raise UsageError(
                    f"{directory}: {where} says {name} {value[:200]!r} and {ledger.path.name} says {theirs[:200]!r}; one "
                    "run has one target, so one of these files is not the run's: remove it"
                )
            known[name] = (value, where) if value else (theirs, ledger.path.name)
    found = {name: value for name, (value, _) in known.items()}
    if found["run_id"] and not is_worker_name(found["run_id"]):
        raise UsageError(f"{directory}: {found['run_id'][:100]!r} is not the id of a run; the directory is damaged")
    return Claims(
        **found,
        contact_flow_id=target.contact_flow_id,
        live=target.live,
        embedded=target.emulator is not None,
        own=owner.is_own(manifest.owner, found["run_id"], found["endpoint"], found["instance_id"]),
    )
