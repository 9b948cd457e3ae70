"""A process that turns full segments of samples into parquet while calls are sent.

On a thread it held the interpreter's lock, and the core, for up to several milliseconds at a time. A process of the lowest
priority has what the calls leave of the core. It is begun before the first call, as to begin one takes a millisecond and
more, and waits, without having loaded anything, for the first full segment. It ends with the run's process, whatever ends
that.
"""

import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import gevent
from gevent.monkey import get_original

_WAITPID: Any = get_original("os", "waitpid")
_READ: Any = get_original("os", "read")
_WAIT = (
    "import os\nfirst = os.read(0, 65536)\nif first:\n    from harness.recording.journal import main\n    main(first)"
)
_LOOK_EVERY = 0.01
_PATIENCE = 5.0


class Encoder:
    """Has one journal after the other turned into parquet by a process of its own (`harness.recording.journal`)."""

    def __init__(self) -> None:
        self._pid: int | None = None
        self._orders = self._answers = -1
        self._busy = False

    def be_ready(self) -> None:
        """Begin the process ahead of the first journal. Where that fails it is tried again when there is one."""
        with suppress(OSError):
            self._begin()

    def __call__(self, path: Path) -> "Encoder":
        """Begin to encode the journal at `path`. Raises OSError where no process can be begun."""
        if self._pid is None:
            self._begin()
        name = os.fsencode(path) + b"\0"
        try:
            os.write(self._orders, name)
        except BrokenPipeError:  # it has ended
            self.stop()
            self._begin()
            os.write(self._orders, name)
        self._busy = True
        return self

    def is_over(self) -> bool:
        """Tell whether what was begun last has ended, be it with the process."""
        if self._busy and self._pid is not None:
            try:
                self._busy = not _READ(self._answers, 1)  # nothing where the process has ended
            except BlockingIOError:
                return False
            if self._busy:
                self.stop()
        return not self._busy

    def stop(self) -> None:
        """End the process, and wait for that; safe to call again."""
        pid, self._pid, self._busy = self._pid, None, False
        if pid is None:
            return
        os.close(self._orders)
        os.close(self._answers)
        if _has_ended(pid):  # its number may be another process's by now
            return
        os.kill(pid, signal.SIGKILL)
        for _ in range(round(_PATIENCE / _LOOK_EVERY)):
            if _has_ended(pid):
                return
            gevent.sleep(_LOOK_EVERY)

    def _begin(self) -> None:
        reading, self._orders = os.pipe()
        self._answers, writing = os.pipe()
        os.set_blocking(self._answers, False)
        try:
            self._pid = _spawn([sys.executable, "-P", "-c", _WAIT], reading, writing)
        except OSError:
            os.close(self._orders)
            os.close(self._answers)
            raise
        finally:
            os.close(reading)
            os.close(writing)


def _has_ended(pid: int) -> bool:
    try:
        return bool(_WAITPID(pid, os.WNOHANG)[0])
    except ChildProcessError:  # gevent has taken note of its end
        return True


def _spawn(command: list[str], standard_input: int, standard_output: int) -> int:
    """Start `command` at the lowest priority from its beginning, in a group of its own: Ctrl-C is for the run."""
    nice = shutil.which("nice")
    if nice is not None:
        command = [nice, "-n", "19", *command]
    # What goes wrong shows in the journal's being there still: it is then encoded, and complained of, at the end.
    files: list[Any] = [
        (os.POSIX_SPAWN_DUP2, standard_input, 0),
        (os.POSIX_SPAWN_DUP2, standard_output, 1),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    more: dict[str, Any] = {}
    if sys.platform == "linux":
        more["scheduler"] = (os.SCHED_OTHER, os.sched_param(0))  # the run's process may have a higher class
    return os.posix_spawn(command[0], command, os.environ, file_actions=files, setpgroup=0, **more)
