"""Keeps other web sites out: what a browser sends on behalf of a foreign page is refused, and no answer is open to one."""

import ipaddress
import os
import socket
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from flask import Request, Response, make_response, request

from harness.load.run.locust_page import LocustPage

NAMES_VARIABLE = "CHATQUOTA_WEB_NAMES"
"""Host names, with commas between them, by which the page may be reached beside this machine's own."""

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_REFUSED = "refused: this request comes from another web site\n"
_WRONG_HOST = (
    "refused: this page is not served under the name {host!r}; use the machine's own name or address, or set "
    f"{NAMES_VARIABLE} to the names it has\n"
)

Header = tuple[str, str]


def keep_others_out(page: LocustPage) -> None:
    """Check every request of `page`, Locust's own routes included, and take its CORS headers away."""
    app = page.app
    app.config.update(
        SESSION_COOKIE_SAMESITE="Lax", SESSION_COOKIE_HTTPONLY=True, SESSION_COOKIE_SECURE=page.speaks_tls
    )
    names = known_names(page.listens_on)

    def check() -> Response | None:
        # A login protects from a name that somebody else points here: its cookie is not sent to that name.
        if not page.has_login and not is_own_name(_name_of(request.host), names):
            return make_response(_WRONG_HOST.format(host=request.host), 403)
        if request.method not in _SAFE_METHODS and not is_same_site(request):
            return make_response(_REFUSED, 403)
        return None

    app.before_request(check)
    app.wsgi_app = _without_cors(app.wsgi_app)  # type: ignore[method-assign]  # as Flask's documentation does it


def is_same_site(asked: Request) -> bool:
    """Whether a request is from a page of this server, or from a program that is not a browser.

    Browsers say where a request comes from in Origin and Sec-Fetch-Site, which no page can change, and in Referer.
    """
    site = asked.headers.get("Sec-Fetch-Site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    source = asked.headers.get("Origin") or asked.headers.get("Referer")
    if source is None:
        return site is not None or not asked.headers.get("User-Agent", "").startswith("Mozilla/")
    # A proxy in front may change Host; no foreign page may set X-Forwarded-Host without being asked for leave first.
    return bool(urlsplit(source).netloc) and urlsplit(source).netloc in (
        asked.host,
        asked.headers.get("X-Forwarded-Host"),
    )


def known_names(web_host: str) -> frozenset[str]:
    """Return the names by which the page may be reached when it listens on `web_host`."""
    given = os.environ.get(NAMES_VARIABLE, "").split(",")
    own = (web_host, "localhost", socket.gethostname(), *given)
    return frozenset(name.strip().lower() for name in own if name.strip())


def is_own_name(host: str, names: frozenset[str]) -> bool:
    """Whether `host` cannot be a name that somebody else points at this machine: an address, a bare name, or a known one."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return "." not in host or host.lower().rstrip(".") in names
    return True


def _name_of(host: str) -> str:
    return host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]


def _without_cors(application: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Wrap a WSGI application: its answers may be read by its own pages only, and be framed by them only."""

    def wrapped(environ: dict[str, object], start_response: Callable[..., object]) -> Iterable[bytes]:
        def start(status: str, headers: list[Header], *rest: object) -> object:
            kept = [item for item in headers if not item[0].lower().startswith("access-control-")]
            return start_response(status, [*kept, ("X-Frame-Options", "SAMEORIGIN")], *rest)

        return application(environ, start)

    return wrapped
