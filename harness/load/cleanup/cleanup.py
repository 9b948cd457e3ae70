"""The cleanup of one run directory: its samples, its chats, its manifest, in that order."""

import sys
import time
from pathlib import Path

import msgspec

from harness import __version__
from harness.connect.client import now
from harness.connect.target import Target, is_loopback
from harness.connect.wire import Endpoint, WireError
from harness.counting import counted
from harness.errors import EXIT_DONE, EXIT_INVALID, UsageError
from harness.load.cleanup.arguments import CleanupOptions
from harness.load.cleanup.claims import Claims, read_claims
from harness.load.cleanup.import_worker import import_workers
from harness.load.cleanup.outcome import refuse_stop
from harness.load.cleanup.permission import ask, resolve
from harness.load.cleanup.search import Found, SearchFailed, find_chats
from harness.load.stopping.leftovers import Finisher
from harness.load.stopping.pace import DEFAULT_STOP_RATE
from harness.load.stopping.progress import drain_progress
from harness.load.stopping.stopper import Hopeless
from harness.recording.format.files import check_own_directory
from harness.recording.format.layout import MANIFEST, SAMPLES, ledger_paths
from harness.recording.format.ledger import ALREADY_ENDED, LedgerChats, merge_ledgers, read_ledgers
from harness.recording.format.manifest import NotReadable, StoredManifest, read_manifest, write_manifest
from harness.recording.journal import recover
from harness.recording.lock import Locked, RunLock
from harness.recording.recovery import amend_counts, recovered_manifest
from harness.recording.tally import alive_workers

CLEANUP = "cleanup"
_EMULATOR_ENDED = "EMULATOR_ENDED"


