"""Takes secrets out of what a service sent, and bounds it, before it is kept or shown.

AWS's SignatureDoesNotMatch answers with the whole canonical request, the session token among it; a proxy may echo a request
with all its headers, in any field. Names of fields that carry secrets are known, so their values go; so does any run of
characters that is shaped like a token, and what such a run was cut into.
"""

import hashlib
import re
from functools import lru_cache

HIDDEN = "[hidden]"
LONGEST_TEXT = 500
"""Characters that are kept of a message."""
LONGEST_FIELD = 256
"""Characters that are kept of a code, a reason or an id. AWS's ids have 36; its model allows 256."""

_LONGEST_INPUT = 8192  # what comes after is neither looked at nor kept: redaction must not delay a call
_NAMES = (
    "(?:proxy-)?authorization|x-amz-security-token|x-amz-bearer|participant-?token|connection-?token|secret-?access-?key|"
    "aws_?secret(?:_access_key)?|aws_?session_?token|session-?token|security-?token|access-?token|id-?token|"
    "refresh-?token|client-?secret|api-?key|x-api-key|password|passwd|secret|token|cookie|set-cookie"
)
_FIELD = re.compile(rf"(?i)(?<![a-z0-9])({_NAMES})(\\?\"?'?\s*(?::|=|%3d|%3a)\s*)(\"[^\"]*\"?|'[^']*'?|[^\r\n,;&}}]*)")
_SCHEME = re.compile(r"(?i)\b(bearer|basic|aws4-hmac-sha256)\s+[^\r\n]+")
_PART = re.compile(
    r"(?i)\b(x-amz-signature|x-amz-credential|x-amz-security-token|signature|credential|security-token|sig)=[^\s,&\"']+"
)
_ACCESS_KEY = re.compile(r"(A[A-Z]{3})[A-Z0-9]{12,}")
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{5,}(?:\s*\.\s*[A-Za-z0-9_-]*)*")
_QUERY = re.compile(r"(?i)((?:https?|wss?)://[^\s?\"'<>]*\?)[^\s\"'<>]+")
_RUN = re.compile(r"[A-Za-z0-9+/=_.~%-]{20,}")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_WORD = re.compile(r"[A-Za-z][a-z]*|[A-Z]+|\d{1,4}")
is_uuid = re.compile("-".join(f"[0-9a-fA-F]{{{size}}}" for size in (8, 4, 4, 4, 12))).fullmatch
"""Whether an id is one as AWS makes them, which is nearly always so: then `redact_id` has nothing to look for."""
_PIECE = re.compile(r"[A-Za-z0-9+/=_-]+")
_BETWEEN = " \t\r\n,;|\"'\\"
_NAME = re.compile(r"[a-z]*(?:[A-Z][a-z]{2,})*\d{0,4}|[A-Z]+|[a-z]+(?:[-_/][a-z]+)*-?\d{0,4}[a-z]?|\d+")
_SHORTEST_PIECE = 3
_LONGEST_NEUTRAL = 7  # a token cut this short leaves pieces that look like words, so they neither join nor part
_FEWEST_PIECES = 3
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


def redact(text: str) -> str:
    """Return `text` without what may be a credential or a token of any kind, and without its end where it is very long."""
    if not text:
        return text
    text = text[:_LONGEST_INPUT]
    text = _FIELD.sub(rf"\1\2{HIDDEN}", text)
    text = _SCHEME.sub(rf"\1 {HIDDEN}", text)
    text = _QUERY.sub(rf"\1{HIDDEN}", text)
    text = _PART.sub(rf"\1={HIDDEN}", text)
    text = _ACCESS_KEY.sub(rf"\1{HIDDEN}", text)
    text = _JWT.sub(HIDDEN, text)
    text = _RUN.sub(lambda match: match[0] if _is_readable(match[0]) else HIDDEN, text)
    return _hide_pieces(text)


@lru_cache(maxsize=4096)
def _redact_short(text: str, longest: int) -> str:
    return _CONTROL.sub(" ", redact(text))[:longest]


def redact_text(message: str) -> str:
    """Return what is kept of a message: redacted, LONGEST_TEXT characters at most."""
    return _redact_short(message[:_LONGEST_INPUT], LONGEST_TEXT)


def redact_line(message: object) -> str:
    """Return what is kept of a message, as one line."""
    return " ".join(redact_text(str(message)).split())


def redact_field(value: str) -> str:
    """Return what is kept of a code, a reason or an id from the wire: redacted, LONGEST_FIELD characters at most."""
    return _redact_short(value[:_LONGEST_INPUT], LONGEST_FIELD)


def redact_id(value: str) -> str:
    """Return what is kept of an id from the wire.

    One that looks like a secret becomes a short hash, so that what is recorded of one id stays together.
    """
    if is_uuid(value):
        return value
    kept = redact_field(value)
    return kept if kept == value else f"[hidden {hashlib.sha256(value.encode('utf-8', 'replace')).hexdigest()[:12]}]"


def _hide_pieces(text: str) -> str:
    """Hide stretches of short pieces, with nothing but separators between, that look like a token which was cut up."""
    stretches: list[list[re.Match[str]]] = [[]]
    end = 0  # of the last piece, whether it joined or not: what stands between pieces parts them
    for match in _PIECE.finditer(text):
        if text[end : match.start()].strip(_BETWEEN):
            stretches.append([])
        end = match.end()
        if not _is_word(match[0]):
            stretches[-1].append(match)
        elif len(match[0]) > _LONGEST_NEUTRAL:
            stretches.append([])
    for stretch in reversed(stretches):
        if _is_cut_token([piece[0] for piece in stretch]):
            text = text[: stretch[0].start()] + HIDDEN + text[stretch[-1].end() :]
    return text


def _is_word(piece: str) -> bool:
    """Return whether a short run of characters is none that a token leaves when it is cut up: a word, a name, an id."""
    return len(piece) < _SHORTEST_PIECE or _NAME.fullmatch(piece) is not None or _UUID.search(piece) is not None


def _is_cut_token(pieces: list[str]) -> bool:
    """Return whether pieces, none of them a word, go back and forth between kinds of characters as a token does."""
    if sum(map(_is_mixed, pieces)) >= _FEWEST_PIECES:
        return True
    return len(pieces) >= 2 * _FEWEST_PIECES and sum(len(_WORD.findall(piece)) for piece in pieces) >= 2 * len(pieces)


def _is_mixed(piece: str) -> bool:
    """Return whether a piece goes back and forth between capitals, small letters and digits."""
    kinds = sum(bool(re.search(kind, piece)) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
    return kinds >= 2 and len(_WORD.findall(piece)) >= 3


def _is_readable(run: str) -> bool:
    """Return whether a long run of characters is a path, a name or an ARN's resource rather than a token."""
    rest = _UUID.sub("", run)
    return all(len(part) < 40 and _looks_like_words(part) for part in re.split(r"[/._=-]", rest) if part)


def _looks_like_words(part: str) -> bool:
    # A token changes case and mixes in digits all the time; words and numbers come in a few pieces.
    return len(_WORD.findall(part)) <= 4 + len(part) // 8 or (part.isalpha() and part.isupper() and len(part) < 20)
