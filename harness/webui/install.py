"""Adds the harness to Locust's web UI, once, before it serves its first page."""

import logging
from typing import Any

from flask import Response, jsonify, request

from harness.load.coordinator import Coordinator, Unreachable
from harness.usage import UsageError
from harness.webui.form import Form

logger = logging.getLogger(__name__)


def install_web_ui(environment: Any, web_ui: Any, coordinator: Coordinator) -> None:
    """Hook everything onto `web_ui`, which must not have answered a request yet."""
    _check_forms(environment, web_ui, coordinator)


def _check_forms(environment: Any, web_ui: Any, coordinator: Coordinator) -> None:
    @web_ui.auth_required_if_enabled  # type: ignore[untyped-decorator]
    def checked() -> Response | None:
        fields = {name: request.form[name] for name in request.form}
        try:
            Form(environment, coordinator, fields, request.form.getlist("user_classes")).check()
        except (UsageError, Unreachable) as error:
            logger.warning("the form was refused: %s", error)
            return jsonify({"success": False, "message": str(error), "host": environment.host})
        return None

    def before() -> Response | None:
        if request.endpoint == "locust.swarm":
            return checked()  # type: ignore[no-any-return]
        return None

    web_ui.app.before_request(before)
