"""An emulator for tests: a child process, ready boto3 clients, and what it saw of each chat."""

import contextlib
import json
import os
import select
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from botocore.config import Config
    from types_boto3_connect import ConnectClient
    from types_boto3_connect.type_defs import StartChatContactResponseTypeDef
    from types_boto3_connectparticipant import ConnectParticipantClient

Setting = bool | int | float | str | Path | timedelta | Mapping[str, Any]
_HOME = str(Path(__file__).resolve().parent.parent)
# The child loads the emulator of this installation, whatever the working directory holds.
_CHILD = (
    "import sys; sys.path.insert(0, {home!r}); from harness.emulator.cli import main; "
    "sys.path.remove({home!r}); sys.exit(main(sys.argv[1:]))"
)
_STARTS_WITHIN = 30.0


class EmulatorError(Exception):
    """The emulator did not start or refuses what it was asked; the text says why. `status` is its HTTP status, if any."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


class Participant(msgspec.Struct, frozen=True):
    """Somebody in a chat; `role` is CUSTOMER, AGENT, CUSTOM_BOT, SYSTEM or SUPERVISOR."""

    id: str
    display_name: str
    role: str


class Item(msgspec.Struct, rename="pascal", frozen=True):
    """One message (`type` MESSAGE) or event (EVENT) of a transcript, with the members of GetTranscript's items."""

    id: str
    type: str
    content_type: str
    absolute_time: str
    content: str | None = None
    participant_id: str | None = None
    display_name: str | None = None
    participant_role: str | None = None
    message_metadata: dict[str, Any] | None = None
    attachments: list[dict[str, Any]] = []


class Connections(msgspec.Struct, frozen=True):
    """What a chat's customer has open: websockets, and connection tokens that were handed out."""

    websockets: int
    connection_tokens: int


class Chat(msgspec.Struct, frozen=True):
    """One chat as the emulator saw it; `request` holds the members of StartChatContact as the caller sent them."""

    contact_id: str
    instance_id: str
    state: str
    display_name: str
    attributes: dict[str, str]
    started: str
    connected: str | None
    ended: str | None
    disconnect_reason: str | None
    request: dict[str, Any]
    client_token: str | None
    participants: list[Participant]
    transcript: list[Item]
    connections: Connections

    @property
    def messages(self) -> list[Item]:
        """The messages among the transcript's items, oldest first."""
        return [item for item in self.transcript if item.type == "MESSAGE"]

    def said_by(self, role: str) -> list[str]:
        """Return the texts of the messages of one role, such as CUSTOMER or AGENT, oldest first."""
        return [item.content or "" for item in self.messages if item.participant_role == role]


@contextlib.contextmanager
def emulator(*, tls: bool = False, time_scale: float = 1.0, port: int = 0, **settings: Setting) -> "Iterator[Emulator]":
    """Run an emulator for a `with` block; it ends with the block, and with this process however that ends.

    `settings` are those of `chatquota emulator --list-settings`; `flow` may also be the content of a flow file as a
    dict, and `StopContact_rate=20` is the setting `StopContact.rate`. `tls` serves https:// and wss:// with a
    certificate of its own. Raises EmulatorError for a setting that it does not have or take.
    """
    service = Emulator(tls=tls, time_scale=time_scale, port=port, **settings)
    try:
        yield service
    finally:
        service.close()


