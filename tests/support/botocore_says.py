"""The SDK as the oracle: what boto3 would send, and what it makes of an answer."""

from datetime import UTC, datetime
from typing import Any, NamedTuple
from unittest.mock import patch

import boto3
import botocore.exceptions
import botocore.session
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.credentials import Credentials
from botocore.loaders import Loader

from harness.connect.target import no_retries

_MODELS = Loader()  # a service's model is large: it is read once


class _Raw:
    """The body of an answer, as urllib3 hands it over."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: Any, **__: Any) -> Any:
        yield self._body


class Sent(NamedTuple):
    """A request as it would go on the wire."""

    method: str
    path: str
    body: bytes
    headers: dict[str, str]


class _Given:
    """A chain of credential providers that has one set of credentials."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def load_credentials(self) -> Credentials:
        return self._credentials


class Sdk:
    """A boto3 client of Amazon Connect whose requests never leave the process."""

    def __init__(self, endpoint: str, region: str) -> None:
        self._credentials = Credentials("", "")
        session = botocore.session.Session()
        session.register_component("credential_provider", _Given(self._credentials))
        session.register_component("data_loader", _MODELS)
        create: Any = boto3.Session(botocore_session=session).client
        self._client = create("connect", region_name=region, endpoint_url=endpoint, config=no_retries())
        self._client.meta.events.register("before-send.connect.*", self._on_send)
        self._sent: list[AWSPreparedRequest] = []
        self._answer: tuple[int, dict[str, str], bytes] = (200, {}, b"{}")
        self.use("AKIDEXAMPLE", "secret")

    def use(self, key: str, secret: str, token: str | None = None) -> "Sdk":
        """Sign with these credentials from now on."""
        self._credentials.access_key, self._credentials.secret_key, self._credentials.token = key, secret, token
        return self

    def sends(self, operation: str, parameters: dict[str, Any], at: datetime) -> Sent:
        """The signed request of a call made at `at`."""
        self._answer = (200, {}, b"{}")
        with patch("botocore.auth.get_current_datetime", lambda *_, **__: at.astimezone(UTC).replace(tzinfo=None)):
            getattr(self._client, operation)(**parameters)
        request: Any = self._sent.pop()
        headers = {k: v.decode() if isinstance(v, bytes) else v for k, v in request.headers.items()}
        return Sent(request.method, f"/{request.url.split('/', 3)[3]}", request.body or b"", headers)

    def makes_of(
        self, status: int, headers: dict[str, str], body: bytes
    ) -> tuple[str | None, str, int, dict[str, Any]]:
        """The error code (None for success), message, HTTP status and fields that a StartChatContact caller gets."""
        self._answer = (status, headers, body)
        try:
            fields = self._client.start_chat_contact(
                InstanceId="i", ContactFlowId="f", ParticipantDetails={"DisplayName": "d"}
            )
        except botocore.exceptions.ClientError as error:
            said: Any = error.response
            return said["Error"]["Code"], said["Error"]["Message"], said["ResponseMetadata"]["HTTPStatusCode"], {}
        return None, "", fields["ResponseMetadata"]["HTTPStatusCode"], fields

    def _on_send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        self._sent.append(request)
        status, headers, body = self._answer
        as_sent: Any = headers
        return AWSResponse(request.url, status, as_sent, _Raw(body))
