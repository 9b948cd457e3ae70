"""Looks up a host's addresses within a time: the system's own resolver has no bound that a caller could set."""

import ipaddress
import socket
from functools import lru_cache
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import gevent
from gevent import get_hub
from gevent.event import AsyncResult
from gevent.monkey import get_original
from gevent.threadpool import ThreadPool

Address = tuple[int, Any]
"""Address family and socket address."""

_THREADS = 4


def resolve(host: str, port: int, seconds: float) -> list[Address]:
    """Return the stream addresses of `host`, in the system's order. Raises TimeoutError after `seconds`, or OSError.

    Calls that ask for the same host meanwhile share one look-up.
    """
    literal = _literal(host, port)
    return [literal] if literal is not None else _LookUps.of_this_thread().addresses(host, port, seconds)


class _LookUps:
    """The look-ups of one hub, on threads of their own: a name server that does not answer holds a thread for many seconds,
    and the hub's few are for others.
    """

    _all: ClassVar["WeakKeyDictionary[Any, _LookUps]"] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._threads = ThreadPool(_THREADS)
        self._under_way: dict[tuple[str, int], Any] = {}

    @classmethod
    def of_this_thread(cls) -> "_LookUps":
        hub = get_hub()
        if hub not in cls._all:
            cls._all[hub] = cls()
        return cls._all[hub]

    def addresses(self, host: str, port: int, seconds: float) -> list[Address]:
        found = self._under_way.get((host, port))
        if found is None:
            found = self._under_way[host, port] = AsyncResult()
            gevent.spawn(self._look_up, host, port, found)
        try:
            addresses: list[Address] = found.get(timeout=seconds)
        except gevent.Timeout as error:
            raise TimeoutError(f"{host} was not resolved within {seconds:g} s") from error
        return addresses

    def _look_up(self, host: str, port: int, found: Any) -> None:
        try:
            answer = self._threads.apply(_ask, (host, port))
        except Exception as error:  # no thread can be started
            answer = error
        finally:
            del self._under_way[host, port]
        if isinstance(answer, Exception):
            found.set_exception(answer)
        else:
            found.set(answer)


def _ask(host: str, port: int) -> list[Address] | Exception:
    """Ask the system's resolver, on a thread that may wait; returns what it raises, which gevent would print otherwise."""
    # The original: the patched one would wait in this thread for a hub that it does not have.
    lookup: Any = get_original("socket", "getaddrinfo")
    try:
        return [(info[0], info[4]) for info in lookup(host, port, 0, socket.SOCK_STREAM)]
    except Exception as error:  # UnicodeError, too: a host name with a label that no resolver takes
        return error


@lru_cache(64)
def _literal(host: str, port: int) -> Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if address.version == 4:
        return socket.AF_INET, (host, port)
    return None if "%" in host else (socket.AF_INET6, (host, port, 0, 0))  # a scope is the system's to read
