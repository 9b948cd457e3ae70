"""The start form before, during and after a run, sent as a second tab or a stale one would send it."""

import json
import re
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.harness.webui.support import WebUi, browser_page, wait_for, web_ui


def _get(ui: WebUi, path: str) -> str:
    with urllib.request.urlopen(f"{ui.url}{path}", timeout=60) as answer:
        return str(answer.read().decode())


def _post(ui: WebUi, path: str, **fields: str) -> dict[str, Any]:
    data = urllib.parse.urlencode(fields).encode()
    with urllib.request.urlopen(f"{ui.url}{path}", data, timeout=60) as answer:
        said: dict[str, Any] = json.loads(answer.read())
        return said


def _shown(ui: WebUi) -> dict[str, str]:
    """What a page that is loaded now has in its fields, as its form would send it."""
    page = _get(ui, "/")
    arguments, _ = json.JSONDecoder().raw_decode(page.split("window.templateArgs = ", 1)[1])
    shown = {name: field["default_value"] for name, field in arguments["extra_options"].items()}
    return {name: _as_field(value) for name, value in shown.items()} | {"host": arguments["host"] or ""}


def _as_field(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


@pytest.mark.slow
def test_a_page_loaded_during_a_run_can_change_its_users_and_a_stale_one_starts_nothing(tmp_path: Path) -> None:
    """A reload or a second tab shows the run's values and may edit; an edit left open until the end starts no run, nor
    does a run directory that is used.
    """
    begin = {"user_classes": "StartChat", "spawn_rate": "2", "hold": "10s", "emulator": "active_chats=45"}
    begin |= {"run_dir": "runs/mine"}
    with web_ui(tmp_path) as ui:
        assert _post(ui, "/swarm", user_count="2", **begin)["success"]
        wait_for(lambda: json.loads(_get(ui, "/quotas/live.json"))["phase"] == "running", "run")
        assert "\n" not in _get(ui, "/quotas/live.json")  # indented it takes the load's process 30 times as long
        edit = _shown(ui) | {"user_count": "3", "spawn_rate": "3", "chatquota_edit": "1"}
        assert (edit["hold"], edit["emulator"], edit["run_dir"]) == ("10s", "active_chats=45", "runs/mine")
        assert _post(ui, "/swarm", **edit)["success"]
        changed = _post(ui, "/swarm", **(edit | {"hold": "1s"}))
        assert "--hold cannot change while a run is on" in changed["message"]
        _post(ui, "/stop")
        wait_for(lambda: json.loads(_get(ui, "/quotas/live.json"))["phase"] == "finished", "end of the run")

        ended = _shown(ui)
        assert (ended["hold"], ended["run_dir"]) == ("10s", "")  # a directory takes one run
        stale = _post(ui, "/swarm", **edit)
        assert (stale["success"], stale["message"]) == (
            False,
            "the run has ended meanwhile; press New to start another one",
        )
        again = _post(ui, "/swarm", user_count="2", **begin)
        assert not again["success"]
        assert again["message"].startswith("--run-dir runs/mine")
        assert [said["status"] for said in ui.manifests()] == ["finished"]


@pytest.mark.slow
def test_values_that_no_run_can_have_and_files_of_others_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    """Nothing of a file that the command line did not name comes back; numbers beyond all measure are one sentence."""
    secret = tmp_path / "secret.txt"
    secret.write_text("time,arrivals\nuser = hunter2\n")
    wrong = {
        "workload": (str(secret), "the form may name only a file that Locust was started with"),
        "load_shape": (f"day:{secret}", "the form may name only a file that Locust was started with"),
        "gates": ("a\0b", "the form may name only a file that Locust was started with"),
        "user_count": ("1000000000000", "a whole number of users from 1 to 1,000,000"),
        "run_time": ("99999999999999999999h", "write 20, 20s, 3m, 2h or 1h20m"),
        "shape_class": ("Nobodys", "no shape class 'Nobodys'"),
    }
    begin = {"user_classes": "StartChat", "user_count": "2", "spawn_rate": "2"}
    with web_ui(tmp_path) as ui:
        for field, (value, said) in wrong.items():
            answer = _post(ui, "/swarm", **(begin | {field: value}))
            assert not answer["success"]
            assert said in answer["message"]
            assert "hunter2" not in answer["message"]
        assert not ui.runs
        assert "hunter2" not in ui.log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("processes", [(), ("--processes", "2")], ids=["one process", "workers"])
def test_a_probe_says_in_the_browser_what_it_does(tmp_path: Path, processes: tuple[str, ...]) -> None:
    """What a probe prints in a terminal while it works is in the page's data too, also of a worker's, and ends with the
    run; how much of its run time is left is there, and counts down.
    """
    with web_ui(tmp_path, *processes) as ui:
        if processes:
            wait_for(lambda: json.loads(_get(ui, "/worker-count"))["worker_count"] == 2, "workers")
        begin = {"user_classes": "QuotaProbe", "user_count": "1", "spawn_rate": "1", "probe": "tps", "run_time": "5m"}
        assert _post(ui, "/swarm", **begin)["success"]
        wait_for(lambda: "chats" in json.loads(_get(ui, "/quotas/live.json")).get("progress", ""), "line of the probe")
        left = json.loads(_get(ui, "/quotas/live.json"))["seconds_left"]
        assert 0 < left < 300
        wait_for(lambda: json.loads(_get(ui, "/quotas/live.json"))["seconds_left"] < left, "less time left")
        _post(ui, "/stop")
        wait_for(lambda: json.loads(_get(ui, "/quotas/live.json"))["phase"] == "finished", "end of the run")
        assert not {"progress", "seconds_left"} & json.loads(_get(ui, "/quotas/live.json")).keys()


@pytest.mark.slow
def test_a_page_that_is_loaded_again_shows_the_run_that_is_on(tmp_path: Path) -> None:
    """A second page of the figure, and one that is reloaded, show the same run, its time and what is left, and count on."""
    with web_ui(tmp_path) as ui, browser_page() as page:
        begin = {"user_classes": "StartChat", "user_count": "4", "spawn_rate": "4", "run_time": "5m"}
        assert _post(ui, "/swarm", **begin)["success"]
        facts = page.locator("#facts")
        shown = re.compile(r"run .*start-chat.* time \d+:\d\d · left [34]:\d\d · offered [1-9]")
        for again in range(2):
            if again:
                page.reload()
            else:
                page.goto(f"{ui.url}/quotas")
            expect(facts).to_contain_text(shown, timeout=30_000)
        _post(ui, "/stop")
        expect(page.get_by_role("status")).to_have_text("finished", timeout=30_000)
        page.reload()
        expect(page.locator("#result-text")).to_contain_text("started", timeout=30_000)
        expect(facts).not_to_contain_text("· left")
        expect(facts).not_to_contain_text("ended by")  # but by whoever asked for it
        assert _post(ui, "/swarm", **begin, max_chats="3")["success"]
        expect(facts).to_contain_text("· ended by --max-chats ·", timeout=30_000)
