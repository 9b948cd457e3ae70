"""What is told of a socket's failure: the reason in a few words, and whether this machine is at fault."""

import errno
import socket
import ssl

_GENERATOR_FAULTS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL})
"""What this machine has run out of: file descriptors, memory, local ports. No service is to blame for it."""


def is_generator_fault(error: BaseException) -> bool:
    """Whether `error` says that this machine has run out of file descriptors, memory or local ports."""
    return isinstance(error, OSError) and error.errno in _GENERATOR_FAULTS


def reason_of(error: Exception) -> str:
    """Return why something failed, in lower case, to stand behind a colon."""
    if isinstance(error, socket.gaierror):
        return f"the name does not resolve ({error.args[-1]})"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not trusted ({error.verify_message})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
