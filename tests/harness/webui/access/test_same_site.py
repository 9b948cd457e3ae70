"""Which requests the web UI takes: from its own pages and from programs, not from other web sites."""

from types import SimpleNamespace

import pytest
from flask import Flask, Response

from harness.load.run.locust_page import LocustPage
from harness.webui.access.login import Attempts
from harness.webui.access.same_site import NAMES_VARIABLE, keep_others_out

OWN = "http://127.0.0.1:8089"
BROWSER = {"User-Agent": "Mozilla/5.0"}


def status(headers: dict[str, str], method: str = "POST", web_host: str = "127.0.0.1", login: bool = False) -> int:
    """The status of a request with these headers to a page that listens on `web_host`."""
    app = Flask(__name__)
    served = SimpleNamespace(app=app, host=web_host, web_login=login, tls_cert=None)
    keep_others_out(LocustPage(served))  # type: ignore[arg-type]  # all of a WebUI that is asked for

    @app.route("/swarm", methods=["GET", "POST"])
    def swarm() -> Response:
        response = Response("done")
        response.headers["Access-Control-Allow-Origin"] = "*"
        return response

    answer = app.test_client().open("/swarm", method=method, headers={"Host": "127.0.0.1:8089", **headers})
    assert not any(name.lower().startswith("access-control") for name, _ in answer.headers)
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
    return answer.status_code


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 200),  # curl, a script
        ({**BROWSER, "Origin": OWN, "Sec-Fetch-Site": "same-origin"}, 200),
        ({**BROWSER, "Origin": OWN}, 200),
        ({**BROWSER, "Referer": f"{OWN}/?tab=quotas"}, 200),
        ({"Origin": "http://load.example", "X-Forwarded-Host": "load.example"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({**BROWSER, "Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}, 403),
        ({**BROWSER, "Origin": "null"}, 403),
        ({**BROWSER, "Origin": "http://127.0.0.1:9999", "Sec-Fetch-Site": "same-site"}, 403),
        ({**BROWSER, "Origin": "http://127.0.0.1:9999"}, 403),
        ({**BROWSER, "Referer": "http://evil.example/"}, 403),
        ({**BROWSER, "Sec-Fetch-Site": "cross-site"}, 403),
        (BROWSER, 403),  # a browser that hides where it comes from
    ],
)
def test_only_the_own_pages_and_programs_may_change_something(headers: dict[str, str], expected: int) -> None:
    """A POST that a foreign page makes a browser send is refused, however it hides its origin."""
    assert status(headers) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1:8089", 200),
        ("localhost:9000", 200),
        ("[::1]:8089", 200),
        ("10.1.2.3", 200),
        ("master:8089", 200),
        ("rebound.evil.example:8089", 403),
        ("load.example", 200),
    ],
)
def test_names_that_others_may_point_here_are_refused(
    host: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name of somebody else's domain that resolves to this machine opens neither page nor form, unless it is known."""
    monkeypatch.setenv(NAMES_VARIABLE, "load.example, other.example")
    assert status({"Host": host}) == expected
    assert status({"Host": host}, "GET") == expected
    assert status({"Host": host}, "GET", login=True) == 200


def test_log_ins_that_fail_are_limited() -> None:
    """Five failures of an address, or fifty of all, close the door for a minute."""
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    for _ in range(5):
        assert attempts.allowed("a")
        attempts.failed("a")
    assert not attempts.allowed("a")
    assert attempts.allowed("b")
    for number in range(45):
        attempts.failed(f"c{number}")
    assert not attempts.allowed("b")
    now[0] = 60.0
    assert attempts.allowed("a")
