"""Standard output and error of the `chatquota` command: who does not take what is said changes nothing of what is done."""

import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Output(io.FileIO):
    """One of the process's own streams. Once it cannot be written to, nothing goes there any more.

    `failure` is why; None where all was written, or where the reader has gone, as `chatquota ... | head` has.
    """

    def __init__(self, fd: int) -> None:
        super().__init__(fd, "w", closefd=False)
        self.failure: OSError | None = None

    def write(self, content: "Buffer", /) -> int:
        """Write as FileIO does, or nowhere."""
        try:
            return super().write(content)
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                self.failure = error
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())  # child processes inherit it
            os.close(nowhere)
            return memoryview(content).nbytes


def take_output() -> Output:
    """Put streams in the place of sys.stdout and sys.stderr whose text is never refused; return standard output's own.

    One that was closed (`>&-`) goes nowhere, and so does no file that is opened later. What the terminal's encoding lacks is
    written as escapes.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    output = Output(1)
    sys.stdout = _text(output, sys.stdout)
    sys.stderr = _text(Output(2), sys.stderr)
    return output


def _text(output: Output, before: TextIO | None) -> io.TextIOWrapper:
    encoding = before.encoding if before is not None else "utf-8"
    at_once = output.fileno() == 2 or output.isatty() or bool(getattr(before, "write_through", False))  # python -u
    return io.TextIOWrapper(io.BufferedWriter(output), encoding, "backslashreplace", line_buffering=at_once)