class Emulator:
    """A running emulator. Use `emulator()`, or call `close()` in the end.

    `endpoint` is the URL of both services; `ca_bundle` the file that trusts its certificate, None without TLS.
    """

    def __init__(self, *, tls: bool = False, time_scale: float = 1.0, port: int = 0, **settings: Setting) -> None:
        self._files = tempfile.TemporaryDirectory(prefix="chatquota-emulator-")
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        command = [sys.executable, "-P", "-c", _CHILD.format(home=_HOME), "--lifeline"]
        command += ["--time-scale", f"{time_scale:g}", "--port", str(port)]
        command += ["--emulator", self._spec(settings)] if settings else []
        command += ["--tls"] if tls else []
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._complaints
        )
        try:
            where = json.loads(self._first_line())
        except BaseException:
            self.close()
            raise
        self.endpoint: str = where["endpoint"]
        self.region: str = where["region"]
        self.instance_id: str = where["instance_id"]
        self.contact_flow_id: str = where["contact_flow_id"]
        self.access_key_id: str = where["access_key_id"]
        self.secret_access_key: str = where["secret_access_key"]
        self.ca_bundle: str | None = where.get("ca_bundle")
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if self.ca_bundle is not None:
            context = ssl.create_default_context(cafile=self.ca_bundle)
            handlers.append(urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*handlers)

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with which AWS SDKs and the AWS CLI call this emulator without any code of yours."""
        variables = {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ENDPOINT_URL_CONNECT": self.endpoint,
            "AWS_ENDPOINT_URL_CONNECTPARTICIPANT": self.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        return variables if self.ca_bundle is None else {**variables, "AWS_CA_BUNDLE": self.ca_bundle}

    def connect(self, config: "Config | None" = None) -> "ConnectClient":
        """Make a boto3 client of Amazon Connect; it makes one attempt a call unless `config` says otherwise."""
        import boto3

        return boto3.client(
            "connect",
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            verify=self.ca_bundle,
            config=_config(config),
        )

    def participant(self, config: "Config | None" = None) -> "ConnectParticipantClient":
        """Make a boto3 client of the Participant Service; its calls carry a participant's token and no signature."""
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config

        unsigned = Config(signature_version=UNSIGNED)
        return boto3.client(
            "connectparticipant",
            endpoint_url=self.endpoint,
            region_name=self.region,
            verify=self.ca_bundle,
            config=unsigned.merge(_config(config)),
        )

    def start_chat(self, display_name: str = "Customer", **members: Any) -> "StartChatContactResponseTypeDef":
        """Start a chat in this emulator's instance and flow; `members` are further ones of StartChatContact."""
        return self.connect().start_chat_contact(
            InstanceId=self.instance_id,
            ContactFlowId=self.contact_flow_id,
            ParticipantDetails={"DisplayName": display_name},
            **members,
        )

    def chats(
        self,
        *,
        state: str | None = None,
        attributes: Mapping[str, str] | None = None,
        until: str | None = None,
        timeout: float = 10.0,
    ) -> list[Chat]:
        """Return the chats it has seen, newest first, by `state` (open or ended) and by contact `attributes`.

        With `until` (started, connected, ended, agent, messages=N, message=REGEX): those that are so; it waits until
        there is one, and raises TimeoutError if there is none within `timeout` seconds.
        """
        query = {"full": "yes", **{f"attribute.{key}": value for key, value in (attributes or {}).items()}}
        if state is not None:
            query["state"] = state
        if until is not None:
            query |= {"until": until, "timeout": f"{timeout:g}"}
        found = self._ask("chats", query=query, patience=timeout)
        return msgspec.convert(found["chats"], list[Chat])

    def chat(self, contact_id: str, *, until: str | None = None, timeout: float = 10.0) -> Chat:
        """One chat; with `until` as `chats` has it, once it is so. Raises TimeoutError, or EmulatorError if unknown."""
        query = {} if until is None else {"until": until, "timeout": f"{timeout:g}"}
        return msgspec.convert(self._ask(_page(contact_id), query=query, patience=timeout), Chat)

    def say(
        self,
        contact_id: str,
        content: str,
        *,
        role: str = "AGENT",
        name: str = "",
        content_type: str = "text/plain",
    ) -> None:
        """Say something in a chat as an agent, or in another `role` (SYSTEM, CUSTOM_BOT, SUPERVISOR)."""
        message = {"Content": content, "ContentType": content_type, "ParticipantRole": role, "DisplayName": name}
        self._ask(f"{_page(contact_id)}/messages", message)

    def end(self, contact_id: str, reason: str = "AGENT_DISCONNECT") -> None:
        """End a chat from the other side; `reason` is its DisconnectReason."""
        self._ask(f"{_page(contact_id)}/end", {"DisconnectReason": reason})

    def settings(self, **changes: Setting) -> None:
        """Change settings while chats go on. Raises EmulatorError for one that is unknown or cannot change."""
        self._ask("settings", self._spec(changes))

    def advance(self, time: float | str | timedelta) -> None:
        """Let `time` (seconds, a timedelta, or a text such as 5m or 25h) pass at once for the emulator."""
        self._ask("clock", {"advance": _text(time)})

    def reset(self, **settings: Setting) -> None:
        """Forget all chats, tokens and counts and go back to the settings of the start, changed by `settings`."""
        self._ask("reset", self._spec(settings))

    def state(self) -> dict[str, Any]:
        """Return settings, limits with their levels, counts of answers by operation and outcome, open chats."""
        return self._ask("state")

    def close(self) -> None:
        """End the process; what it complained of goes to standard error."""
        process = self._process
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if not self._complaints.closed:
            self._complaints.seek(0)
            sys.stderr.write(self._complaints.read().decode(errors="replace"))
            self._complaints.close()
        self._files.cleanup()

    def _first_line(self) -> bytes:
        stdout = self._process.stdout
        assert stdout is not None
        line, deadline = b"", time.monotonic() + _STARTS_WITHIN
        while not line.endswith(b"\n"):
            if not select.select([stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise EmulatorError(f"the emulator did not listen within {_STARTS_WITHIN:g} s")
            piece = os.read(stdout.fileno(), 65536)
            if not piece:
                self._process.wait(10)
                self._complaints.seek(0)
                text = self._complaints.read().decode(errors="replace").strip()
                self._complaints.truncate(0)
                raise EmulatorError(text.removeprefix("chatquota emulator: ") or "the emulator ended at once")
            line += piece
        return line

    def _ask(
        self,
        page: str,
        body: Mapping[str, Any] | str | None = None,
        query: Mapping[str, str] | None = None,
        patience: float = 0.0,
    ) -> dict[str, Any]:
        url = f"{self.endpoint}/_emulator/{page}?{urllib.parse.urlencode(query or {})}"
        data = None if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
        try:
            with self._opener.open(url, data, timeout=patience + 30) as answer:
                said: dict[str, Any] = json.loads(answer.read())
                return said
        except urllib.error.HTTPError as problem:
            text = json.loads(problem.read())["message"]
            if problem.code == 408:
                raise TimeoutError(text) from None
            raise EmulatorError(text, problem.code) from None
        except urllib.error.URLError as problem:
            ended = self._process.poll()
            how = "does not answer" if ended is None else f"has ended with exit code {ended}"
            raise EmulatorError(f"the emulator at {self.endpoint} {how}: {problem.reason}") from None

    def _spec(self, settings: Mapping[str, Setting]) -> str:
        pairs = []
        for name, value in settings.items():
            key = name.replace("_", ".", 1) if name[:1].isupper() and "." not in name else name
            if isinstance(value, Mapping):
                path = Path(self._files.name) / f"{key}-{time.monotonic_ns()}.json"
                path.write_text(json.dumps(value), encoding="utf-8")
                value = path
            elif key == "flow" and value:
                value = Path(str(value)).resolve()
            text = _text(value).replace("\\", "\\\\").replace('"', '\\"')
            pairs.append(f'{key}="{text}"')
        return ",".join(pairs)


def _page(contact_id: str) -> str:
    """Return the page of a chat, whatever its id has in it. Raises EmulatorError."""
    if not contact_id:
        raise EmulatorError("the contact id is empty")
    return f"chats/{urllib.parse.quote(contact_id, safe='')}"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, timedelta):
        return f"{value.total_seconds()!r}s"
    return str(value)


def _config(config: "Config | None") -> "Config":
    from botocore.config import Config

    # Retries would hide throttles from the test; a proxy of the environment does not reach this machine's loopback.
    once = Config(retries={"total_max_attempts": 1, "mode": "standard"}, proxies={})
    return once if config is None else once.merge(config)
