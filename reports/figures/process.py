"""Has figures drawn, and variety tested, by processes of their own, beside the reading and the inference of a report."""

import contextlib
import gc
import importlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
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
_SIZE = 8
"""A request comes as so many bytes with its length, and its pickle."""
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
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        _widen(self._process.stdin.fileno(), self._process.stdout.fileno())
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
                    asked = pickle.dumps(request, pickle.HIGHEST_PROTOCOL)
                    pipe.write(len(asked).to_bytes(_SIZE) + asked)
                    pipe.flush()
        except OSError:
            pass  # the process has ended, which is noticed where its answers are missing


def _widen(*pipes: int) -> None:
    """Have pipes hold a whole request or answer, where the system can: no end waits for the other in the middle of it."""
    with contextlib.suppress(ImportError, AttributeError, OSError):  # not Linux, or it allows no more
        import fcntl

        for pipe in pipes:
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 1 << 20)


def _serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Draw what is asked for, and write the answers in their order once nothing more is.

    Until then the caller has work of its own, for which all waits in the end: one core is left to it.
    """
    gc.disable()  # looking for cycles costs a tenth of the time, and the processes live for a second
    load_drawing()
    if not hasattr(os, "fork"):
        for request in _read(requests):
            answers.write(pickle.dumps(_answer(request), pickle.HIGHEST_PROTOCOL))
            answers.flush()
        return
    import select

    copies, coming, asked = _Copies(), [requests.fileno()], b""
    while coming or copies.drawing:
        ready, _, _ = select.select([*coming, *copies.drawing], [], [])
        for pipe in ready:
            if pipe not in coming:
                copies.take(pipe)
            elif more := os.read(pipe, 1 << 20):
                asked += more
                while len(asked) >= _SIZE and len(asked) - _SIZE >= (size := int.from_bytes(asked[:_SIZE])):
                    copies.ask(pickle.loads(asked[_SIZE : _SIZE + size]))
                    asked = asked[_SIZE + size :]
            else:
                coming = []
        copies.begin(max(1, (os.cpu_count() or 1) - len(coming)))
    answers.writelines(copies.answers)
    answers.flush()


def _read(requests: IO[bytes]) -> Iterator[Request]:
    while size := requests.read(_SIZE):
        yield pickle.loads(requests.read(int.from_bytes(size)))


class _Copies:
    """Draws each request in a copy of this process, which has no other thread: some at a time, in their order."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.drawing: dict[int, tuple[int, int]] = {}
        """The pipes of those that draw, with each one's place among the answers and its process."""
        self._waiting: deque[tuple[int, Request]] = deque()

    def ask(self, request: Request) -> None:
        """Have a request drawn when it is its turn."""
        self._waiting.append((len(self.answers), request))
        self.answers.append(b"")

    def begin(self, most: int) -> None:
        """Begin what waits, until so many draw."""
        while self._waiting and len(self.drawing) < most:
            place, request = self._waiting.popleft()
            reading, writing = os.pipe()
            _widen(writing)
            if process := os.fork():
                os.close(writing)
                self.drawing[reading] = place, process
                continue
            try:
                with os.fdopen(writing, "wb") as pipe:
                    pickle.dump(_answer(request), pipe, pickle.HIGHEST_PROTOCOL)
            finally:
                os._exit(0)

    def take(self, pipe: int) -> None:
        """Take the answer of one that draws from its pipe."""
        place, process = self.drawing[pipe]
        with os.fdopen(pipe, "rb") as end:
            self.answers[place] = end.read()  # it is written as one, and what is drawn takes longer
        del self.drawing[pipe]
        os.waitpid(process, 0)


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
