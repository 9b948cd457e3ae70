"""The edge to Locust's web server: what the harness asks of its page. No other place knows its private names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:  # who imports Locust has gevent patch the whole process
    from flask import Flask
    from flask_login import UserMixin
    from locust.web import WebUI

Shown = TypeVar("Shown")


class LocustPage:
    """Locust's web UI, before it has answered a request."""

    SWARM, STATISTICS, INDEX, LOGIN = "locust.swarm", "locust.request_stats", "locust.index", "locust.login"
    USER, STOP = "locust.update_user", "locust.stop"
    """Flask's names of the addresses of the start form, the statistics, the page, its login, a user class and Stop."""

    def __init__(self, web_ui: WebUI) -> None:
        self._web_ui = web_ui

    @property
    def app(self) -> Flask:
        """The Flask application that serves the page."""
        app = self._web_ui.app
        assert app is not None  # its type allows for a class of its own
        return app

    @property
    def listens_on(self) -> str:
        """The address or name that the server listens on."""
        return self._web_ui.host

    @property
    def has_login(self) -> bool:
        """Whether the page asks for a login (`--web-login`)."""
        return bool(self._web_ui.web_login)

    @property
    def speaks_tls(self) -> bool:
        """Whether the server has a certificate (`--tls-cert`)."""
        return bool(self._web_ui.tls_cert)

    def behind_login(self, view: Callable[[], Shown]) -> Callable[[], Shown]:
        """Return a view that asks for the login first, where there is one."""
        guarded: Callable[[], Shown] = self._web_ui.auth_required_if_enabled(view)
        return guarded

    def extend(self, tabs: list[Any], tables: list[Any], downloads: list[dict[str, str]]) -> None:
        """Add tabs, tables of statistics and downloads to the page."""
        arguments = self._web_ui.template_args
        arguments.update(extended_tabs=tabs, extended_tables=tables, extended_csv_files=downloads)

    def on_render(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Let `change(arguments)` have its say each time that Locust has gathered what its page shows."""
        web_ui = self._web_ui
        gather = web_ui.update_template_args

        def gathered() -> None:
            gather()  # type: ignore[no-untyped-call]
            change(web_ui.template_args)

        web_ui.update_template_args = gathered  # type: ignore[method-assign]  # Locust has no event for it

    def keep_choices(self) -> None:
        """Let the user class and the shape that the checked form has chosen stay.

        Locust would take every class where a form names none, and drop the shape for what its own form calls Default.
        """
        web_ui = self._web_ui
        choose = web_ui._update_shape_class  # noqa: SLF001 (Locust has no public way)

        def chosen(name: str | None) -> None:
            if name:
                choose(name)  # type: ignore[no-untyped-call]

        web_ui._update_shape_class = chosen  # type: ignore[method-assign]  # noqa: SLF001
        web_ui._update_user_classes = lambda user_classes: None  # type: ignore[method-assign]  # noqa: SLF001

    @property
    def login_is_configured(self) -> bool:
        """Whether somebody has told Locust's login who its users are."""
        return self._web_ui.login_manager._user_callback is not None  # noqa: SLF001 (flask-login tells it nowhere else)

    def log_in_with(self, load_user: Callable[[str], UserMixin | None], address: str) -> None:
        """Let the login page send name and password to `address`; `load_user(id)` gives the user of a session."""
        self._web_ui.login_manager.user_loader(load_user)
        self._web_ui.auth_args = {"username_password_callback": address}
