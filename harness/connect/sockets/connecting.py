"""Connects a socket without blocking: each address of a name in turn, within a time."""

import _socket  # the standard library's own layer on it costs as much again, and nothing here needs it
import os
import random
from errno import EALREADY, EINPROGRESS, EISCONN, EWOULDBLOCK
from socket import IPPROTO_TCP, SO_ERROR, SOCK_STREAM, SOL_SOCKET, TCP_NODELAY
from time import monotonic
from typing import Any

from gevent import get_hub, getcurrent

from harness.connect.sockets.resolver import Address, resolve

_WRITE = 2
_NON_BLOCKING: int = getattr(_socket, "SOCK_NONBLOCK", 0)  # saves a system call where there is one


def connect(host: str, port: int, seconds: float) -> Any:
    """Return a non-blocking socket connected to an address of `host` that answers. Of a family, IPv4 or IPv6, they are tried
    at random: a service has several so that its clients come to all of them, and some resolvers always give the same order.

    `seconds` bounds all of it, the name's resolution included; each address that is left gets an equal part of what is left
    of them. Raises OSError, of which TimeoutError is one.
    """
    give_up = monotonic() + seconds
    addresses = _spread(resolve(host, port, seconds))
    for number, (family, address) in enumerate(addresses):
        sock = _socket.socket(family, SOCK_STREAM | _NON_BLOCKING)
        try:
            if not _NON_BLOCKING:
                sock.setblocking(False)
            _connect(sock, address, max((give_up - monotonic()) / (len(addresses) - number), 0.001))
            sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        except OSError:
            sock.close()
            if number == len(addresses) - 1:
                raise
        except BaseException:  # the greenlet is being killed
            sock.close()
            raise
        else:
            return sock
    raise OSError(f"{host} has no address")


def _spread(addresses: list[Address]) -> list[Address]:
    """Return the addresses in random order within each family; the families stay in the system's order."""
    families = {family: len(addresses) - number for number, (family, _) in enumerate(reversed(addresses), 1)}
    return sorted(addresses, key=lambda each: (families[each[0]], random.random()))


def _connect(sock: Any, address: Any, seconds: float) -> None:
    """Connect a non-blocking socket. gevent's own would do so with six objects and a dozen system calls more."""
    code = sock.connect_ex(address)
    if code == EINPROGRESS:
        code = sock.connect_ex(address)  # on one machine it is done by now, and need not be waited for
    if code == EISCONN:
        code = 0
    if code in (EALREADY, EINPROGRESS, EWOULDBLOCK):
        if not _is_writable(sock, seconds):
            raise TimeoutError("timed out")
        code = sock.getsockopt(SOL_SOCKET, SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))


def _is_writable(sock: Any, seconds: float) -> bool:
    hub, me = get_hub(), getcurrent()
    writable, timer = hub.loop.io(sock.fileno(), _WRITE), hub.loop.timer(seconds)
    try:
        writable.start(me.switch, True)
        timer.start(me.switch, False, update=True)
        return bool(hub.switch())
    finally:
        writable.close()
        timer.close()
