"""Checks AWS Signature Version 4, as the signature of each call is recomputed from its raw bytes.

Source: AWS General Reference, "Signature Version 4 signing process". The errors and their texts are those that AWS
services behind API Gateway answer with; they are not part of Amazon Connect's service model.
"""

import calendar
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from operator import itemgetter
from time import gmtime, strftime, strptime
from typing import NamedTuple
from urllib.parse import quote

_ALGORITHM = b"AWS4-HMAC-SHA256 "
_CREDENTIAL = re.compile(rb"([^,/\s]+)/(\d{8})/([^,/\s]+)/([^,/\s]+)/aws4_request\Z")
_SIGNATURE = re.compile(rb"[0-9a-f]{64}\Z")
_PARTS = ("Credential", "Signature", "SignedHeaders")
_DATE = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class Denied:
    """Why a call is not let in: the code of the error, its message; the status is 403."""

    code: str
    message: str


class _Key:
    """HMAC with SHA-256 (RFC 2104) under one key of at most 64 bytes, which both of its hashes have read already.

    To copy the standard library's for each text takes nearly twice as long.
    """

    def __init__(self, key: bytes) -> None:
        padded = key.ljust(64, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = sha256(bytes(byte ^ 0x5C for byte in padded))

    def sign(self, text: bytes) -> bytes:
        """Return the HMAC of `text` as 64 hexadecimal digits."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text)
        outer.update(inner.digest())
        return outer.hexdigest().encode()


@dataclass(frozen=True, slots=True)
class _Signer:
    """What calls of one client on one day have in common: scope and key of their signatures, the signed headers."""

    scope: bytes
    key: _Key
    names: list[bytes]
    values: Callable[[Mapping[bytes, bytes]], tuple[bytes, ...]]  # of the signed headers; KeyError: one is missing
    forms: dict[tuple[bytes, bytes, bytes], bytes] = field(default_factory=dict)  # see _form, by method, path and query
    dates: dict[bytes, float] = field(default_factory=dict)  # the day's moments in which it has called, in unix seconds


class _Call(NamedTuple):
    """What is signed of one call, as on the wire; header names in lower case."""

    method: bytes
    path: bytes
    query: bytes
    headers: Mapping[bytes, bytes]
    body: bytes


_MISSING = Denied("MissingAuthenticationTokenException", "Missing Authentication Token")
_UNKNOWN_KEY = Denied("UnrecognizedClientException", "The security token included in the request is invalid.")
_MISMATCH = Denied(
    "InvalidSignatureException",
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details.",
)


class Signatures:
    """Verifies calls signed for one Region and service with one of the known `secrets` (access key to secret key).

    `skew` is how far, in seconds, a call's date may be from `unix_now`.
    """

    def __init__(self, secrets: Mapping[str, str], region: str, service: str, skew: float) -> None:
        self._secrets = {key.encode(): secret for key, secret in secrets.items()}
        self._region, self._service, self._skew = region.encode(), service.encode(), skew
        self._keys: dict[tuple[bytes, bytes], _Key] = {}
        self._dates: dict[bytes, float] = {}
        self._signers: dict[bytes, _Signer] = {}

    def check(
        self,
        method: bytes,
        path: bytes,
        query: bytes,
        headers: Mapping[bytes, bytes],
        body: bytes,
        unix_now: float,
    ) -> Denied | None:
        """Verify one call; `path` and `query` as on the wire, header names in lower case. None: let it in."""
        authorization = headers.get(b"authorization")
        if not authorization:
            return _MISSING
        call = _Call(method, path, query, headers, body)
        signer, date = self._signers.get(authorization[:-64]), headers.get(b"x-amz-date")
        # A client that has called before needs no closer look than at its signature.
        if (
            signer is not None
            and date is not None
            and (at := signer.dates.get(date)) is not None
            and abs(unix_now - at) <= self._skew
            and hmac.compare_digest(self._signature(call, date, signer), authorization[-64:])
        ):
            return None
        return self._judge(authorization, call, unix_now)

    def _judge(self, authorization: bytes, call: _Call, unix_now: float) -> Denied | None:
        parts = _parts(authorization)
        if parts is None:
            return _incomplete(authorization)
        credential, signed, signature = parts
        access_key, day, region, service = credential
        date = call.headers.get(b"x-amz-date")
        if date is None:
            date = self._compact(call.headers.get(b"date", b""))
        denied = self._check_date(authorization, date, day, unix_now) or self._check_scope(region, service)
        if denied is not None:
            return denied
        secret = self._secrets.get(access_key)
        if secret is None:
            return _UNKNOWN_KEY
        names = signed.split(b";")
        if b"host" not in names:
            return Denied("InvalidSignatureException", "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")  # fmt: skip # noqa: E501
        known = self._signers.get(authorization[:-64])
        signer = known or self._signer(access_key, secret, day, names)
        if not hmac.compare_digest(self._signature(call, date, signer), signature):
            return _MISMATCH
        if authorization.endswith(b"Signature=" + signature):
            self._remember(authorization[:-64], signer, date)
        return None

    def _signer(self, access_key: bytes, secret: str, day: bytes, names: list[bytes]) -> _Signer:
        scope = b"%b/%b/%b/aws4_request" % (day, self._region, self._service)
        return _Signer(scope, self._key(access_key, secret, day), names, _values(names))

    def _remember(self, start: bytes, signer: _Signer, date: bytes) -> None:
        """Know again the calls whose `Authorization` begins with `start`, for as long as they have this `date`."""
        at = self._unix(date)
        if at is None:
            return
        if start not in self._signers:
            if len(self._signers) > 100:
                self._signers.clear()
            self._signers[start] = signer
        if len(signer.dates) > 100:
            signer.dates.clear()
        signer.dates[date] = at

    def _signature(self, call: _Call, date: bytes, signer: _Signer) -> bytes:
        """The signature that the call must have, as 64 hexadecimal digits."""
        method, path, query, headers, body = call
        form = signer.forms.get((method, path, query)) or _form(method, path, query, signer)
        content = sha256(body).hexdigest().encode()
        try:
            values = signer.values(headers)
        except KeyError:
            values = tuple(headers.get(name, b"") for name in signer.names)
        canonical = form % (*map(bytes.strip, values), content)
        if b"  " in canonical:
            canonical = form % (*(b" ".join(value.split()) for value in values), content)
        request = sha256(canonical).hexdigest().encode()
        return signer.key.sign(b"AWS4-HMAC-SHA256\n%b\n%b\n%b" % (date, signer.scope, request))

    def _key(self, access_key: bytes, secret: str, day: bytes) -> _Key:
        # The signing key changes once a day; deriving it is four of the five HMACs of a signature.
        known = self._keys.get((access_key, day))
        if known is None:
            key = hmac.digest(b"AWS4" + secret.encode(), day, "sha256")
            for part in (self._region, self._service, b"aws4_request"):
                key = hmac.digest(key, part, "sha256")
            if len(self._keys) > 100:
                self._keys.clear()
            known = self._keys[access_key, day] = _Key(key)
        return known

    def _check_date(self, authorization: bytes, date: bytes, day: bytes, unix_now: float) -> Denied | None:
        at = self._unix(date)
        if at is None:
            return Denied("IncompleteSignatureException", _no_date(authorization))
        if date[:8] != day:
            return Denied("InvalidSignatureException", f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{day.decode()}' != '{_text(date[:8])}', from '{_text(date)}'.")  # fmt: skip # noqa: E501
        return _skewed(at, unix_now, self._skew) if abs(unix_now - at) > self._skew else None

    def _check_scope(self, region: bytes, service: bytes) -> Denied | None:
        if region != self._region:
            return Denied(
                "InvalidSignatureException", f"Credential should be scoped to a valid region, not '{_text(region)}'."
            )
        if service != self._service:
            right = self._service.decode()
            return Denied("InvalidSignatureException", f"Credential should be scoped to correct service: '{right}'.")
        return None

    def _compact(self, date: bytes) -> bytes:
        """Return a Date header (of any form that HTTP or ISO 8601 knows) in the form of X-Amz-Date; empty if it is none."""
        if self._unix(date) is not None:
            return date
        try:
            text = date.decode("ascii")
            at = datetime.fromisoformat(text) if text[:4].isdigit() else parsedate_to_datetime(text)
            return at.astimezone(UTC).strftime(_DATE).encode()
        except (ValueError, OverflowError):
            return b""

    def _unix(self, date: bytes) -> float | None:
        at = self._dates.get(date)
        if at is None:
            try:
                at = float(calendar.timegm(strptime(date.decode("ascii"), _DATE)))
            except ValueError:
                return None
            if len(self._dates) > 100:
                self._dates.clear()
            self._dates[date] = at
        return at


def _form(method: bytes, path: bytes, query: bytes, signer: _Signer) -> bytes:
    """Return the canonical request with a `%b` for each value of a signed header, and one for the hash of the body."""
    # Every service but S3 signs the path of the wire encoded once more.
    target = b"%b\n%b\n%b" % (method, quote(_normal(path), safe="/~").encode(), _canonical_query(query))
    target, *names = (text.replace(b"%", b"%%") for text in (target, *signer.names))
    lines = b"\n".join(b"%b:%%b" % name for name in names)
    form = b"%b\n%b\n\n%b\n%%b" % (target, lines, b";".join(names))
    if len(signer.forms) > 1000:
        signer.forms.clear()
    if len(target) < 1000:
        signer.forms[method, path, query] = form
    return form


def _values(names: list[bytes]) -> Callable[[Mapping[bytes, bytes]], tuple[bytes, ...]]:
    """Return what looks the values of the headers `names` up."""
    if len(names) == 1:
        return lambda headers: (headers[names[0]],)
    return itemgetter(*names)


def _parts(authorization: bytes) -> tuple[tuple[bytes, ...], bytes, bytes] | None:
    """Return the credential's parts, the signed headers and the signature, in whatever order they stand."""
    if not authorization.startswith(_ALGORITHM):
        return None
    parts = {}
    for piece in authorization[len(_ALGORITHM) :].split(b","):
        name, _, value = piece.strip().partition(b"=")
        if name in parts:
            return None
        parts[name] = value
    credential = _CREDENTIAL.match(parts.get(b"Credential", b""))
    signed, signature = parts.get(b"SignedHeaders", b""), parts.get(b"Signature", b"")
    if len(parts) != 3 or credential is None or not signed or b" " in signed or not _SIGNATURE.match(signature):
        return None
    return credential.groups(), signed, signature


def _normal(path: bytes) -> bytes:
    """`path` without empty, `.` and `..` segments, as both sides of a signature see it."""
    if b"//" not in path and b"/." not in path:
        return path
    kept: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            del kept[-1:]
        elif segment not in (b"", b"."):
            kept.append(segment)
    tail = b"/" if kept and path.endswith(b"/") else b""
    return b"/" + b"/".join(kept) + tail


def _canonical_query(query: bytes) -> bytes:
    pairs = sorted(piece.partition(b"=") for piece in query.split(b"&") if piece)
    return b"&".join(b"%b=%b" % (name, value) for name, _, value in pairs)


def _text(raw: bytes) -> str:
    return raw.decode("latin-1")


def _no_date(authorization: bytes) -> str:
    return (
        "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
        f"Authorization={_text(authorization.partition(b' ')[0])}"
    )


def _incomplete(authorization: bytes) -> Denied:
    text = _text(authorization)
    if not text.startswith("AWS4-HMAC-SHA256"):
        if "=" in text:
            return Denied(
                "IncompleteSignatureException", f"Unsupported AWS 'algorithm': '{text.split(maxsplit=1)[0]}'."
            )
        return Denied(
            "IncompleteSignatureException",
            f"'{text[:100]}' not a valid key=value pair (missing equal-sign) in Authorization header.",
        )
    missing = [f"Authorization header requires '{part}' parameter." for part in _PARTS if f"{part}=" not in text]
    if missing:
        return Denied("IncompleteSignatureException", " ".join(missing))
    return Denied(
        "IncompleteSignatureException",
        "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "
        "and Signature 64 lower-case hexadecimal digits.",
    )


def _skewed(at: float, now: float, skew: float) -> Denied:
    signed, current = (strftime(_DATE, gmtime(moment)) for moment in (at, now))
    edge = strftime(_DATE, gmtime(now - skew if at < now else now + skew))
    minutes = f"{skew / 60:g} min."
    if at < now:
        text = f"Signature expired: {signed} is now earlier than {edge} ({current} - {minutes})"
    else:
        text = f"Signature not yet current: {signed} is still later than {edge} ({current} + {minutes})"
    return Denied("InvalidSignatureException", text)
