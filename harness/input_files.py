"""Reads the files that a user names: regular files of a bounded size, so that no device or pipe is read for ever; TOML."""

import os
import re
import stat
from typing import Any

MOST_BYTES = 4 * 1024 * 1024
"""The largest file of gates, workload or day that is read: far more than a person writes."""

_LONG_KEY = re.compile(r"(?<![\w-])(?:[\w-]++[\"']?[ \t]*+\.[ \t]*+[\"']?){200}")
"""A key of so many dotted parts: to read one takes tomllib the square of their number."""


def read_bounded(path: str, what: str) -> bytes:
    """Return what the regular file at `path` holds. Raises ValueError that names `path`, the fault, and `what` to name."""
    if "\0" in path:
        raise ValueError(f"{path!r}: a path has no NUL byte; name {what}")
    try:
        # Opening a pipe without O_NONBLOCK waits for a writer, and a look before opening could be of another file.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_ISDIR(mode):
                raise ValueError(f"{path}: a directory; name {what}")
            if not stat.S_ISREG(mode):
                raise ValueError(f"{path}: not a regular file; name {what}")
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such file; name {what}") from error
    except OSError as error:
        raise ValueError(f"{path}: {(error.strerror or 'cannot be read').lower()}; name {what}") from error
    if len(content) > MOST_BYTES:
        raise ValueError(f"{path}: over {MOST_BYTES:,} bytes; name {what}")
    return content


def parse_toml(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text. Raises ValueError, in one line, whatever else it is."""
    import tomllib  # which most commands never ask for

    if _LONG_KEY.search(text):
        raise ValueError("a key of 200 dotted parts or more; write tables instead")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError:  # of a whole number that Python does not convert
        raise ValueError("a number of too many digits") from None
