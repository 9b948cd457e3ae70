"""What the dialog of a user class may set, and to what."""

import json
from typing import Any

import pytest

from harness.errors import UsageError
from harness.webui.access.user_settings import check_user_settings


class Chats:
    """A user class as Locust's dialog sees it."""

    def json(self) -> dict[str, object]:
        """Return what the dialog shows."""
        return {"host": None, "weight": 1, "fixed_count": 0, "tasks": ["start", "look"]}


def start() -> None:
    """Do nothing."""


def look() -> None:
    """Do nothing."""


SENT: dict[str, Any] = {"user_class_name": "Chats", "tasks": ["start"], "host": "", "weight": 1, "fixed_count": 0}


def _check(body: bytes) -> None:
    check_user_settings(body, {"Chats": Chats()}, {"Chats": [start, look]})


@pytest.mark.parametrize("change", [{}, {"weight": 0.5}, {"fixed_count": 3}, {"tasks": ["start", "look"]}])
def test_what_the_dialog_sends_is_taken(change: dict[str, Any]) -> None:
    """Weights, fixed counts and some of the tasks are the user's to choose."""
    _check(json.dumps(SENT | change).encode())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"user_class_name": "Nope"}, "no user class 'Nope': the locustfile has Chats"),
        ({"user_class_name": 3}, "no user class '3'"),
        ({"weight": "x"}, "Weight: a number over 0"),
        ({"weight": 0}, "Weight"),
        ({"fixed_count": None}, "Fixed Count: a whole number"),
        ({"fixed_count": ""}, "Fixed Count"),
        ({"fixed_count": "3"}, "Fixed Count"),
        ({"fixed_count": 1.5}, "Fixed Count"),
        ({"fixed_count": -2}, "Fixed Count"),
        ({"fixed_count": 10**12}, "Fixed Count"),
        ({"tasks": []}, "Tasks: at least one of look, start"),
        ({"tasks": ["other"]}, "Tasks"),
        ({"host": "http://203.0.113.9"}, "Host: the start form names it"),
        ({"wait_time": 1}, "a user class has no setting 'wait_time'"),
        ({"__init__": 1}, "no setting '__init__'"),
    ],
)
def test_what_would_break_a_run_is_refused(change: dict[str, Any], said: str) -> None:
    """Values with which no run can begin, hosts that would have no effect, and other attributes of the class."""
    with pytest.raises(UsageError, match=said):
        _check(json.dumps(SENT | change).encode())


@pytest.mark.parametrize("body", [b"", b"x=1", b"[]", b"\xff", b"3"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    """Whatever is posted gets one line."""
    with pytest.raises(UsageError):
        _check(body)
