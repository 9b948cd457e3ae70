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

SERVICE = "connect"


@dataclass(frozen=True, slots=True)
class Credentials:
    """One set of AWS credentials at one moment. Its repr shows no secret."""

    access_key: str
    secret_key: str
    token: str | None = None

    def __repr__(self) -> str:
        return f"Credentials({self.access_key[:4]}..., temporary={self.token is not None})"


class Signer:
    """Signs JSON requests to one host in one Region.

    `headers(method, path, body, credentials)` returns the header block (bytes, each line ended by CRLF) that a signed
    request carries: Host, Content-Type, X-Amz-Date, X-Amz-Security-Token with temporary credentials, Authorization.
    `path` must be plain ASCII that needs no encoding. Signed headers are botocore's: content-type;host;x-amz-date
    (;x-amz-security-token).
    """

    def __init__(self, host: str, region: str, service: str = SERVICE) -> None:
        self._host = host
        self._region = region
        self._service = service
        self._second = -1
        self._credentials: Credentials | None = None
        self._day_key: tuple[str, str] = ("", "")
        self._key = b""
        # What a second's signatures with the same credentials have in common.
        self._canonical_head = self._to_sign_head = ""
        self._header_head = b""

    def headers(self, method: str, path: str, body: bytes, credentials: Credentials, now: float | None = None) -> bytes:
        """Sign `body` at `now` (unix seconds, default: the clock) and return the header block."""
        second = int(time.time() if now is None else now)
        if second != self._second or credentials is not self._credentials:
            self._prepare(second, credentials)
        canonical = f"{method}\n{path}{self._canonical_head}{sha256(body).hexdigest()}"
        to_sign = f"{self._to_sign_head}{sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(self._key, to_sign.encode(), "sha256").hex()
        return b"%b%b\r\n" % (self._header_head, signature.encode("ascii"))

    def _prepare(self, second: int, credentials: Credentials) -> None:
        amz_date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        day = amz_date[:8]
        scope = f"{day}/{self._region}/{self._service}/aws4_request"
        names = "content-type;host;x-amz-date"
        signed = f"content-type:application/json\nhost:{self._host}\nx-amz-date:{amz_date}\n"
        token_header = ""
        if credentials.token is not None:
            names += ";x-amz-security-token"
            signed += f"x-amz-security-token:{credentials.token}\n"
            token_header = f"X-Amz-Security-Token: {credentials.token}\r\n"
        self._canonical_head = f"\n\n{signed}\n{names}\n"
        self._to_sign_head = f"AWS4-HMAC-SHA256\n{amz_date}\n{scope}\n"
        self._header_head = (
            f"Host: {self._host}\r\nContent-Type: application/json\r\nX-Amz-Date: {amz_date}\r\n{token_header}"
            f"Authorization: AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={names}, Signature="
        ).encode("ascii")
        self._key = self._signing_key(credentials.secret_key, day)
        self._second, self._credentials = second, credentials

    def _signing_key(self, secret: str, day: str) -> bytes:
        if self._day_key != (secret, day):
            key = hmac.digest(f"AWS4{secret}".encode(), day.encode(), "sha256")
            for part in (self._region, self._service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._key, self._day_key = key, (secret, day)
        return self._key
