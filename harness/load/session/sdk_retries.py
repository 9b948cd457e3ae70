"""The retry lab: StartChatContact as a customer's own code calls it, through boto3 with the SDK's retries on.

Everywhere else in the harness a call is one attempt. Here the SDK decides (`--sdk-retries legacy|standard|adaptive`). Each
of its attempts is seen where botocore hands it to its HTTP client, before anything parses the answer, and becomes a sample
of its own; and the lab keeps what the caller felt: how many calls got their chat, how long they waited for it, and how many
attempts that cost. boto3, a tenth of a second to load, is loaded where it is asked for.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

import gevent
import orjson
from gevent.local import local

from harness.connect.client import Reply, answered, now
from harness.connect.sockets.faults import is_generator_fault
from harness.connect.target import Target
from harness.connect.wire import MAX_ANSWER_BYTES, Response
from harness.load.options.options import Settings
from harness.recording.format.manifest import SdkRetries
from harness.recording.summary import SdkTally
from harness.recording.validity import LatenessHistogram
from harness.vocabulary import CONNECTION_ERROR, START_CHAT, STARTED, TIMEOUT, UNCLASSIFIED_429


@dataclass
class SdkCall:
    """One call under way: when it began, its attempts so far, and when the one was sent that has no answer yet.

    `followed(reply)` is called for an attempt as soon as the SDK makes another one.
    """

    followed: Callable[[Reply], None] = lambda reply: None
    begun: float = field(default_factory=now)
    attempts: list[Reply] = field(default_factory=list)
    unanswered_since: float | None = None


class _SeenSession:
    """botocore's HTTP session: `begin(sent)` is called for each request, `see(request, sent, outcome)` for what came of it.

    The SDK's time-out is for each read, and it reads whatever comes. Here an answer must be whole within `seconds` and is
    16 MB at most: else an odd server would hold a run, or fill its memory.
    """

    def __init__(
        self, session: Any, begin: Callable[[float], None], see: Callable[[Any, float, Any], None], seconds: float
    ) -> None:
        self._session = session
        self._begin = begin
        self._see = see
        self._seconds = seconds

    def send(self, request: Any) -> Any:
        sent = now()
        self._begin(sent)
        try:
            response = self._bounded(request)
        except Exception as error:
            self._see(request, sent, error)
            raise
        self._see(request, sent, response)
        return response

    def close(self) -> None:
        self._session.close()

    def _bounded(self, request: Any) -> Any:
        request.stream_output = True  # the body is read here, where it is counted
        limit = gevent.Timeout(self._seconds)
        try:
            with limit:
                response = self._session.send(request)
                response._content = _body(request, response.raw)  # noqa: SLF001 (where botocore itself would keep it)
                return response
        except gevent.Timeout as over:
            if over is not limit:
                raise
            from botocore.exceptions import ReadTimeoutError

            raise ReadTimeoutError(endpoint_url=request.url) from None


def _body(request: Any, raw: Any) -> bytes:
    """Read a body, with botocore's own errors for what goes wrong."""
    import botocore.exceptions
    import urllib3.exceptions

    pieces, size = [], 0
    try:
        for piece in raw.stream():
            pieces.append(piece)
            size += len(piece)
            if size > MAX_ANSWER_BYTES:
                break
    except urllib3.exceptions.ReadTimeoutError as error:
        raise botocore.exceptions.ReadTimeoutError(endpoint_url=request.url, error=error) from error
    except urllib3.exceptions.ProtocolError as error:
        closed = {"error": error, "request": request, "endpoint_url": request.url}
        raise botocore.exceptions.ConnectionClosedError(**closed) from error
    except BaseException:
        raw.close()
        raise
    if size > MAX_ANSWER_BYTES:
        raw.close()
        raise botocore.exceptions.HTTPClientError(error=f"the answer is over {MAX_ANSWER_BYTES} bytes")
    return b"".join(pieces)


