"""Signature Version 4 for calls of one fixed shape, with the signing key kept for the day.

The signing key depends on secret, day, Region and service only, and the canonical headers of a chat start never change
but for the date and the token, so a signature costs two HMACs and two hashes (botocore derives the key and rebuilds the
canonical request for each call). Equality with botocore's SigV4Auth is tested over random requests. Algorithm:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hmac
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from _hashlib import HASH

SERVICE = "connect"
_SHA256 = sha256()  # a copy costs a third of a new one
_BLOCK = 64
_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))
_MOST_KEPT = 8  # paths of a second: StartChatContact and StopContact have one each; a contact's own come once


class CredentialsError(Exception):
    """There are no credentials at the moment: what gives them has failed. Its text is one line."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """One set of AWS credentials at one moment. Its repr shows no secret."""

    access_key: str
    secret_key: str
    token: str | None = None

    def __repr__(self) -> str:
        return f"Credentials({self.access_key[:4]}..., temporary={self.token is not None})"


class Signer:
    """Signs requests to one host in one Region, as botocore signs those of Amazon Connect.

    `headers(method, path, body, credentials)` returns the header block (bytes, each line ended by CRLF) that a signed
    request carries: Host, X-Amz-Date, X-Amz-Security-Token with temporary credentials, Authorization, and Content-Type
    (JSON) with a body. `path` is what stands on the request line, percent-encoded where it needs to be, without a query.
    """

    def __init__(self, host: str, region: str, service: str = SERVICE) -> None:
        self._host = host
        self._region = region
        self._service = service
        self._second = -1
        self._credentials: Credentials | None = None
        self._day_key: tuple[str, str] = ("", "")
        self._inner, self._outer = _keyed(b"")  # with the day's signing key, before the first byte
        # What a second's signatures with the same credentials have in common.
        self._inner_second = self._inner
        self._with_body = self._without_body = _Frame("", b"")
        self._begun: dict[tuple[str, str, bool], HASH] = {}

    def headers(self, method: str, path: str, body: bytes, credentials: Credentials, now: float | None = None) -> bytes:
        """Sign `body` at `now` (unix seconds, default: the clock) and return the header block."""
        second = int(time.time() if now is None else now)
        if second != self._second or credentials is not self._credentials:
            self._prepare(second, credentials)
        frame = self._with_body if body else self._without_body
        begun = self._begun.get((method, path, not body)) or self._begin(method, path, frame, not body)
        hashed = _SHA256.copy()
        hashed.update(body)
        canonical = begun.copy()
        canonical.update(hashed.hexdigest().encode())
        inner, signature = self._inner_second.copy(), self._outer.copy()
        inner.update(canonical.hexdigest().encode())
        signature.update(inner.digest())
        return b"%b%b\r\n" % (frame.headers, signature.hexdigest().encode())

    def _begin(self, method: str, path: str, frame: "_Frame", is_empty: bool) -> "HASH":
        """Return the hash of a canonical request up to its body's, and keep it where many calls have the same."""
        # The canonical path is the path encoded once more, for every service but S3.
        begun = sha256(f"{method}\n{path.replace('%', '%25')}{frame.canonical}".encode())
        if len(self._begun) < _MOST_KEPT:
            self._begun[method, path, is_empty] = begun
        return begun

    def _prepare(self, second: int, credentials: Credentials) -> None:
        amz_date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        scope = f"{amz_date[:8]}/{self._region}/{self._service}/aws4_request"
        signed = {"host": self._host, "x-amz-date": amz_date}
        if credentials.token is not None:
            signed["x-amz-security-token"] = credentials.token
        authorization = f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}"
        self._without_body = _frame(signed, authorization)
        self._with_body = _frame({"content-type": "application/json", **signed}, authorization)
        self._take_key(credentials.secret_key, amz_date[:8])
        self._inner_second = self._inner.copy()
        self._inner_second.update(f"AWS4-HMAC-SHA256\n{amz_date}\n{scope}\n".encode())
        self._begun.clear()
        self._second, self._credentials = second, credentials

    def _take_key(self, secret: str, day: str) -> None:
        if self._day_key != (secret, day):
            key = hmac.digest(f"AWS4{secret}".encode(), day.encode(), "sha256")
            for part in (self._region, self._service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            (self._inner, self._outer), self._day_key = _keyed(key), (secret, day)


def _keyed(key: bytes) -> "tuple[HASH, HASH]":
    """Return the two hashes of an HMAC (RFC 2104) before the first byte: a copy of both costs half of the standard
    library's own HMAC. The key is no longer than a block.
    """
    key = key.ljust(_BLOCK, b"\0")
    return sha256(key.translate(_INNER)), sha256(key.translate(_OUTER))


class _Frame(NamedTuple):
    """The canonical request between path and body hash, and the header block up to the signature."""

    canonical: str
    headers: bytes


def _frame(signed: dict[str, str], authorization: str) -> _Frame:
    names = ";".join(signed)
    canonical = "".join(f"{name}:{value}\n" for name, value in signed.items())
    lines = "".join(f"{name.title()}: {value}\r\n" for name, value in signed.items())
    headers = f"{lines}Authorization: {authorization}, SignedHeaders={names}, Signature="
    return _Frame(f"\n\n{canonical}\n{names}\n", headers.encode("ascii"))
