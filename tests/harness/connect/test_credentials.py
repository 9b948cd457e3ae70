"""Credentials come from where boto3 finds them and are refreshed when they run out; each call has the present ones."""

import json
import os
import pwd
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harness.connect import target as targets
from harness.connect.client import ConnectClient
from harness.connect.signing import Credentials, CredentialsError
from harness.connect.target import LAB_CREDENTIALS, resolve_target
from harness.connect.wire import Endpoint
from harness.errors import UsageError
from tests.support.scripted_server import Peer, answer, serving
from tests.support.wiretap import Wiretap

HOST = "https://connect.us-west-2.amazonaws.com"


def credentials_of(profile: str = "") -> Callable[[], Credentials]:
    return resolve_target(HOST, "", "us-west-2", "i", "f", profile).credentials


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Writes the AWS configuration file of a test."""

    def write(text: str) -> None:
        path = tmp_path / "config"
        path.write_text(text)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(path))

    return write


def expiring_process(directory: Path, *lifetimes: float) -> Path:
    """A credential_process whose n-th answer is valid for the n-th lifetime (seconds); it fails once they are used up."""
    answers = [
        {"Version": 1, "AccessKeyId": f"AKID{n}", "SecretAccessKey": f"secret{n}", "SessionToken": f"token{n}"}
        | {"Expiration": (datetime.now(UTC) + timedelta(seconds=lifetime)).isoformat()}
        for n, lifetime in enumerate(lifetimes)
    ]
    (directory / "answers.json").write_text(json.dumps(answers))
    script = directory / "credentials.py"
    script.write_text(
        "import json, pathlib, sys\n"
        "path = pathlib.Path(__file__).with_name('answers.json')\n"
        "answers = json.loads(path.read_text())\n"
        "if not answers: sys.exit('the login has ended')\n"
        "print(json.dumps(answers.pop(0)))\n"
        "path.write_text(json.dumps(answers))\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IEXEC)
    return script


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS_ACCESS_KEY_ID and kin mean what they mean elsewhere, session token included."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    assert credentials_of()() == Credentials("AKIDENV", "secret", "token")


def test_the_same_credentials_are_one_object(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that have not changed are handed out as they are, so that what was derived from them is kept."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    present = credentials_of()
    assert present() is present()


def test_credentials_that_run_out_are_refreshed(config: Callable[[str], None], tmp_path: Path) -> None:
    """A call after they have run out signs with new ones (as with SSO and assumed roles, which refresh alike)."""
    script = expiring_process(tmp_path, 5, 7200)  # to botocore, less than ten minutes are as good as none
    config(f"[profile work]\ncredential_process = {sys.executable} {script}\n")
    tap = Wiretap(HOST)
    present = credentials_of("work")
    pool: object = tap
    client = ConnectClient(pool, "us-west-2", present, "test")  # type: ignore[arg-type]
    for _ in range(2):
        client.start_chat(b"{}")
    keys = [request.split(b"Credential=")[1].split(b"/")[0] for request in tap.sent]
    tokens = [request.split(b"X-Amz-Security-Token: ")[1].split(b"\r\n")[0] for request in tap.sent]
    assert keys[-1] == b"AKID1"
    assert tokens[-1] == b"token1"


def test_credentials_that_cannot_be_refreshed_are_an_outcome(config: Callable[[str], None], tmp_path: Path) -> None:
    """When the login has ended, a call becomes access_denied, says so, and is not sent; nothing crashes."""
    script = expiring_process(tmp_path, 5)
    config(f"[profile work]\ncredential_process = {sys.executable} {script}\n")
    present = credentials_of("work")
    with pytest.raises(CredentialsError, match="could not be refreshed"):
        present()
    tap = Wiretap(HOST)
    pool: object = tap
    reply = ConnectClient(pool, "us-west-2", present, "test").start_chat(b"{}")  # type: ignore[arg-type]
    assert (reply.outcome, reply.status, reply.may_have_started) == ("access_denied", 0, False)
    assert "could not be refreshed" in reply.message
    assert tap.sent == []


def test_a_role_is_assumed_and_assumed_again(config: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile with a role asks STS for it, and asks again when the role's credentials run out."""

    def sts(peer: Peer) -> None:
        while peer.request():
            number = len(peer.server.requests)
            until = datetime.now(UTC) + timedelta(seconds=5 if number == 1 else 7200)
            body = (
                "<AssumeRoleResponse><AssumeRoleResult><Credentials>"
                f"<AccessKeyId>ASIA{number}</AccessKeyId><SecretAccessKey>s{number}</SecretAccessKey>"
                f"<SessionToken>t{number}</SessionToken><Expiration>{until:%Y-%m-%dT%H:%M:%SZ}</Expiration>"
                "</Credentials></AssumeRoleResult></AssumeRoleResponse>"
            )
            peer.send(answer(200, body.encode(), "Content-Type: text/xml"))

    with serving(sts) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
        config(
            "[profile base]\naws_access_key_id = AKIDBASE\naws_secret_access_key = base\n"
            "[profile role]\nrole_arn = arn:aws:iam::000000000000:role/tester\nsource_profile = base\nregion = us-west-2\n"
        )
        present = credentials_of("role")
        seen = [present() for _ in range(3)]
    assert seen == [Credentials(f"ASIA{n}", f"s{n}", f"t{n}") for n in (1, 2, 2)]
    assert len(server.requests) == 2


