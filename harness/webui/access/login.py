"""A login for `--web-login`, which Locust leaves to the locustfile: one user, named by two environment variables."""

import hmac
import logging
import os
import secrets
import time
from collections import deque
from collections.abc import Callable

from flask import Response, make_response, redirect, request, session, url_for
from flask_login import UserMixin, login_user

from harness.load.run.locust_page import LocustPage

logger = logging.getLogger(__name__)

USER, PASSWORD = "CHATQUOTA_WEB_USER", "CHATQUOTA_WEB_PASSWORD"
_HINT = f"--web-login: set {USER} and {PASSWORD}, or configure the login in a locustfile of your own\n"


class Attempts:
    """Counts failed log-ins: after MOST of one address, or ten times as many of all, the next are refused for a while."""

    MOST, WITHIN = 5, 60.0

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: deque[tuple[float, str]] = deque(maxlen=10 * self.MOST)

    def allowed(self, address: str) -> bool:
        """Whether `address` may try now."""
        since = self._clock() - self.WITHIN
        while self._failed and self._failed[0][0] <= since:
            self._failed.popleft()
        of_address = sum(1 for _, each in self._failed if each == address)
        return of_address < self.MOST and len(self._failed) < 10 * self.MOST

    def failed(self, address: str) -> None:
        """Count a failure of `address`."""
        self._failed.append((self._clock(), address))


class _Engineer(UserMixin):  # type: ignore[misc]
    def __init__(self, name: str) -> None:
        self.id = name


def install_login(page: LocustPage, base: str) -> None:
    """Let the user of the environment variables log in; without them, say so on every page of an unconfigured UI."""
    name, password = os.environ.get(USER, ""), os.environ.get(PASSWORD, "")
    app = page.app
    if not name or not password:
        logger.warning(_HINT.strip())

        @app.before_request
        def unconfigured() -> Response | None:
            if not page.login_is_configured:
                return make_response(_HINT, 503)
            return None  # a locustfile that builds on this one has configured its own

        return
    app.secret_key = app.secret_key or secrets.token_bytes(32)
    page.log_in_with(lambda user: _Engineer(user) if user == name else None, f"{base}/quotas/login")

    attempts = Attempts()

    @app.route(f"{base}/quotas/login", methods=["POST"])
    def log_in() -> Response:
        address = request.remote_addr or ""
        if not attempts.allowed(address):
            logger.warning("too many failed log-ins from %s", address)
            session["auth_error"] = "Too many failed attempts; wait a minute"
            return redirect(url_for(LocustPage.LOGIN))  # type: ignore[return-value]
        given = (request.form.get("username", ""), request.form.get("password", ""))
        # Both are always compared, so that the time taken tells nothing of either.
        right = [hmac.compare_digest(a.encode(), b.encode()) for a, b in zip(given, (name, password), strict=True)]
        if all(right):
            login_user(_Engineer(name))
            return redirect(url_for(LocustPage.INDEX))  # type: ignore[return-value]
        attempts.failed(address)
        session["auth_error"] = "Wrong user name or password"
        return redirect(url_for(LocustPage.LOGIN))  # type: ignore[return-value]
