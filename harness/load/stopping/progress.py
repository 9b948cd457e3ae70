"""Says how the draining of chats goes: a bar on a terminal, a line now and then elsewhere."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LINE_EVERY = 5.0  # seconds

logger = logging.getLogger(__name__)


@contextmanager
def drain_progress(what: str = "stopping chats") -> Iterator[Callable[[int, int], None]]:
    """Yield `update(done, total)`, to be called any number of times."""
    if not sys.stderr.isatty():
        yield _lines(what)
        return
    # Where nobody watches it is never loaded.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _lines(what: str) -> Callable[[int, int], None]:
    last = [0.0]

    def update(done: int, total: int) -> None:
        due = time.monotonic() - last[0] >= _LINE_EVERY
        if total and (due or done == total):
            last[0] = time.monotonic()
            logger.info("%s: %d of %d", what, done, total)

    return update
