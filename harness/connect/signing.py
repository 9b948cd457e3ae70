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
        self._key_of: tuple[str, str, str] | None = None
        self._key = b""
        self._second = -1
        self._amz_date = ""

    def headers(self, method: str, path: str, body: bytes, credentials: Credentials, now: float | None = None) -> bytes:
        """Sign `body` at `now` (unix seconds, default: the clock) and return the header block."""
        second = int(time.time() if now is None else now)
        if second != self._second:
            self._second = second
            self._amz_date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        amz_date = self._amz_date
        day = amz_date[:8]
        scope = f"{day}/{self._region}/{self._service}/aws4_request"
        key = self._signing_key(credentials.secret_key, day)
        if credentials.token is None:
            names = "content-type;host;x-amz-date"
            token_line = ""
        else:
            names = "content-type;host;x-amz-date;x-amz-security-token"
            token_line = f"x-amz-security-token:{credentials.token}\n"
        canonical = (
            f"{method}\n{path}\n\ncontent-type:application/json\nhost:{self._host}\nx-amz-date:{amz_date}\n{token_line}"
            f"\n{names}\n{sha256(body).hexdigest()}"
        )
        to_sign = f"AWS4-HMAC-SHA256\n{amz_date}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        token_header = "" if credentials.token is None else f"X-Amz-Security-Token: {credentials.token}\r\n"
        return (
            f"Host: {self._host}\r\nContent-Type: application/json\r\nX-Amz-Date: {amz_date}\r\n{token_header}"
            f"Authorization: AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={names}, Signature={signature}\r\n"
        ).encode("ascii")

    def _signing_key(self, secret: str, day: str) -> bytes:
        wanted = (secret, day, self._region)
        if self._key_of != wanted:
            key = hmac.digest(f"AWS4{secret}".encode(), day.encode(), "sha256")
            for part in (self._region, self._service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._key, self._key_of = key, wanted
        return self._key