class Cleanup:
    """The cleanup of the run in `directory`, which must be an absolute path."""

    def __init__(self, options: CleanupOptions, directory: Path) -> None:
        self._options = options
        self._directory = directory
        self._manifest: StoredManifest | None = None

    def run(self) -> int:
        """Do it and return the exit code.

        Raises UsageError where the directory is not a run's, is damaged, is still being written, or names a target that may
        not be called; OSError where it cannot be written.
        """
        if (self._directory / MANIFEST).exists() or (self._directory / MANIFEST).is_symlink():
            self._manifest = self._read_manifest()
        elif not ledger_paths(self._directory):
            raise UsageError(f"{self._directory}: not a run directory: it holds neither {MANIFEST} nor a ledger")
        self._claims()  # a directory that contradicts itself is left as it is
        try:
            lock = RunLock(self._directory)
        except Locked as error:
            raise UsageError(
                f"{self._directory}: this run is still going on (process {error.holder or 'unknown'}); end it first"
            ) from error
        try:
            check_own_directory(self._directory / SAMPLES)
            self._wait_for_workers()
            return self._clean_up()
        finally:
            lock.release()

    def _read_manifest(self) -> StoredManifest:
        try:
            return read_manifest(self._directory)
        except NotReadable as error:
            if not ledger_paths(self._directory):
                raise
            raise UsageError(
                f"{error}; move it elsewhere: what the ledgers name is then cleaned up without it"
            ) from error

    def _claims(self) -> Claims:
        manifest = None if self._manifest is None else self._manifest.contents
        claims = read_claims(self._directory, manifest, read_ledgers(self._directory))
        if self._options.run_id and claims.run_id and self._options.run_id != claims.run_id:
            raise UsageError(f"--run-id {self._options.run_id}: {self._directory} holds run {claims.run_id}")
        return claims

    def _wait_for_workers(self) -> None:
        give_up = time.monotonic() + self._options.wait
        announced = False
        while alive := alive_workers(self._directory / SAMPLES):
            if time.monotonic() > give_up:
                raise UsageError(f"{self._directory}: {', '.join(alive)} still at work; end these processes first")
            if not announced:
                print(
                    f"waiting for {', '.join(alive)} to end their part of the run (they notice that their master is gone)"
                )
                announced = True
            time.sleep(0.2)

    def _clean_up(self) -> int:
        claims = self._claims()
        recovered = recover(self._directory / SAMPLES)
        if recovered.rows:
            print(f"{counted(recovered.rows, 'sample')} read that the run had not finished writing")
        imported = import_workers(self._directory, claims.run_id or self._options.run_id, self._options.sources)
        for line in [*recovered.damaged, *imported.lines]:
            print(line)
        chats = merge_ledgers(read_ledgers(self._directory))
        if chats.unreadable:
            print(f"{counted(chats.unreadable, 'line')} of the ledgers cannot be read")
        exit_code = EXIT_DONE
        if chats.open or self._needs_search(chats):
            exit_code = self._stop_chats(self._claims(), chats)
            chats = merge_ledgers(read_ledgers(self._directory))
        else:
            print("no chat of this run is open")
        self._write_manifest(chats, imported.rows)
        return EXIT_INVALID if chats.open and exit_code == EXIT_DONE else exit_code

    @property
    def _finished(self) -> bool:
        return self._manifest is not None and self._manifest.contents.status == "finished"

    def _needs_search(self, chats: LedgerChats) -> bool:
        """Whether chats may be open that no ledger knows: a killed run had calls on the wire."""
        lost = self._manifest is not None and bool(self._manifest.contents.generator.workers_lost)
        return self._options.sweep or (not chats.resolved and (bool(chats.unanswered) or not self._finished or lost))

    def _stop_chats(self, claims: Claims, chats: LedgerChats) -> int:
        target = resolve(self._options, claims)
        gone = claims.embedded and is_loopback(target.endpoint) and not _answers(target)
        search = self._needs_search(chats)
        if not gone:
            ask(self._options, claims, target, len(chats.open), search)
        header = {
            "run_id": claims.run_id or self._options.run_id,
            "endpoint": claims.endpoint or target.endpoint,
            "region": claims.region or target.region,
            "instance_id": claims.instance_id or target.instance_id,
        }
        client = target.client(f"chatquota/{__version__}", self._options.call_timeout)
        rate = self._options.stop_rate or DEFAULT_STOP_RATE
        quick = not target.live and not self._options.stop_rate
        finisher = Finisher(
            self._directory, CLEANUP, header, client, rate, may_grow=quick, instance_id=target.instance_id
        )
        try:
            if gone:
                for contact in chats.open:
                    finisher.ledger.ended(contact, now(), ALREADY_ENDED, _EMULATOR_ENDED)
                finisher.ledger.resolved(now(), 0)
                held = counted(len(chats.open), "chat")
                print(f"the emulator that held {held} ended with the run, and what it held with it")
                return EXIT_DONE
            contacts = self._find(claims, target, chats, finisher, search)
            with drain_progress() as progress:
                left = finisher.end(sorted(contacts, key=contacts.__getitem__), progress)
            were = counted(len(contacts), "chat was", "chats were")
            print(f"{were} open: {len(contacts) - left} ended now, {left} still open")
        except Hopeless as error:
            return refuse_stop(error.reply, len(chats.open))
        finally:
            finisher.close()
        return EXIT_DONE

    def _find(
        self, claims: Claims, target: Target, chats: LedgerChats, finisher: Finisher, search: bool
    ) -> dict[str, float]:
        """Return the chats to stop: the ledgers' and, where a search is needed, those that it finds. Another machine's
        ledger may name any contact, so of its chats only those that the search shows as the run's.
        """
        if not search and claims.own:
            return chats.open
        started = None if self._manifest is None else self._manifest.contents.started_at
        try:
            found = find_chats(
                target, claims.run_id or self._options.run_id, started, timeout=self._options.call_timeout
            )
        except SearchFailed as error:
            if search:
                doubt = (
                    f"{counted(len(chats.unanswered), 'start')} without an answer and the calls on the wire at a kill"
                )
                print(f"{doubt} could not be looked up: {error}", file=sys.stderr)
            if not claims.own:
                print(f"whether the ledger's chats are this run's could not be checked: {error}", file=sys.stderr)
            return chats.open
        if search:
            _add_unknown(found, chats, finisher)
        if claims.own or self._options.trust_ledger:
            return chats.open
        shown = {contact: at for contact, at in chats.open.items() if contact in found.open or contact in found.ended}
        if strange := len(chats.open) - len(shown):
            print(
                f"{counted(strange, 'chat of the ledger is', 'chats of the ledger are')} left alone, since a search does "
                "not show what is left among the chats of run "
                f"{claims.run_id} (it may lag by some minutes); give --trust-ledger to stop what the ledger names"
            )
        return shown

    def _write_manifest(self, chats: LedgerChats, imported: int) -> None:
        if self._manifest is None:
            return
        tables = self._manifest.tables
        if not self._finished:
            tables = recovered_manifest(self._directory, tables, chats)
            path = self._directory / MANIFEST
            print(f"the record is put together in {path}; the run is not valid, since it was killed")
        else:
            tables = {**tables, "chats": msgspec.to_builtins(chats.counts())}
            if generator := self._manifest.section("generator"):
                tables["generator"] = amend_counts(self._directory, generator, imported)
        write_manifest(self._directory, {name: value for name, value in tables.items() if name != "schema"})


def _add_unknown(found: Found, chats: LedgerChats, finisher: Finisher) -> None:
    """Add the chats that a search found and no ledger knows to the ledger, and those that are open to `chats`."""
    unknown = 0
    for contact, at in {**found.open, **found.ended}.items():
        if contact not in chats.open and contact not in chats.ended:
            unknown += 1
            finisher.ledger.started(contact, at)
            if contact in found.open:
                chats.open[contact] = at
            else:
                finisher.ledger.ended(contact, now(), ALREADY_ENDED)
    finisher.ledger.resolved(now(), unknown)
    print(f"a search found {counted(unknown, 'chat')} of this run that no ledger knew")


def _answers(target: Target) -> bool:
    """Return whether a server listens at the target's endpoint."""
    try:
        target.pool(Endpoint.parse(target.endpoint), 5.0).acquire().close()
    except WireError:
        return False
    return True
