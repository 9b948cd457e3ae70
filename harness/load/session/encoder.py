"""A process that turns a full segment of samples into parquet while calls are sent.

On a thread it held the interpreter's lock, and the core, for up to several milliseconds at a time. A process of the lowest
priority has what the calls leave of the core. It ends with the run's process, whatever ends that.
"""

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import gevent
from gevent.monkey import get_original

_WAITPID: Any = get_original("os", "waitpid")
_MODULE = "harness.recording.journal"
_LOOK_EVERY = 0.01
_PATIENCE = 5.0


class Encoder:
    """Turns the journal at `path` into parquet in a process of its own (`harness.recording.journal`).

    Raises OSError where none can be started.
    """

    def __init__(self, path: Path) -> None:
        self._pid: int | None = None
        reading, self._lifeline = os.pipe()
        try:
            self._pid = _spawn([sys.executable, "-P", "-m", _MODULE, str(path)], reading)
        except OSError:
            os.close(self._lifeline)
            raise
        finally:
            os.close(reading)

    def is_over(self) -> bool:
        """Tell whether the process has ended."""
        if self._pid is None:
            return True
        try:
            ended, _ = _WAITPID(self._pid, os.WNOHANG)
        except ChildProcessError:  # gevent has taken note of its end
            ended = self._pid
        if not ended:
            return False
        self._pid = None
        os.close(self._lifeline)
        return True

    def stop(self) -> None:
        """End the process and wait for that."""
        for number in range(round(_PATIENCE / _LOOK_EVERY)):
            if self.is_over() or self._pid is None:
                return
            if number == 0:
                os.kill(self._pid, signal.SIGKILL)
            gevent.sleep(_LOOK_EVERY)


def _spawn(command: list[str], standard_input: int) -> int:
    """Start `command` at the lowest priority from its beginning, in a group of its own: Ctrl-C is for the run."""
    nice = shutil.which("nice")
    if nice is not None:
        command = [nice, "-n", "19", *command]
    files: list[Any] = [(os.POSIX_SPAWN_DUP2, standard_input, 0)]
    # What goes wrong shows in the journal's being there still: it is then encoded, and complained of, at the end.
    files += [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
    more: dict[str, Any] = {}
    if sys.platform == "linux":
        more["scheduler"] = (os.SCHED_OTHER, os.sched_param(0))  # the run's process may have a higher class
    return os.posix_spawn(command[0], command, os.environ, file_actions=files, setpgroup=0, **more)
