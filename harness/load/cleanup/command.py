"""`chatquota cleanup`: finishes what a killed run left. Samples are brought in, chats stopped, the manifest made honest."""

import calendar
import logging
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import __version__
from harness.connect.client import ConnectClient, now
from harness.connect.target import Target, is_loopback, resolve_target
from harness.connect.wire import Endpoint, WireError
from harness.errors import EXIT_DONE, EXIT_INVALID, EXIT_TARGET, Parser, UsageError
from harness.load.cleanup.import_worker import bring_in
from harness.load.cleanup.search import SearchFailed, find_chats
from harness.load.stopping.finishing import Finisher, Hopeless, end_chats
from harness.load.stopping.pace import DEFAULT_STOP_RATE, Pace
from harness.load.stopping.progress import drain_progress
from harness.recording.format.layout import MANIFEST, SAMPLES
from harness.recording.format.ledger import ALREADY_ENDED, LedgerChats, LedgerRecord, merge_ledgers, read_ledgers
from harness.recording.format.manifest import read_manifest, write_manifest
from harness.recording.journal import recover
from harness.recording.lock import Locked, RunLock
from harness.recording.recovery import amend_counts, recovered_manifest
from harness.recording.tally import alive_workers

CLEANUP = "cleanup"
_EMULATOR_ENDED = "EMULATOR_ENDED"
_STAMP = re.compile(r"\d{8}T\d{6}Z")


def main(argv: list[str]) -> int:
    """Run the command and return its exit code: 0 nothing is left open, 3 the target refuses, 5 chats are still open."""
    parser = Parser(prog="chatquota cleanup", description="Stop the chats that a run left open and mend its record.")
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN", help="the run directory")
    parser.add_argument(
        "--from",
        dest="sources",
        action="append",
        type=Path,
        default=[],
        metavar="DIR",
        help="a directory that a worker on another machine left for this run; may be given again",
    )
    parser.add_argument("--sweep", action="store_true", help="find the chats by their attribute instead of by a ledger")
    parser.add_argument("--run-id", default="", metavar="ID", help="the run to sweep; its directory is not needed")
    parser.add_argument("--host", default="", metavar="URL", help="the endpoint (default: the run's, or the Region's)")
    parser.add_argument("--region", default="", help="AWS Region (default: the run's, or the usual AWS configuration)")
    parser.add_argument("--instance-id", default="", help="Amazon Connect instance (default: the run's)")
    parser.add_argument(
        "--stop-rate",
        type=float,
        default=0.0,
        metavar="RATE",
        help=f"StopContact calls per second (default: {DEFAULT_STOP_RATE:g})",
    )
    parser.add_argument(
        "--call-timeout", type=float, default=30.0, metavar="SECONDS", help="for each call (default: 30)"
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="how long to wait for workers of the run that are still ending their part (default: 120)",
    )
    options = parser.parse_args(argv)
    _log_to_the_terminal()
    if options.stop_rate < 0 or options.call_timeout <= 0:
        parser.error("--stop-rate and --call-timeout take a number over 0")
    if options.run is None:
        if not (options.sweep and options.run_id):
            parser.error("name a run directory, or give --sweep --run-id ID")
        return _sweep(options)
    if not options.run.is_dir():
        raise UsageError(f"{options.run}: no such directory; name one under runs/, or give --sweep --run-id ID")
    return _Cleanup(options).run()


def _sweep(options: Any) -> int:
    """Find and stop the chats of a run of which nothing else is left."""
    target = _target(options, {})
    try:
        found = find_chats(target, options.run_id, _begun(options.run_id))
    except SearchFailed as error:
        return _fail(str(error))
    print(f"{len(found.open) + len(found.ended)} chats of run {options.run_id} found, {len(found.open)} of them open")
    client = _client(target, options)
    pace = Pace(options.stop_rate or DEFAULT_STOP_RATE)
    left = len(found.open)
    try:
        with drain_progress() as progress:
            contacts = sorted(found.open, key=found.open.__getitem__)
            left = end_chats(contacts, lambda contact: client.stop_contact(target.instance_id, contact), pace, progress)
    except Hopeless as error:
        return _fail(_refusal(error))
    except KeyboardInterrupt:
        print("interrupted; run it again", file=sys.stderr)
        return EXIT_INVALID
    print(f"{len(found.open) - left} stopped, {left} still open")
    return EXIT_INVALID if left else EXIT_DONE


