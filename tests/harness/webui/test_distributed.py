"""The web UI of a master with workers, under a base path and behind a login."""

import http.cookiejar
import json
import os
import signal
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.harness.webui.support import wait_for, web_ui
from tests.support.locust_runs import children_of

BASE = "/load"


class Client:
    """Talks to the web UI as a browser that keeps cookies."""

    def __init__(self, url: str) -> None:
        self._url = url
        jar = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))

    def get(self, path: str) -> tuple[str, str]:
        """The address that was reached in the end, and its text."""
        with self._opener.open(f"{self._url}{path}", timeout=60) as answer:
            return answer.url, answer.read().decode()

    def json(self, path: str) -> dict[str, Any]:
        """The JSON at `path`."""
        said: dict[str, Any] = json.loads(self.get(path)[1])
        return said

    def post(self, path: str, **fields: str) -> str:
        """What a form answers."""
        data = urllib.parse.urlencode(fields).encode()
        with self._opener.open(f"{self._url}{path}", data, timeout=60) as answer:
            return str(answer.read().decode())


@pytest.mark.slow
def test_master_with_workers_under_a_base_path_and_behind_a_login(tmp_path: Path) -> None:
    """Nobody sees anything before the login; after it the run of two workers is watched, stopped and reported."""
    options = ("--processes", "2", "--web-base-path", BASE, "--web-login")
    with web_ui(tmp_path, *options, base=BASE, CHATQUOTA_WEB_USER="ana", CHATQUOTA_WEB_PASSWORD="open sesame") as ui:
        stranger, ana = Client(ui.url), Client(ui.url)
        for path in ("/", "/quotas", "/quotas/live.json", "/quotas/report", "/quotas/capacity.json", "/quotas/tab.js"):
            assert stranger.get(path)[0].partition("?")[0] == f"{ui.url}/login", path
        stranger.post("/quotas/login", username="ana", password="open barley")
        stranger.post("/swarm", user_count="2", spawn_rate="2", hold="banana")
        assert stranger.get("/quotas/live.json")[0].partition("?")[0] == f"{ui.url}/login"
        assert not ui.runs

        ana.post("/quotas/login", username="ana", password="open sesame")
        assert ana.json("/quotas/live.json") == {"phase": "idle", "rows": [], "answers": [], "run": None}
        assert "extended_tabs" in ana.get("/")[1]
        wait_for(lambda: ana.json("/worker-count")["worker_count"] == 2, "workers")
        form = {"user_count": "6", "spawn_rate": "6", "host": "", "hold": "10m"}
        refused = json.loads(ana.post("/swarm", **{**form, "hold": "banana"}))
        assert not refused["success"]
        assert refused["message"].startswith("--hold 'banana'")
        assert json.loads(ana.post("/swarm", **form))["success"]
        wait_for(lambda: ana.json("/quotas/live.json").get("counts", {}).get("StartChatContact", {}) != {}, "starts")
        assert ana.json("/stats/requests")["state"] in ("spawning", "running")
        wait_for(lambda: ana.json("/quotas/live.json")["chats"].get("left_open", 0) >= 10, "open chats")
        running = ana.json("/quotas/live.json")
        assert running["offered"] >= sum(running["counts"]["StartChatContact"].values())
        assert running["seconds"] > 0
        ana.post("/stop")
        wait_for(lambda: ana.json("/stats/requests")["state"] == "stopped", "end of the run")

        live = ana.json("/quotas/live.json")
        assert live["phase"] == "finished"
        assert live["chats"]["left_open"] == 0
        assert live["counts"]["StartChatContact"]["started"] == live["chats"]["started"]
        table = {row["limit"]: row for row in live["rows"]}
        assert table["Active chats"]["admitted"] == live["chats"]["started"]
        rows = next(part for part in ana.json("/stats/requests")["extended_stats"] if part["key"] == "quotas")["data"]
        assert rows == live["rows"]
        assert json.loads(ana.get("/quotas/capacity.json")[1])["outcomes"]["started"] == live["chats"]["started"]
        wait_for(lambda: "makes the report" in ui.log.read_text("utf-8", "replace"), "result table in the terminal")
        # A form that names no class means StartChat, never all of them.
        assert [(said["user_class"], said["chats"]["left_open"]) for said in ui.manifests()] == [("StartChat", 0)]


@pytest.mark.slow
def test_login_without_a_user_says_what_to_set(tmp_path: Path) -> None:
    """`--web-login` with nobody who could log in names the two variables instead of a login that nobody passes."""
    with web_ui(tmp_path, "--web-login") as ui:
        try:
            Client(ui.url).get("/")
            said = ""
        except urllib.error.HTTPError as error:
            said = error.read().decode()
    assert "CHATQUOTA_WEB_USER" in said


@pytest.mark.slow
def test_a_worker_that_dies_is_named_at_once_and_its_chats_are_still_counted(tmp_path: Path) -> None:
    """While the run goes on: who is missing, and as many chats left to stop as are open, though it reports no more."""
    with web_ui(tmp_path, "--processes", "2") as ui:
        ana = Client(ui.url)
        wait_for(lambda: ana.json("/worker-count")["worker_count"] == 2, "workers")
        workers = children_of(ui.pid)
        form = {"user_count": "6", "spawn_rate": "6", "hold": "10m", "emulator": "active_chats=20"}
        assert json.loads(ana.post("/swarm", **form))["success"]
        wait_for(lambda: ana.json("/quotas/live.json").get("open") == 20, "all chats")
        assert ana.json("/quotas/live.json")["missing_workers"] == []
        os.kill(workers[0], signal.SIGKILL)
        wait_for(lambda: ana.json("/quotas/live.json")["missing_workers"] != [], "a missing worker")
        live = ana.json("/quotas/live.json")
        assert live["missing_workers"] in (["worker-0"], ["worker-1"])
        assert live["chats"] == {"started": 20, "left_open": 20}
