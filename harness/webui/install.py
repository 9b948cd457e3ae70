"""Adds the harness to Locust's web UI, once, before it serves its first page."""

import logging
from collections.abc import Callable
from typing import Any

import orjson
from flask import Response, g, jsonify, request
from gevent.lock import RLock

from harness.errors import ChatquotaError
from harness.load.options.reading import NAMES
from harness.load.run.coordinator import Coordinator
from harness.recording.redact import redact
from harness.webui import answers
from harness.webui.confirmation import Confirmations, NotConfirmed
from harness.webui.form import Form
from harness.webui.form_policy import FormPolicy
from harness.webui.live import STARTING, LiveRun
from harness.webui.login import install_login
from harness.webui.pages import DOWNLOADS, install_pages, with_rows, with_script
from harness.webui.same_site import keep_others_out
from harness.webui.table import STRUCTURE, TAB

logger = logging.getLogger(__name__)


def install_web_ui(environment: Any, web_ui: Any, coordinator: Coordinator) -> None:
    """Add everything onto `web_ui`, which must not have answered a request yet."""
    base = (environment.parsed_options.web_base_path or "").rstrip("/")
    live = LiveRun(environment, coordinator)
    web_ui.app.json.sort_keys = False  # the form shows the options in their order, group by group
    web_ui.template_args.update(
        extended_tabs=[TAB, answers.TAB],
        extended_tables=[STRUCTURE, answers.STRUCTURE],
        extended_csv_files=list(DOWNLOADS),
    )
    if web_ui.web_login:
        install_login(web_ui, base)
    keep_others_out(web_ui)
    _tidy_page(environment, web_ui, coordinator, live)
    _keep_choices(web_ui)
    _check_forms(environment, web_ui, coordinator, live)
    _extend_answers(web_ui, live)
    install_pages(web_ui, base, live, lambda: coordinator.last_directory)
    environment.events.quitting.add_listener(lambda **_: live.close())


def _tidy_page(environment: Any, web_ui: Any, coordinator: Coordinator, live: LiveRun) -> None:
    """Let Locust's page say what the run says: its state, no emulator that is gone, one user class chosen."""
    update = web_ui.update_template_args

    def tidied() -> None:
        update()
        arguments = web_ui.template_args
        arguments["state"] = live.locust_state(arguments["state"])
        if arguments["host"] == coordinator.lab_endpoint:
            arguments["host"] = ""
        # No host is no mistake here: it means the embedded emulator.
        arguments["missing_host_warning"] = arguments["override_host_warning"] = False
        # The picker ticks what is listed here, and shows all classes that there are.
        arguments["available_user_classes"] = [cls.__name__ for cls in environment.user_classes]
        # The form shows what the run has, also after a reload and in a second tab: Locust would show the command line's.
        for name, shown in arguments["extra_options"].items():
            if name in NAMES:
                shown["default_value"] = getattr(environment.parsed_options, name)

    web_ui.update_template_args = tidied


def _keep_choices(web_ui: Any) -> None:
    """Let the user class and the shape that the checked form has chosen stay.

    Locust would take every class where a form names none, and drop the shape for what its own form calls Default.
    """
    update_shape = web_ui._update_shape_class

    def kept(name: str | None) -> None:
        if name:
            update_shape(name)

    web_ui._update_shape_class = kept
    web_ui._update_user_classes = lambda user_classes: None


def _check_forms(environment: Any, web_ui: Any, coordinator: Coordinator, live: LiveRun) -> None:
    policy = FormPolicy(environment.parsed_options, environment.host)
    confirmations, turn = Confirmations(), RLock()

    @web_ui.auth_required_if_enabled  # type: ignore[untyped-decorator]
    def checked() -> Response | None:
        fields = {name: request.form[name] for name in request.form}
        with turn:  # one form at a time: each starts an emulator to see whether its spec is right
            form = Form(environment, coordinator, fields, request.form.getlist("user_classes"), live.phase == STARTING)
            refused = _refusal(environment, lambda: form.check(policy, confirmations))
            if g.get("chatquota_starts"):
                live.expect_start()
        return refused

    def before() -> Response | None:
        if request.endpoint == "locust.swarm":
            return checked()  # type: ignore[no-any-return]
        return None

    def after(response: Response) -> Response:
        if request.endpoint == "locust.swarm" and g.get("chatquota_starts"):
            answer = response.get_json(silent=True) if response.is_json else None
            if not (isinstance(answer, dict) and answer.get("success")):
                live.expect_nothing()
                coordinator.discard_lab()
        return response

    web_ui.app.before_request(before)
    web_ui.app.after_request(after)


def _refusal(environment: Any, check: Callable[[], bool]) -> Response | None:
    """Check a form, note whether it starts a run, and return the answer to one that is refused."""
    try:
        g.chatquota_starts = check()
    except NotConfirmed as asking:
        said = redact_lines(asking.lines)
        return _refused(environment, "; ".join(said), announcement=said, confirm=asking.token)
    except ChatquotaError as error:
        logger.warning("the form was refused: %s", _one_line(str(error)))
        return _refused(environment, redact(str(error)))
    except Exception as error:  # a form must never leave the page without an answer
        logger.error("the form could not be checked: %s: %s", type(error).__name__, _one_line(str(error)))
        return _refused(environment, f"the form could not be checked: {type(error).__name__}")
    return None


def _refused(environment: Any, message: str, **more: object) -> Response:
    return jsonify({"success": False, "message": message, "host": environment.host, **more})


def _one_line(text: str) -> str:
    """Return a text for the log: what came with a form must not make lines of its own."""
    return redact(text).encode("unicode_escape").decode("ascii")[:500]


def redact_lines(lines: list[str]) -> list[str]:
    """Return `lines` without what may be a credential."""
    return [redact(line) for line in lines]


def _extend_answers(web_ui: Any, live: LiveRun) -> None:
    def after(response: Response) -> Response:
        if response.status_code != 200:
            return response
        if request.endpoint == "locust.request_stats" and response.is_json:
            # A response of its own: Locust keeps the one it made for the next who asks.
            answer = with_rows(orjson.loads(response.get_data()), live)
            return Response(orjson.dumps(answer), mimetype="application/json")
        if request.endpoint == "locust.index" and response.mimetype == "text/html" and not response.direct_passthrough:
            response.set_data(with_script(response.get_data(as_text=True)))
        return response

    web_ui.app.after_request(after)