@dataclass
class _Cleanup:
    """The cleanup of one run directory."""

    options: Any
    directory: Path = field(init=False)

    def __post_init__(self) -> None:
        self.directory = self.options.run.resolve()
        self._manifest: dict[str, Any] = {}
        self._unresolved = ""

    def run(self) -> int:
        if (self.directory / MANIFEST).exists():
            self._manifest = read_manifest(self.directory).tables
        elif not any(self.directory.glob("contacts.*.jsonl")):
            raise UsageError(f"{self.directory}: not a run directory: it holds neither {MANIFEST} nor a ledger")
        try:
            lock = RunLock(self.directory)
        except Locked as error:
            raise UsageError(
                f"{self.directory}: this run is still going on (process {error.holder or 'unknown'}); end it first"
            ) from error
        except OSError as error:
            raise UsageError(f"{self.directory}: {(error.strerror or 'cannot be written').lower()}") from error
        try:
            self._wait_for_workers()
            return self._clean_up()
        except OSError as error:
            print(f"chatquota cleanup: {self.directory}: {(error.strerror or str(error)).lower()}", file=sys.stderr)
            return EXIT_INVALID
        except KeyboardInterrupt:
            print("interrupted; what was done is written down: run it again for the rest", file=sys.stderr)
            return EXIT_INVALID
        finally:
            lock.release()

    def _wait_for_workers(self) -> None:
        give_up = time.monotonic() + self.options.wait
        said = False
        while alive := alive_workers(self.directory / SAMPLES):
            if time.monotonic() > give_up:
                raise UsageError(f"{self.directory}: {', '.join(alive)} still at work; end these processes first")
            if not said:
                print(
                    f"waiting for {', '.join(alive)} to end their part of the run (they notice that their master is gone)"
                )
                said = True
            time.sleep(0.2)

    def _clean_up(self) -> int:
        samples = self.directory / SAMPLES
        unfinished = self._manifest.get("status") != "finished"
        recovered = recover(samples)
        if recovered.rows:
            print(f"{recovered.rows:,} samples read that the run had not finished writing")
        for sentence in recovered.damaged:
            print(sentence)
        brought = bring_in(self.directory, self._run_id(), self.options.sources)
        for line in brought.lines:
            print(line)
        ledgers = read_ledgers(self.directory)
        chats = merge_ledgers(ledgers)
        # A killed run had calls on the wire of which no ledger can know.
        lost = bool((self._manifest.get("generator") or {}).get("workers_lost"))
        search = self.options.sweep or (not chats.resolved and (bool(chats.unanswered) or unfinished or lost))
        exit_code = EXIT_DONE
        if chats.open or search:
            exit_code = self._finish(ledgers, chats, search)
            chats = merge_ledgers(read_ledgers(self.directory))
        else:
            print("no chat of this run is open")
        self._write_manifest(chats, unfinished, brought.rows)
        return EXIT_INVALID if chats.open and exit_code == EXIT_DONE else exit_code

    def _finish(self, ledgers: list[LedgerRecord], chats: LedgerChats, search: bool) -> int:
        header = next((ledger.header for ledger in ledgers if ledger.header), None)
        known = (
            {} if header is None else {name: getattr(header, name) for name in ("endpoint", "region", "instance_id")}
        )
        target = _target(self.options, {**self._manifest.get("target", {}), **known})
        client = _client(target, self.options)
        where = {"endpoint": target.endpoint, "region": target.region, "instance_id": target.instance_id}
        rate = self.options.stop_rate or DEFAULT_STOP_RATE
        quick = is_loopback(target.endpoint) and not self.options.stop_rate
        finisher = Finisher(self.directory, CLEANUP, {"run_id": self._run_id(), **where}, client, rate, may_grow=quick)
        try:
            if self._manifest.get("target", {}).get("emulator") and not _answers(target):
                for contact in chats.open:
                    finisher.ledger.ended(contact, now(), ALREADY_ENDED, _EMULATOR_ENDED)
                finisher.ledger.resolved(now(), 0)
                print(f"the emulator that held {len(chats.open)} chats ended with the run, and they with it")
                return EXIT_DONE
            if search:
                self._search(target, chats, finisher)
            before = len(chats.open)
            with drain_progress() as progress:
                left = finisher.end(sorted(chats.open, key=chats.open.__getitem__), progress)
            print(f"{before} chats were open: {before - left} ended now, {left} still open")
        except Hopeless as error:
            return _fail(f"{len(chats.open)} chats are open: {_refusal(error)}")
        finally:
            finisher.close()
        return EXIT_DONE

    def _search(self, target: Target, chats: LedgerChats, finisher: Finisher) -> None:
        """Look for chats that no ledger knows, and add those that are open to `chats`."""
        started = self._manifest.get("started_at")
        try:
            found = find_chats(target, self._run_id(), started if isinstance(started, int | float) else None)
        except SearchFailed as error:
            doubt = f"{len(chats.unanswered)} starts without an answer and the calls that were on the wire at a kill"
            print(f"{doubt} could not be looked up: {error}", file=sys.stderr)
            return
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
        print(f"a search found {unknown} chats of this run that no ledger knew")

    def _write_manifest(self, chats: LedgerChats, unfinished: bool, brought: int) -> None:
        if not self._manifest:
            return
        manifest = self._manifest
        if unfinished or self._manifest.get("status") == "recovered":
            manifest = recovered_manifest(self.directory, manifest, chats)
            print(
                f"the record is put together in {self.directory / MANIFEST}; the run is not valid, since it was killed"
            )
        else:
            manifest["chats"] = chats.counts()
            generator = manifest.get("generator")
            if isinstance(generator, dict):
                amend_counts(self.directory, generator, brought)
        write_manifest(self.directory, {name: value for name, value in manifest.items() if name != "schema"})

    def _run_id(self) -> str:
        if self.options.run_id:
            return str(self.options.run_id)
        known = self._manifest.get("run_id")
        if not known:
            known = next((r.header.run_id for r in read_ledgers(self.directory) if r.header and r.header.run_id), "")
        return str(known)


