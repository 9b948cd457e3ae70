"""Frames of a websocket's client (RFC 6455): what it sends is masked, what comes is put together. Pure.

Source: https://www.rfc-editor.org/rfc/rfc6455#section-5.
"""

import os
from collections.abc import Callable

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""API Gateway's websocket messages have at most 128 KB (https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html)."""
_LAST, _RESERVED, _MASKED = 0x80, 0x70, 0x80
_CONTINUED = 0x0
_WHOLE_TEXT = _LAST | TEXT
_MAX_CONTROL_BYTES = 125

Heard = Callable[[int, bytes], None]
"""Takes the opcode and the payload of a whole message or of a control frame."""


class BrokenFrames(Exception):
    """What came is not a websocket frame of a server, or too large."""


def masked(opcode: int, payload: bytes) -> bytes:
    """Return a whole frame as a client sends it. `payload` has less than 65,536 bytes."""
    size = len(payload)
    key = os.urandom(4)
    head = bytes((_LAST | opcode, _MASKED | size)) if size < 126 else b"%c\xfe%b" % (_LAST | opcode, size.to_bytes(2))
    pad = (key * (size // 4 + 1))[:size]
    return head + key + (int.from_bytes(payload) ^ int.from_bytes(pad)).to_bytes(size)


class Incoming:
    """Puts together what comes, in parts of any size. `heard` is told of each message and control frame."""

    __slots__ = ("_begun", "_kept", "_opcode", "_wanted", "heard")

    def __init__(self, heard: Heard) -> None:
        self.heard = heard
        self._kept = bytearray()  # of a frame whose end has not come
        self._wanted = 0  # how long that frame is, once that is known
        self._begun = bytearray()  # of a message in several frames
        self._opcode = 0

    def feed(self, data: bytes) -> None:
        """Take what came. Raises BrokenFrames, after it has told of all that was whole before."""
        if self._kept:
            data = self._with_kept(data)
        at, end = 0, len(data)
        while end - at >= 2:
            size, body = data[at + 1], at + 2
            if size == 126:
                size, body = int.from_bytes(data[at + 2 : at + 4]), at + 4
            elif size == 127:
                size, body = int.from_bytes(data[at + 2 : at + 10]), at + 10
            elif size & _MASKED:
                raise BrokenFrames("a masked frame")
            if end < body:
                break
            first = data[at]
            if first == _WHOLE_TEXT and size <= MAX_MESSAGE_BYTES and not self._opcode:  # nearly all are
                if end < body + size:
                    self._wanted = body + size - at
                    break
                at = body + size
                self.heard(TEXT, data[body:at])
                continue
            self._check(first, size)
            if end < body + size:
                self._wanted = body + size - at
                break
            at = body + size
            self._take(first, data[body:at])
        self._kept += data[at:]

    def _with_kept(self, data: bytes) -> bytes:
        """Return what was kept and `data`; nothing, and both kept, while the end of the frame has not come."""
        self._kept += data
        if len(self._kept) < self._wanted:
            return b""
        whole, self._wanted = bytes(self._kept), 0
        self._kept.clear()
        return whole

    def _check(self, first: int, size: int) -> None:
        opcode = first & 0x0F
        if first & _RESERVED or opcode not in (_CONTINUED, TEXT, BINARY, CLOSE, PING, PONG):
            raise BrokenFrames("an unknown frame")
        if opcode >= CLOSE and (size > _MAX_CONTROL_BYTES or not first & _LAST):
            raise BrokenFrames("a control frame that is none")
        if size + len(self._begun) > MAX_MESSAGE_BYTES:
            raise BrokenFrames(f"a message of over {MAX_MESSAGE_BYTES} bytes")

    def _take(self, first: int, payload: bytes) -> None:
        opcode = first & 0x0F
        if opcode >= CLOSE or (opcode != _CONTINUED and not self._opcode and first & _LAST):
            self.heard(opcode, payload)
            return
        if (opcode == _CONTINUED) != bool(self._opcode):
            raise BrokenFrames("a frame that continues nothing, or that interrupts a message")
        self._opcode = self._opcode or opcode
        self._begun += payload
        if first & _LAST:
            whole, opcode = bytes(self._begun), self._opcode
            self._begun.clear()
            self._opcode = 0
            self.heard(opcode, whole)
