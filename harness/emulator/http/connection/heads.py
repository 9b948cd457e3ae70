"""Reads calls whose heads look like one that the HTTP parser has read before, at a third of the parser's cost."""

import re
from typing import NamedTuple

from harness.emulator.api.responses import Headers

# Layouts of one request line: each client library has one. Beyond these, the parser reads.
_MOST = 8
_VALUE = rb"[!-~][ -~]*(?<! )"
_ONE_VALUE = re.compile(_VALUE)
# What decides where a message ends, or what becomes of its connection.
_DECISIVE = frozenset({b"transfer-encoding", b"upgrade", b"expect", b"proxy-connection"})


# Method, path, headers by their names in lower case, body.
WholeCall = tuple[str, bytes, dict[bytes, bytes], bytes]


class _Layout(NamedTuple):
    """The head of a call but for the values of its headers: `names` in lower case, `length` is that of the body's."""

    pattern: re.Pattern[bytes]
    method: str
    path: bytes
    names: tuple[bytes, ...]
    length: int


class KnownHeads:
    """Layouts of heads: request line and names of headers, as clients of one kind send them call after call.

    A call is read only if it has come whole and alone, each of its headers once, with a value of printable characters
    and one space before it, a Content-Length among them and nothing that a server has to act on. The parser reads such a
    call in the same way, and everything else.
    """

    def __init__(self) -> None:
        self._layouts: dict[bytes, tuple[_Layout, ...]] = {}

    def read(self, data: bytes) -> WholeCall | None:
        """Return the call that `data` is; None: the parser has to look."""
        for pattern, method, path, names, length in self._layouts.get(data[: data.find(b"\r\n")], ()):
            match = pattern.match(data)
            if match is not None:
                values = match.groups()
                body = data[match.end() :]
                if len(body) != int(values[length]):
                    return None
                return method, path, dict(zip(names, values)), body  # noqa: B905 (a group a name; `strict` costs more)
        return None

    def learn(self, data: bytes, method: str, path: bytes, headers: Headers) -> None:
        """Know again calls that look like `data`, which the parser has read as `method`, `path` and `headers`."""
        head, end, _ = data.partition(b"\r\n\r\n")
        line, *lines = head.split(b"\r\n")
        known = self._layouts.get(line, ())
        names = tuple(name for name, _ in headers)
        if not end or line != b"%b %b HTTP/1.1" % (method.encode(), path) or len(known) >= _MOST:
            return
        if len(set(names)) < len(names) or not _DECISIVE.isdisjoint(names) or b"content-length" not in names:
            return
        pieces = [re.escape(line)]
        for (name, value), text in zip(headers, lines, strict=False):
            as_sent = text[: len(name)]
            if as_sent.lower() != name or text[len(name) :] != b": " + value or not _ONE_VALUE.fullmatch(value):
                return
            if name == b"connection" and value.lower() != b"keep-alive":
                return
            pieces.append(re.escape(as_sent) + b": (%b)" % _pattern(name, value))
        pattern = re.compile(b"\r\n".join(pieces) + b"\r\n\r\n")
        if pattern.match(data) and all(layout.pattern != pattern for layout in known):
            layout = _Layout(pattern, method, path, names, names.index(b"content-length"))
            self._layouts[line] = (*known, layout)


def _pattern(name: bytes, value: bytes) -> bytes:
    """Return which values a header may have to be read in the same way as with `value`."""
    if name == b"content-length":
        return rb"[0-9]{1,9}"
    return re.escape(value) if name == b"connection" else _VALUE