class RetryingSdk:
    """Calls StartChatContact through one boto3 client, shared as in a server process, with retries in `mode`.

    The number of attempts is the SDK's own default, or what AWS_MAX_ATTEMPTS or the profile says, as in the caller's code.
    """

    def __init__(
        self, target: Target, mode: str, timeout: float, connections: int, bare_429: str = UNCLASSIFIED_429
    ) -> None:
        import boto3
        from botocore.config import Config

        self.mode = mode
        self._bare_429 = bare_429
        credentials = target.credentials()
        create: Any = boto3.Session().client
        # A pool smaller than the calls in flight would add reconnects of its own to what is compared here.
        retries: Any = {"mode": mode}
        config = Config(
            retries=retries,
            connect_timeout=timeout,
            read_timeout=timeout,
            max_pool_connections=connections,
            proxies=target.sdk_proxies(target.endpoint),
        )
        self._client = create(
            "connect",
            region_name=target.region,
            endpoint_url=target.endpoint,
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
            aws_session_token=credentials.token,
            verify=target.ca_bundle,
            config=config,
        )
        self._now = local()
        # Every attempt passes here, whatever its answer; botocore's events leave out answers that its parser cannot read.
        endpoint = self._client._endpoint  # noqa: SLF001 (botocore has no other way to it)
        endpoint.http_session = _SeenSession(endpoint.http_session, self._on_begin, self._on_attempt, 2 * timeout)
        self.calls = 0
        self._first, self._last = inf, -inf
        self.attempts_by_call: Counter[int] = Counter()
        self.gave_up: Counter[str] = Counter()
        self.quota_reached = 0
        self._latency = LatenessHistogram()
        self._added = LatenessHistogram()

    def call(self, body: bytes, call: SdkCall | None = None) -> list[Reply]:
        """Make one call and return its attempts, at least one, in order; the last decides what the caller gets.

        `call` shows another greenlet how far it has got. `waited` of each attempt is the time from the beginning of the
        call until the SDK sent it.
        """
        from botocore.exceptions import ClientError

        call = self._now.call = call or SdkCall()
        quota_reached = False
        try:
            self._client.start_chat_contact(**orjson.loads(body))
        except ClientError as error:
            metadata: Any = error.response.get("ResponseMetadata", {})
            quota_reached = bool(metadata.get("RetryQuotaReached"))
        except Exception as error:  # botocore's parser raises all sorts of errors; what was on the wire has been seen
            if not call.attempts:  # refused before anything was sent: a parameter of the wrong type, no credentials
                at = now()
                refused = Reply(outcome=CONNECTION_ERROR, sent=at, received=at, message=str(error), after_send=False)
                call.attempts.append(refused)
        finally:
            self._now.call = None
        self._count(call, quota_reached)
        return call.attempts

    def tally(self) -> SdkTally:
        """Return what was counted; `merge` adds it up over workers."""
        return SdkTally(
            self.mode,
            self.calls,
            (self._first, self._last) if self.calls else None,
            dict(self.attempts_by_call),
            dict(self.gave_up),
            self.quota_reached,
            self._latency.counts(),
            self._added.counts(),
        )

    def _count(self, call: SdkCall, quota_reached: bool) -> None:
        last = call.attempts[-1]
        self.calls += 1
        self._first, self._last = min(self._first, call.begun), max(self._last, last.received)
        self.attempts_by_call[len(call.attempts)] += 1
        self.quota_reached += quota_reached
        if last.outcome == STARTED:
            self._latency.add(last.received - call.begun)
            self._added.add(last.waited - call.attempts[0].waited if self.mode != "adaptive" else last.waited)
        else:
            self.gave_up[last.outcome] += 1

    def _on_begin(self, sent: float) -> None:
        call: SdkCall | None = getattr(self._now, "call", None)
        if call is not None:
            call.unanswered_since = sent
            if call.attempts:
                call.followed(call.attempts[-1])

    def _on_attempt(self, request: Any, sent: float, came: Any) -> None:
        call: SdkCall | None = getattr(self._now, "call", None)
        if call is None:
            return
        call.unanswered_since = None
        reply = _unanswered(came, sent) if isinstance(came, Exception) else self._answered(request, sent, came)
        call.attempts.append(reply.but(waited=sent - call.begun))

    def _answered(self, request: Any, sent: float, response: Any) -> Reply:
        received = now()
        headers = {_raw(name).lower(): _raw(value) for name, value in response.headers.items()}
        answer = Response(response.status_code, headers, response.content)
        # As it went out, but for its body: the secrets of a request are in its head.
        head = "\r\n".join(f"{name}: {_text(value)}" for name, value in request.headers.items())
        return answered(START_CHAT, answer, sent, received, head.encode("latin-1", "replace"), self._bare_429)


def _raw(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("latin-1", "replace")


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _unanswered(error: Exception, sent: float) -> Reply:
    import botocore.exceptions as errors

    unsent = errors.ConnectTimeoutError, errors.EndpointConnectionError, errors.ProxyConnectionError, errors.SSLError
    timed_out = isinstance(error, errors.ConnectTimeoutError | errors.ReadTimeoutError)
    return Reply(
        outcome=TIMEOUT if timed_out else CONNECTION_ERROR,
        sent=sent,
        received=now(),
        message=str(error),
        after_send=not isinstance(error, unsent),
        generator_fault=any(is_generator_fault(cause) for cause in _causes(error)),
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and what led to it: urllib3 and botocore wrap the system's error several times."""
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None:
            return
        yield seen
        seen = seen.__cause__ or seen.__context__


def merge(tallies: Sequence[SdkTally]) -> SdkRetries | None:
    """Add up the tallies of a run's processes into the manifest's `retry_lab`; None without any.

    `goodput_per_s` is calls that got a chat, from the first call's begin to the last one's end (the SDK may try on for long
    after the load has ended); `added_latency_ms` is what the SDK's waiting and trying again added to those calls,
    `latency_ms` is all that they took.
    """
    if not tallies:
        return None
    by_call: Counter[int] = Counter()
    gave_up: Counter[str] = Counter()
    latency, added = LatenessHistogram(), LatenessHistogram()
    for tally in tallies:
        by_call.update(tally.attempts_by_call)
        gave_up.update(tally.gave_up)
        latency.merge(tally.latency)
        added.merge(tally.added)
    calls = sum(tally.calls for tally in tallies)
    attempts = sum(number * count for number, count in by_call.items())
    started = calls - gave_up.total()
    spans = [tally.span for tally in tallies if tally.span]
    seconds = max((span[1] for span in spans), default=0.0) - min((span[0] for span in spans), default=0.0)
    return SdkRetries(
        mode=tallies[0].mode,
        calls=calls,
        attempts=attempts,
        started=started,
        retry_quota_reached=sum(tally.retry_quota_reached for tally in tallies),
        gave_up=dict(gave_up),
        attempts_by_call={str(number): by_call[number] for number in sorted(by_call)},
        goodput_per_s=started / seconds if seconds > 0 else None,
        attempts_per_started_chat=attempts / started if started else None,
        latency_ms=_quantiles(latency),
        added_latency_ms=_quantiles(added),
    )


def _quantiles(histogram: LatenessHistogram) -> dict[str, float | None]:
    return {name: histogram.quantile_ms(share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}


def sdk_of(settings: Settings, target: Target) -> RetryingSdk | None:
    """Return the SDK that makes the calls of a run, where one is to."""
    if settings.sdk_retries == "off":
        return None
    return RetryingSdk(
        target, settings.sdk_retries, settings.call_timeout, settings.max_in_flight, settings.treat_bare_429_as
    )
