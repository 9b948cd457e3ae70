"""Adds the harness to Locust's web UI, once, before it serves its first page."""

import logging
from collections.abc import Callable
from typing import Any

import gevent
import orjson
from flask import Response, g, jsonify, request
from gevent.lock import RLock

from harness.errors import ChatquotaError
from harness.load.options.reading import NAMES, form_groups
from harness.load.run.coordinator import Coordinator
from harness.load.run.host import Host
from harness.load.run.locust_page import LocustPage
from harness.recording.redact import redact
from harness.webui import answers
from harness.webui.access.confirmation import Confirmations, NotConfirmed
from harness.webui.access.form_policy import FormPolicy
from harness.webui.access.login import install_login
from harness.webui.access.same_site import keep_others_out
from harness.webui.access.user_settings import check_user_settings
from harness.webui.form import Form
from harness.webui.live import FINISHED, STARTING, LiveRun
from harness.webui.pages import DOWNLOADS, install_pages, with_rows, with_script
from harness.webui.table import STRUCTURE, TAB

logger = logging.getLogger(__name__)


def install_web_ui(page: LocustPage, coordinator: Coordinator, result_of: Callable[[str], str]) -> None:
    """Add everything onto Locust's page, which must not have answered a request yet.

    `result_of(directory)` returns the short result table of a run that has ended.
    """
    host = coordinator.host
    base = (host.options.web_base_path or "").rstrip("/")
    live = LiveRun(coordinator)
    # The form shows the options in their order, group by group; a template sorts by a setting of its own.
    page.app.json.sort_keys = False  # type: ignore[attr-defined]
    page.app.jinja_env.policies["json.dumps_kwargs"] = {"sort_keys": False}
    page.extend([TAB, answers.TAB], [STRUCTURE, answers.STRUCTURE], list(DOWNLOADS))
    if page.has_login:
        install_login(page, base)
    keep_others_out(page)
    page.on_render(lambda shown: _tidy(shown, coordinator, live))
    page.keep_choices()
    _check_forms(page, coordinator, live)
    _check_users(page, coordinator)
    _extend_answers(page, live)
    install_pages(page, base, live, lambda: coordinator.last_directory, result_of)
    host.listen("quitting", live.close)


def _tidy(shown: dict[str, Any], coordinator: Coordinator, live: LiveRun) -> None:
    """Let Locust's page say what the run says: its state, no emulator that is gone, one user class chosen."""
    host = coordinator.host
    shown["state"] = live.locust_state(shown["state"])
    if shown["host"] == coordinator.lab_endpoint:
        shown["host"] = ""
    # No host is not a mistake here: it means the embedded emulator.
    shown["missing_host_warning"] = shown["override_host_warning"] = False
    # The picker ticks what is listed here, and shows all classes that there are.
    shown["available_user_classes"] = [cls.__name__ for cls in host.user_classes]
    # The number of users that was asked for: of those that run so far, an edit in mid-ramp would make the number for good.
    shown["user_count"] = host.options.num_users or 0
    shown["chatquota_groups"] = form_groups()
    # The form shows what the run has, also after a reload and in a second tab: Locust would show the command line's.
    for name, field in shown["extra_options"].items():
        if name in NAMES:
            field["default_value"] = getattr(host.options, name)
            field["help_text"] = field["help_text"].replace("%%", "%")  # it is written for argparse
    if live.phase == FINISHED:
        shown["extra_options"]["run_dir"]["default_value"] = ""  # the last run's: it takes no other one


def _check_forms(page: LocustPage, coordinator: Coordinator, live: LiveRun) -> None:
    host = coordinator.host
    policy = FormPolicy(host.options, host.endpoint)
    confirmations, turn = Confirmations(), RLock()

    @page.behind_login
    def checked() -> Response | None:
        fields = {name: request.form[name] for name in request.form}
        with turn:  # one form at a time: each starts an emulator to see whether its spec is right
            form = Form(coordinator, fields, request.form.getlist("user_classes"), live.phase == STARTING)
            refused = _refusal(host, lambda: form.check(policy, confirmations))
            if g.get("chatquota_starts"):
                live.expect_start()
        return refused

    def before() -> Response | None:
        return checked() if request.endpoint == page.SWARM else None

    def after(response: Response) -> Response:
        if request.endpoint == page.SWARM and g.get("chatquota_starts"):
            answer = response.get_json(silent=True) if response.is_json else None
            if not (isinstance(answer, dict) and answer.get("success")):
                live.expect_nothing()
                coordinator.discard_lab()
        return response

    page.app.before_request(before)
    page.app.after_request(after)


def _check_users(page: LocustPage, coordinator: Coordinator) -> None:
    """Check the settings of user classes, and let Stop end also a run whose users Locust could not start."""
    host = coordinator.host

    @page.behind_login
    def checked() -> Response | None:
        environment = host.environment
        known, tasks = environment.available_user_classes or {}, environment.available_user_tasks or {}
        refused = _refusal(host, lambda: check_user_settings(request.get_data(), known, tasks))
        if refused is not None:
            refused.status_code = 400
        return refused

    def before() -> Response | None:
        return checked() if request.endpoint == page.USER else None

    def after(response: Response) -> Response:
        if request.endpoint == page.STOP and response.status_code == 200 and host.may_start:
            gevent.spawn(coordinator.finish, "user")  # Locust has nothing to stop
        return response

    page.app.before_request(before)
    page.app.after_request(after)


def _refusal(host: Host, check: Callable[[], bool | None]) -> Response | None:
    """Check a form, note whether it starts a run, and return the answer to one that is refused."""
    try:
        g.chatquota_starts = check()
    except NotConfirmed as asking:
        said = redact_lines(asking.lines)
        return _refused(host, "; ".join(said), announcement=said, confirm=asking.token)
    except ChatquotaError as error:
        logger.warning("the form was refused: %s", _one_line(str(error)))
        return _refused(host, redact(str(error)))
    except Exception as error:  # a form must never leave the page without an answer
        logger.error("the form could not be checked: %s: %s", type(error).__name__, _one_line(str(error)))
        return _refused(host, f"the form could not be checked: {type(error).__name__}")
    return None


def _refused(host: Host, message: str, **more: object) -> Response:
    return jsonify({"success": False, "message": message, "host": host.endpoint, **more})


def _one_line(text: str) -> str:
    """Return a text for the log: what came with a form must not make lines of its own."""
    return redact(text).encode("unicode_escape").decode("ascii")[:500]


def redact_lines(lines: list[str]) -> list[str]:
    """Return `lines` without what may be a credential."""
    return [redact(line) for line in lines]


def _extend_answers(page: LocustPage, live: LiveRun) -> None:
    def after(response: Response) -> Response:
        if response.status_code != 200:
            return response
        if request.endpoint == page.STATISTICS and response.is_json:
            # A response of its own: Locust keeps the one it made for the next who asks.
            answer = with_rows(orjson.loads(response.get_data()), live)
            return Response(orjson.dumps(answer), mimetype="application/json")
        if request.endpoint == page.INDEX and response.mimetype == "text/html" and not response.direct_passthrough:
            response.set_data(with_script(response.get_data(as_text=True)))
        return response

    page.app.after_request(after)
