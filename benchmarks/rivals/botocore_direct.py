"""botocore's serialiser and signer called directly, sent with geventhttpclient: what a careful user may write."""

import random
import sys
import time
from pathlib import Path
from typing import Any

from locust import User, constant, task  # before botocore: Locust must patch the sockets first

import botocore.session  # isort: skip
from botocore.auth import SigV4Auth  # isort: skip
from botocore.awsrequest import AWSRequest  # isort: skip
from botocore.credentials import Credentials  # isort: skip
from geventhttpclient import HTTPClient  # isort: skip

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks.rivals.parameters import draw

_MODEL: Any = botocore.session.Session().get_service_model("connect")
_OPERATION = _MODEL.operation_model("StartChatContact")
_SERIALIZER: Any = botocore.serialize.create_serializer("rest-json", include_validation=False)
_PARSER: Any = botocore.parsers.create_parser("rest-json")
_SIGNER = SigV4Auth(Credentials("AKIDLABEXAMPLE", "lab-secret-example"), "connect", "us-east-1")


class BotocoreDirect(User):
    """Starts chats as fast as it can."""

    wait_time = constant(0)

    def on_start(self) -> None:
        """A connection and a random generator for this user."""
        self.http = HTTPClient.from_url(str(self.host), concurrency=1)
        self.rng = random.Random(id(self))

    @task
    def start_chat(self) -> None:
        """One StartChatContact call."""
        failure: Exception | None = None
        began = time.perf_counter()
        try:
            serialized = _SERIALIZER.serialize_to_request(draw(self.rng), _OPERATION)
            request = AWSRequest(
                method=serialized["method"],
                url=f"{self.host}{serialized['url_path']}",
                data=serialized["body"],
                headers={"Content-Type": "application/json"},
            )
            _SIGNER.add_auth(request)
            answer = self.http.request(
                "PUT", serialized["url_path"], body=serialized["body"], headers=dict(request.headers)
            )
            fields = {"body": bytes(answer.read()), "headers": dict(answer.headers), "status_code": answer.status_code}
            parsed = _PARSER.parse(fields, _OPERATION.output_shape)
            if "ContactId" not in parsed:
                raise RuntimeError(parsed["Error"]["Code"])
        except Exception as error:
            failure = error
        self.environment.events.request.fire(
            request_type="Connect",
            name="StartChatContact",
            response_time=(time.perf_counter() - began) * 1000,
            response_length=0,
            response=None,
            context={},
            exception=failure,
        )
