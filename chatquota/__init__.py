"""What users import: Locust's user classes for a locustfile, and the emulator for tests of their own application.

Nothing is loaded before it is asked for: `from chatquota import StartChat` brings Locust, which patches the sockets of
the whole process, and `from chatquota import emulator` must not.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chatquota.emulation import Chat, Emulator, EmulatorError, emulator
    from chatquota.load import ChatConversation, QuotaProbe, StartChat
    from harness import __version__

__all__ = [
    "Chat",
    "ChatConversation",
    "Emulator",
    "EmulatorError",
    "QuotaProbe",
    "StartChat",
    "__version__",
    "emulator",
]

_PLACES = {
    "__version__": "harness",
    **dict.fromkeys(("ChatConversation", "QuotaProbe", "StartChat"), "chatquota.load"),
    **dict.fromkeys(("Chat", "Emulator", "EmulatorError", "emulator"), "chatquota.emulation"),
}


def __getattr__(name: str) -> object:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'chatquota' has no attribute {name!r}; it has {', '.join(sorted(_PLACES))}")
    return getattr(importlib.import_module(place), name)
