"""Has figures drawn, and variety tested, by processes of their own, beside the reading and the inference of a report."""

import contextlib
import gc
import importlib
import io
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from harness.errors import UsageError
from reports.figures.loading import load_drawing
from reports.figures.picture import FIGURES, Picture

if TYPE_CHECKING:
    from reports.capacity.model import Variety
    from reports.variety.calls import Calls

Pictures = list[Picture]
Request = tuple[str, tuple[object, ...]]
_DRAWING, _VARIETY = "reports.figures.draw.", "reports.variety.findings.variety_of"


class FigureProcess:
    """Draws by calling functions of `reports.figures.draw` by name. A context manager, to be entered early.

    A process of its own loads matplotlib while the caller reads samples. Each request is drawn by a copy of that process,
    so that several cores draw; all end when the caller does, however that ends. `variety` is what was found of the calls
    that were given to `find_variety`, once all is drawn.
    """

    def __init__(self) -> None:
        command = [sys.executable, "-P", "-m", "reports.figures.process"]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is the caller's, who ends this one
        )
        self._requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._asked: list[str] = []
        self.variety: list[Variety] = []
        self._writer = threading.Thread(target=self._send, name="ask-for-figures", daemon=True)

    def __enter__(self) -> Self:
        self._writer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._requests.put(None)
        self._end()
        self._writer.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.wait()

    def _end(self) -> None:
        """End the process, and its copies that draw still."""
        if not hasattr(os, "killpg"):
            self._process.kill()
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):  # all have ended
            os.killpg(self._process.pid, signal.SIGKILL)

    def draw(self, function: str, *arguments: object) -> None:
        """Begin to draw; the arguments must not change any more."""
        self._ask(_DRAWING + function, arguments)

    def find_variety(self, calls: "Calls") -> None:
        """Begin to look whether it mattered what the calls asked for."""
        self._ask(_VARIETY, (calls,))

    def drawn(self) -> Pictures:
        """Wait for all that was begun and return it in the order of the page.

        Raises what the drawing raised, and UsageError where its process was ended.
        """
        self._requests.put(None)
        assert self._process.stdout is not None
        pictures: Pictures = []
        for function in self._asked:
            try:
                answer = pickle.load(self._process.stdout)
            except (EOFError, pickle.UnpicklingError):
                raise UsageError(
                    "the process that draws the figures was ended, perhaps for want of memory; "
                    "`chatquota report --no-figures RUN` makes the report without them"
                ) from None
            if isinstance(answer, BaseException):
                raise answer
            if function == _VARIETY:
                self.variety = answer
            else:
                pictures += answer
        return sorted(pictures, key=lambda one: FIGURES.index(one.name))

    def _ask(self, function: str, arguments: tuple[object, ...]) -> None:
        self._asked.append(function)
        self._requests.put((function, arguments))

    def _send(self) -> None:
        """Send requests until None: on a thread, as more than a pipe holds has to wait until matplotlib is loaded."""
        assert self._process.stdin is not None
        try:
            with self._process.stdin as pipe:
                while (request := self._requests.get()) is not None:
                    pickle.dump(request, pipe, pickle.HIGHEST_PROTOCOL)
                    pipe.flush()
        except OSError:
            pass  # the process has ended, which is noticed where its answers are missing


def _serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Begin each request when it comes; write the answers in their order once there are no more."""
    gc.disable()  # looking for cycles costs a tenth of the time, and the processes live for a second
    load_drawing()
    for process, answer in [_begin(request) for request in _read(requests)]:
        answers.write(answer.read())
        answers.flush()
        if process:
            os.waitpid(process, 0)


def _read(requests: IO[bytes]) -> Iterator[Request]:
    while True:
        try:
            yield pickle.load(requests)
        except EOFError:
            return


def _begin(request: Request) -> tuple[int, IO[bytes]]:
    """Draw in a copy of this process, which has no other thread; return its number and what gives the answer."""
    if not hasattr(os, "fork"):
        return 0, io.BytesIO(pickle.dumps(_answer(request)))
    reading, writing = os.pipe()
    if process := os.fork():
        os.close(writing)
        return process, os.fdopen(reading, "rb")
    try:
        os.close(reading)
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(_answer(request), pipe, pickle.HIGHEST_PROTOCOL)
    finally:
        os._exit(0)


def _answer(request: Request) -> Any:
    function, arguments = request
    module, _, name = function.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)(*arguments)
    except Exception as error:  # for the caller to raise
        return error


if __name__ == "__main__":
    answers_pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints does not print among the answers
    with contextlib.suppress(BrokenPipeError):  # the caller has ended
        _serve(sys.stdin.buffer, answers_pipe)
    os._exit(0)  # what could not be written is not tried again
