"""The pages beside Locust's own: the live figure, its data, and the report of the run."""

import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import orjson
from flask import Response, make_response, request, send_file
from gevent.lock import Semaphore

from harness.errors import UsageError
from harness.load.run.locust_page import LocustPage
from harness.recording.format.manifest import read_manifest
from harness.webui.answers import KEY as ANSWERS
from harness.webui.answers import answer_rows
from harness.webui.live import LiveRun
from harness.webui.table import KEY, rows

_NO_RUN = "There is no run yet: start one, then come back.\n"
DOWNLOADS = (
    {"href": "./quotas/report?download=1", "title": "Download capacity report"},
    {"href": "./quotas/capacity.json", "title": "Download capacity.json"},
    {"href": "./quotas", "title": "Open the live figure"},
)


def install_pages(
    locust: LocustPage,
    base: str,
    live: LiveRun,
    last_directory: Callable[[], str | None],
    result_of: Callable[[str], str],
) -> None:
    """Add the routes under `base`, each behind the login where there is one."""
    reports = Reports()

    def page(path: str, view: Callable[[], Response]) -> None:
        name = "quotas" + path.replace("/", "_").replace(".", "_")
        locust.app.add_url_rule(f"{base}/quotas{path}", name, locust.behind_login(view))

    def show() -> Response:
        return Response(_asset("figure.html"), mimetype="text/html")

    def script() -> Response:
        return Response(_asset("tab.js"), mimetype="text/javascript")

    def data() -> Response:
        found = live.snapshot()
        # Locust's app debugs, so that its own JSON is indented: 30 times the work, in the process that offers the load.
        whole = orjson.dumps({**found, "rows": rows(found), "answers": answer_rows(found)})
        return Response(whole, mimetype="application/json")

    def report() -> Response:
        return _made("report.html", as_attachment="download" in request.args)

    def capacity() -> Response:
        return _made("capacity.json", as_attachment=True)

    def _made(name: str, as_attachment: bool) -> Response:
        directory = last_directory()
        if directory is None:
            return make_response(_NO_RUN, 404)
        try:
            path = reports.make(Path(directory), name)
        except UsageError as error:
            return make_response(f"The report could not be made: {error}\n", 500)
        return send_file(path, as_attachment=as_attachment, download_name=f"{Path(directory).name}-{name}", max_age=0)

    page("", show)
    page("/tab.js", script)
    page("/live.json", data)
    page("/report", report)
    page("/capacity.json", capacity)
    page("/result", partial(_result, result_of, last_directory))


def _result(result_of: Callable[[str], str], last_directory: Callable[[], str | None]) -> Response:
    directory = last_directory()
    if directory is None or not finished(Path(directory)):
        return make_response(_NO_RUN, 404)
    return Response(result_of(directory), mimetype="text/plain")


class Reports:
    """Makes reports on demand, one at a time, in a process of its own: pandas and matplotlib have no place here."""

    def __init__(self) -> None:
        self._turn = Semaphore(1)
        self._made: set[Path] = set()

    def make(self, directory: Path, name: str) -> Path:
        """Return the file `name` of the report of `directory`; a finished run is reported once.

        Raises UsageError with what the report command said.
        """
        with self._turn:
            if directory not in self._made:
                whole = finished(directory)
                command = [sys.executable, "-P", "-m", "harness", "report", "--quiet", str(directory)]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if not (directory / name).exists():
                    said = done.stderr.strip().splitlines()
                    raise UsageError(said[-1] if said else f"exit code {done.returncode}")
                if whole:
                    self._made.add(directory)
        return directory / name


def finished(directory: Path) -> bool:
    """Whether the run has ended and written its account."""
    return read_manifest(directory).contents.status == "finished"


def with_rows(answer: dict[str, Any], live: LiveRun) -> dict[str, Any]:
    """Locust's answer to /stats/requests with the rows of the tabs Quotas and Answers, and the state that fits the run."""
    found = live.snapshot()
    tables = [{"key": KEY, "data": rows(found)}, {"key": ANSWERS, "data": answer_rows(found)}]
    answer["extended_stats"] = [*answer.get("extended_stats", []), *tables]
    # Of the rows' own phase: the page asks no more once it reads stopped, and rows from before the end would stay.
    answer["state"] = live.locust_state(answer["state"], found["phase"])
    return answer


def with_script(page: str) -> str:
    """Locust's page with the script that shows the live figure below the Quotas tab."""
    return re.sub(r"</body>", '<script src="./quotas/tab.js" defer></script></body>', page, count=1)


def _asset(name: str) -> bytes:
    return files("harness.webui").joinpath("static", name).read_bytes()
