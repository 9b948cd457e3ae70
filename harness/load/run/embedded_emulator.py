"""The lab: an emulator of Amazon Connect started for one run and stopped with it, as a process of its own."""

import subprocess
import sys
import tempfile
from dataclasses import dataclass

import msgspec

from harness.connect.signing import Credentials
from harness.connect.target import Target
from harness.errors import UsageError

_MODULE = "harness.emulator"  # a name, not an import: harness and emulator meet on the wire only


class LabAnnouncement(msgspec.Struct, frozen=True):
    """The line of JSON that an emulator prints once it listens."""

    endpoint: str
    participant_endpoint: str
    region: str
    instance_id: str
    contact_flow_id: str
    access_key_id: str
    secret_access_key: str


@dataclass
class Lab:
    """A running emulator."""

    process: subprocess.Popen[str]
    announcement: LabAnnouncement

    def stop(self) -> None:
        """End the emulator: its standard input closes, which it takes for the end of its parent."""
        if self.process.stdin:
            self.process.stdin.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


def start_lab(spec: str) -> Lab:
    """Start an emulator with the limits of `spec` (see `--emulator`). Raises UsageError when it refuses the spec."""
    command = [sys.executable, "-P", "-m", _MODULE, "--lifeline"]
    if spec:
        command += ["--emulator", spec]
    with tempfile.TemporaryFile("w+") as errors:  # a file, so that the emulator never blocks on a pipe nobody reads
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,  # Ctrl-C ends the run first; the emulator must live until its chats are stopped
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            process.wait()
            errors.seek(0)
            said = errors.read().strip().splitlines()
            reason = said[-1].split(": ", 1)[-1] if said else f"it ended with exit code {process.returncode}"
            raise UsageError(f"--emulator: {reason}")
    return Lab(process, msgspec.json.decode(line, type=LabAnnouncement))


def lab_target(announcement: LabAnnouncement) -> Target:
    """Return the target that an emulator announced."""
    credentials = Credentials(announcement.access_key_id, announcement.secret_access_key)
    return Target(
        endpoint=announcement.endpoint,
        participant_endpoint=announcement.participant_endpoint,
        region=announcement.region,
        instance_id=announcement.instance_id,
        contact_flow_id=announcement.contact_flow_id,
        credentials=lambda: credentials,
    )
