"""Takes secrets out of texts that a service sent, before they are kept or shown.

AWS's SignatureDoesNotMatch answers with the whole canonical request, the session token among it; a proxy may echo a request
with all its headers. Names of fields that carry secrets are known, so their values go; so does any long run of characters
that is shaped like a token.
"""

import re

HIDDEN = "[hidden]"

_NAMES = "authorization|x-amz-security-token|x-amz-bearer|participanttoken|connectiontoken|secretaccesskey|sessiontoken"
_FIELD = re.compile(rf"(?i)\b({_NAMES})(\"?\s*[:=]\s*)(\"[^\"]*\"|[^\r\n,}}]*)")
_PART = re.compile(r"(?i)\b(Signature|Credential|Security-Token)=[^\s,&\"']+")
_ACCESS_KEY = re.compile(r"\b(A[A-Z]{3})[A-Z0-9]{12,}\b")
_RUN = re.compile(r"[A-Za-z0-9+/=_.~%-]{40,}")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_WORD = re.compile(r"[A-Za-z][a-z]*|[A-Z]+|\d{1,4}")


def redact(text: str) -> str:
    """Return `text` without what may be a credential or a token of any kind."""
    if not text:
        return text
    text = _FIELD.sub(rf"\1\2{HIDDEN}", text)
    text = _PART.sub(rf"\1={HIDDEN}", text)
    text = _ACCESS_KEY.sub(rf"\1{HIDDEN}", text)
    return _RUN.sub(lambda match: match[0] if _is_readable(match[0]) else HIDDEN, text)


def _is_readable(run: str) -> bool:
    """Whether a long run of characters is a path, a name or an ARN's resource rather than a token."""
    rest = _UUID.sub("", run)
    return all(len(part) < 40 and _looks_like_words(part) for part in re.split(r"[/._=-]", rest) if part)


def _looks_like_words(part: str) -> bool:
    # A token changes case and mixes in digits all the time; words and numbers come in a few pieces.
    return len(_WORD.findall(part)) <= 4 + len(part) // 8