def test_a_live_target_without_credentials_is_refused_with_the_mend() -> None:
    """No credentials, no run: one line says how to give some."""
    with pytest.raises(UsageError, match="AWS_PROFILE"):
        credentials_of()


def test_a_loopback_target_needs_no_credentials() -> None:
    """A local server is called with credentials that are no secret."""
    target = resolve_target("http://127.0.0.1:1", "", "", "", "")
    assert target.credentials() is LAB_CREDENTIALS
    assert (target.region, target.live) == ("us-east-1", False)


def test_endpoint_and_region_come_from_the_configuration(
    config: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --host, AWS_ENDPOINT_URL_CONNECT or the Region's own endpoint is called."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    assert resolve_target(None, "", "", "i", "f").endpoint == "https://connect.eu-central-1.amazonaws.com"
    monkeypatch.setenv("AWS_ENDPOINT_URL_CONNECT", "https://vpce.example:8443")
    target = resolve_target(None, "", "", "i", "f")
    assert Endpoint.parse(target.endpoint).authority == "vpce.example:8443"
    assert target.live


@pytest.fixture
def untold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home directory without any configuration, and an environment without any of AWS's variables."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "BOTO"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    "variables",
    [{}, {"AWS_REGION": "eu-west-1"}, {"AWS_DEFAULT_REGION": "eu-west-2", "AWS_CA_BUNDLE": "/ca.pem"}],
    ids=["none", "Region", "CA bundle"],
)
def test_a_loopback_target_is_what_boto3_makes_of_it_also_where_it_is_not_asked(
    variables: dict[str, str], untold: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing configured boto3, which takes as long to load as the rest, would say what is known without it."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    without = resolve_target("http://127.0.0.1:1/", "", "", "", "")
    (untold / ".boto").touch()  # a file that says nothing, for which it is asked
    asked = resolve_target("http://127.0.0.1:1/", "", "", "", "")
    assert replace(without, credentials=asked.credentials) == asked
    assert without.credentials() == asked.credentials() == LAB_CREDENTIALS


@pytest.mark.parametrize("name", [".aws/config", ".aws/credentials"])
def test_what_is_configured_is_found_for_a_loopback_target_too(name: str, untold: Path) -> None:
    """Keys of a profile are those that sign, whatever the target."""
    (untold / ".aws").mkdir()
    (untold / name).write_text("[default]\naws_access_key_id = AKID\naws_secret_access_key = secret\n")
    assert resolve_target("http://127.0.0.1:1", "", "", "", "").credentials().access_key == "AKID"


def test_nothing_is_configured_where_the_home_directory_cannot_be_looked_into(
    untold: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user of a container may have no home, or another user's: to boto3 it has no files then."""
    monkeypatch.setenv("HOME", f"/{'x' * 300}")
    assert resolve_target("http://127.0.0.1:1", "", "", "", "").credentials() == LAB_CREDENTIALS
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    assert resolve_target("http://127.0.0.1:1", "", "", "", "").credentials() == LAB_CREDENTIALS


@pytest.mark.parametrize(("value", "is_asked"), [("false", True), ("true", False), ("TRUE", False)])
def test_a_machine_that_is_to_tell_its_credentials_is_asked(
    value: str, is_asked: bool, untold: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who says that AWS's metadata are not disabled wants boto3 to ask for them, whatever the target."""
    asked: list[str] = []

    def ask(profile: str) -> None:
        asked.append(profile)
        raise UsageError("nothing is asked in a test")

    monkeypatch.setattr(targets, "_session", ask)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", value)
    with suppress(UsageError):
        resolve_target("http://127.0.0.1:1", "", "", "", "")
    assert bool(asked) == is_asked
