"""Whether the endpoints answer, over TLS that can be trusted, and how far this machine's clock is off theirs."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from harness.preflight.model.asking import one_line
from harness.preflight.model.rows import Row, State

_TIMEOUT = 8.0
SIGV4_TOLERANCE = 300.0
"""Seconds by which AWS lets a signature's time differ
(https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-auth-using-authorization-header.html and its siblings: 5 minutes)."""
_WORTH_A_NOTE = 1.0


@dataclass(frozen=True)
class Clock:
    """How far the service's clock is ahead of this machine's, in seconds, give or take `uncertainty`."""

    offset: float
    uncertainty: float


def clock_of(date: str | None, sent: float, received: float) -> Clock | None:
    """Return the offset that an HTTP `Date` tells, given when the request left and the answer came (unix seconds).

    `Date` has whole seconds, so half a second and half of the round trip stay uncertain. None where it cannot be read.
    """
    try:
        at = parsedate_to_datetime(date or "").timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
    return Clock(at + 0.5 - (sent + received) / 2, 0.5 + (received - sent) / 2)


def check_reach(
    endpoint: str,
    participant_endpoint: str,
    ca_bundle: str | None = None,
    now: Callable[[], float] = time.time,
    participant_needed: bool = True,
) -> Iterator[Row]:
    """Yield a row for each endpoint, and one for the clock. A participant endpoint that is not needed stops nothing."""
    clock: Clock | None = None
    for name, url in (("endpoint", endpoint), ("participant endpoint", participant_endpoint)):
        bad: State = "stop" if participant_needed or name == "endpoint" else "note"
        try:
            date, seconds, sent = _look(url, ca_bundle, now)
        except ssl.SSLError as error:
            yield Row(
                check=name, state=bad, text=f"{url}: TLS fails: {one_line(error)}; check the URL and AWS_CA_BUNDLE"
            )
            continue
        except (OSError, HTTPException) as error:
            yield Row(
                check=name,
                state=bad,
                text=f"{url} does not answer: {one_line(error)}; check --host, --region, the network",
            )
            continue
        yield Row(check=name, state="ok", text=f"{url} answers in {seconds * 1e3:.0f} ms")
        clock = clock or clock_of(date, sent, sent + seconds)
    yield _clock_row(clock)


def _clock_row(clock: Clock | None) -> Row:
    if clock is None:
        return Row(check="clock", state="not_known", text="no endpoint told its time")
    surely = abs(clock.offset) - clock.uncertainty
    side = "behind" if clock.offset > 0 else "ahead"
    said = f"this machine is {abs(clock.offset):.1f} s {side} (+- {clock.uncertainty:.1f} s)"
    if surely > SIGV4_TOLERANCE:
        return Row(
            check="clock", state="stop", text=f"{said}: AWS refuses signatures more than 5 minutes off; set the clock"
        )
    if surely > _WORTH_A_NOTE:
        return Row(
            check="clock", state="note", text=f"{said}: set the clock (NTP), or times in the report are off by that"
        )
    return Row(check="clock", state="ok", text=said)


def _look(url: str, ca_bundle: str | None, now: Callable[[], float]) -> tuple[str | None, float, float]:
    """Return the `Date` of an unsigned GET, its seconds, and when it was sent. Raises OSError, HTTPException."""
    parts = urlsplit(url)
    if not parts.hostname:
        raise OSError("the URL names no host")
    connection: HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context(cafile=ca_bundle)
        connection = HTTPSConnection(parts.hostname, parts.port, timeout=_TIMEOUT, context=context)
    else:
        connection = HTTPConnection(parts.hostname, parts.port, timeout=_TIMEOUT)
    try:
        connection.connect()
        sent = now()
        connection.request("GET", "/", headers={"User-Agent": "chatquota-check"})
        answer = connection.getresponse()
        seconds = now() - sent
        answer.read(65_536)
        return answer.getheader("Date"), seconds, sent
    finally:
        connection.close()