def _target(options: Any, known: dict[str, Any]) -> Target:
    """What to call: what the command line says, else what the run says, else the usual AWS configuration."""
    instance = options.instance_id or str(known.get("instance_id", ""))
    return resolve_target(
        options.host or known.get("endpoint") or None,
        "",
        options.region or str(known.get("region", "")),
        instance,
        str(known.get("contact_flow_id") or "unused"),  # nothing is started here
    )


def _client(target: Target, options: Any) -> ConnectClient:
    return target.client(f"chatquota/{__version__}", options.call_timeout)


def _answers(target: Target) -> bool:
    """Whether anybody listens at the target's endpoint."""
    try:
        target.pool(Endpoint.parse(target.endpoint), 5.0).acquire().close()
    except WireError:
        return False
    return True


def _begun(run_id: str) -> float | None:
    """The time in a run's id, if it has one."""
    stamp = _STAMP.match(run_id)
    return float(calendar.timegm(time.strptime(stamp[0], "%Y%m%dT%H%M%SZ"))) if stamp else None


def _refusal(error: Hopeless) -> str:
    reply = error.reply
    if reply.status == 0:
        return f"no call gets through ({reply.message}); check --host and the network, and run this again"
    return f"StopContact is refused ({reply.error_code or reply.status}); check the credentials, --region and --instance-id"


def _fail(sentence: str) -> int:
    print(f"chatquota cleanup: {sentence}", file=sys.stderr)
    return EXIT_TARGET


def _log_to_the_terminal() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("harness").setLevel(logging.INFO)
