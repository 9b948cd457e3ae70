"""The start and edit forms in a real browser: groups of options, the running values after a reload, the table after Stop."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from harness.load.options.reading import form_groups
from tests.harness.webui.support import PATIENCE, WebUi, browser_page, wait_for, web_ui

SOON = PATIENCE * 1000
LOCUSTFILE = """
from locust import events
from chatquota import StartChat

@events.init_command_line_parser.add_listener
def _(parser):
    parser.add_argument("--team", default="blue", help="of the locustfile")

class Mine(StartChat):
    '''One of the user's own.'''
"""


@pytest.mark.slow
@pytest.mark.timeout(240)  # two whole runs, in a browser
def test_form_is_in_groups_and_shows_the_running_values_after_a_reload(tmp_path: Path) -> None:
    """The edit form of a reloaded page has the run's values; Stop prints the table; the next run has no old run time."""
    with web_ui(tmp_path) as ui, browser_page() as page:
        page.goto(ui.url)
        page.get_by_text("Custom parameters").click()
        assert _groups(page.locator("form")) == _expected()
        assert [label for label in page.locator("form label").all_inner_texts() if "%%" in label] == []
        expect(page.get_by_label(re.compile("^Treat Bare 429 As"))).to_have_value("unclassified_429")
        for box in ("All user classes", "ChatConversation", "QuotaProbe", "StartChat"):
            expect(page.get_by_role("checkbox", name=box, exact=True)).to_be_visible()
        expect(page.get_by_role("button", name="Light or dark")).to_be_visible()
        expect(page.get_by_role("button", name="Settings of StartChat")).to_be_visible()
        keep = page.get_by_label(re.compile("^Keep Chats"))
        keep.press("Space")  # the options are still sliding open, and would slide away from under a mouse
        expect(keep).to_be_checked()
        page.get_by_label(re.compile("^Arrivals")).select_option("uniform")
        page.get_by_text("Advanced options").click()
        _fill(page, hold="10m", runTime="5m", userCount="40", spawnRate="0.5")
        page.get_by_role("button", name="Start", exact=True).click()
        expect(page.get_by_role("button", name="Stop")).to_be_visible(timeout=SOON)

        page.reload()
        dialog = _edit(page)
        assert _groups(dialog.locator("form")) == _expected()
        _has(dialog, userCount="40", spawnRate="0.5", hold="10m", arrivals="uniform")
        expect(dialog.locator("[name=keepChats]")).to_be_checked()
        _fill(dialog, userCount="3")
        dialog.get_by_role("button", name="Update").click()
        expect(dialog).to_be_hidden()
        page.reload()
        _has(_edit(page), userCount="3", hold="10m")
        page.keyboard.press("Escape")

        _stop(page)
        wait_for(lambda: _tables(ui) == 1, "result table in the terminal")
        page.reload()
        page.get_by_role("button", name="New").click()
        dialog = page.get_by_role("presentation")
        _has(dialog, userCount="3", runTime="300", hold="10m")
        dialog.get_by_text("Advanced options").click()
        _fill(dialog, runTime="")
        dialog.get_by_role("button", name="Start", exact=True).click()
        wait_for(lambda: len(ui.runs) == 2, "second run")
        page.reload()
        _stop(page)
        wait_for(lambda: _tables(ui) == 2, "result table of the second run")
        assert [said["options"]["run_time"] for said in ui.manifests()] == [300, None]


@pytest.mark.slow
def test_options_of_a_locustfile_have_a_group_of_their_own(tmp_path: Path) -> None:
    """An option that the user's locustfile adds is not taken for one of the last group."""
    (tmp_path / "mine.py").write_text(LOCUSTFILE)
    with web_ui(tmp_path, "-f", "mine.py") as ui, browser_page() as page:
        page.goto(ui.url)
        page.get_by_text("Custom parameters").click()
        assert sorted(_groups(page.locator("form"))) == sorted([*_expected(), ("Of the locustfile", 1)])


@pytest.mark.slow
def test_settings_of_a_user_class_are_saved_or_refused_and_stop_ends_a_run_without_users(tmp_path: Path) -> None:
    """Locust's dialog of a user class reaches the server; what would break a run is said; a run of users that Locust
    cannot start ends at Stop.
    """
    (tmp_path / "mine.py").write_text(
        "from chatquota import StartChat\n\nclass Broken(StartChat):\n    fixed_count = 'x'\n"
    )
    with web_ui(tmp_path, "-f", "mine.py") as ui, browser_page() as page:
        page.goto(ui.url)
        _save(page, "three")
        expect(page.get_by_role("alert")).to_contain_text("StartChat: Fixed Count: a whole number")
        with page.expect_response(lambda answer: answer.url.endswith("/user")) as saved:
            _save(page, "2")
        assert saved.value.status == 201
        page.get_by_role("row", name="Broken").get_by_role("checkbox").set_checked(True)
        page.get_by_role("row", name="StartChat").get_by_role("checkbox").set_checked(False)
        page.get_by_role("button", name="Start", exact=True).click()
        wait_for(lambda: "TypeError" in ui.log.read_text("utf-8", "replace"), "users that could not be started")
        _stop(page)
        assert [said["status"] for said in ui.manifests()] == ["finished"]


def _save(page: Page, fixed_count: str) -> None:
    """Give StartChat a fixed number of users in the dialog of its settings."""
    page.get_by_role("row", name="StartChat").get_by_role("button").click()
    dialog = page.get_by_role("presentation")
    dialog.locator("[name=fixedCount]").fill(fixed_count)
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()


def _expected() -> list[tuple[str, int]]:
    return [(title, len(names)) for title, names in form_groups().items()]


def _groups(form: Any) -> list[tuple[str, int]]:
    """How many fields a screen reader finds in each group of a form, in their order."""
    expect(form.get_by_role("heading", name="Recording")).to_be_visible()
    found: dict[str, int] = {}
    title, depth = "", 0
    for line in form.aria_snapshot().splitlines():
        inset = len(line) - len(line.lstrip())
        if group := re.match(r"\s*- group \"([^\"]+)\":", line):
            title, depth = group[1], inset
            found[title] = 0
        elif title and inset <= depth:
            title = ""
        elif title and re.match(r"\s*- '?(textbox|combobox|checkbox)\b", line):
            found[title] += 1
    return list(found.items())


def _edit(page: Page) -> Any:
    page.get_by_role("button", name="Edit").click()
    dialog = page.get_by_role("presentation")
    dialog.get_by_text("Custom parameters").click()
    return dialog


def _stop(page: Page) -> None:
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="New")).to_be_visible(timeout=SOON)


def _fill(where: Any, **values: str) -> None:
    for name, value in values.items():
        where.locator(f"[name={name}]").fill(value)


def _has(where: Any, **values: str) -> None:
    for name, value in values.items():
        expect(where.locator(f"[name={name}]")).to_have_value(value)


def _tables(ui: WebUi) -> int:
    return len(re.findall(r"`chatquota report [^`]+` makes the report", ui.log.read_text("utf-8", "replace")))
