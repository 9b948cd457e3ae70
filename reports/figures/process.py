"""Has figures drawn: here for a small run, by a process of its own beside a large one's reading and inference."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from reports.figures.picture import Picture

Pictures = list[Picture]


class FigureProcess:
    """Draws by calling functions of `reports.figures.draw` by name. A context manager.

    With a process of its own, that process loads matplotlib while the caller reads samples, draws one request after the
    other, and ends when the caller does, however that ends.
    """

    def __init__(self, own_process: bool) -> None:
        self._pipe: Connection | None = None
        self._waiting: list[Callable[[], Pictures]] = []
        if own_process:
            context = multiprocessing.get_context("spawn")
            self._pipe, far_end = context.Pipe()
            self._process = context.Process(target=_serve, args=(far_end,), name="draw-figures", daemon=True)
            self._process.start()
            far_end.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pipe is not None:
            self._pipe.close()
            self._process.join(timeout=5.0)
            if self._process.is_alive():
                self._process.kill()

    def draw(self, function: str, *arguments: Any) -> Callable[[], Pictures]:
        """Begin to draw; call what is returned for the pictures. Raises what the drawing raised, when called."""
        if self._pipe is None:
            pictures = _draw(function, arguments)
            return lambda: pictures
        for earlier in self._waiting:
            earlier()  # both ends sending at once would wait for each other for ever
        self._pipe.send((function, arguments))
        later = _Later(self._pipe)
        self._waiting = [later]
        return later


class _Later:
    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._pictures: Pictures | None = None

    def __call__(self) -> Pictures:
        if self._pictures is None:
            try:
                answer = self._pipe.recv()
            except EOFError:
                raise RuntimeError("the process that draws the figures was ended") from None
            if isinstance(answer, BaseException):
                raise answer
            self._pictures = answer
        return self._pictures


def _serve(pipe: Connection) -> None:
    import reports.figures.draw  # noqa: F401  # loaded before the first request comes

    while True:
        try:
            function, arguments = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer: Any = _draw(function, arguments)
        except Exception as error:  # for the caller to raise
            answer = error
        try:
            pipe.send(answer)
        except OSError:
            return


def _draw(function: str, arguments: tuple[Any, ...]) -> Pictures:
    from reports.figures import draw as drawing

    pictures: Pictures = getattr(drawing, function)(*arguments)
    return pictures
