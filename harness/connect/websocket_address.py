"""Which websocket addresses are opened: those of the participant service's own domain, over TLS; in the lab, loopback ones.

The service answers CreateParticipantConnection with the address, and a secret is in it. AWS's are
`wss://NAME.transport.connect.REGION.amazonaws.com/...`, and were API Gateway's `wss://NAME.execute-api.REGION.amazonaws.com/...`
before.
"""

import re
from functools import lru_cache
from urllib.parse import urlsplit

from harness.connect.wire import Endpoint, is_loopback_host

_AWS = re.compile(
    r"[a-z0-9.-]+\.(?:transport\.connect|execute-api)(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|api\.aws)"
)


_ORIGIN = re.compile(r"wss?://[A-Za-z0-9.:\[\]_-]+(?=[/?]|$)")


def origin_of(url: str) -> str | None:
    """Return what stands before the path of a plain websocket address; None of one that only a parser can take apart."""
    origin = _ORIGIN.match(url)
    return origin[0] if origin is not None and "#" not in url and url.isprintable() and url.isascii() else None


def refusal_of_address(url: str, participant: Endpoint, region: str, live: bool) -> str | None:
    """Say why the websocket at `url` is not to be opened by a customer of the `participant` endpoint; None where it is.

    In the lab only loopback addresses are allowed. A live run may open, over wss, the endpoint's own host and hosts below
    it, and AWS's own addresses of `region`; through a tunnel (a live endpoint on loopback) also the tunnel's own host.
    """
    # Each chat has an address of its own, and nearly all have one origin.
    origin = origin_of(url)
    return (_refusal if origin is None else _known_refusal)(origin or url, participant, region, live)


def _refusal(url: str, participant: Endpoint, region: str, live: bool) -> str | None:
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower().rstrip("."), parts.port
    except ValueError:
        return "the websocket address is not a URL; it was not opened"
    if parts.scheme not in ("ws", "wss") or not host or port == 0 or "@" in parts.netloc or parts.fragment:
        return "the websocket address is not a ws or wss URL of a host; it was not opened"
    if participant.is_loopback and is_loopback_host(host):
        return None
    if not live:
        return f"the websocket address names {host}, which is not this machine; it was not opened"
    if parts.scheme != "wss":
        return "the websocket address is not wss; it was not opened"
    own = participant.host.lower()
    if host == own or host.endswith(f".{own}"):
        return None
    aws = _AWS.fullmatch(host)
    if aws is not None and aws[1] == region and port in (None, 443):
        return None
    return f"the websocket address names {host}, which is not of {own} or of AWS in {region}; it was not opened"


_known_refusal = lru_cache(1024)(_refusal)
