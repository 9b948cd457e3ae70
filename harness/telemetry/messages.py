"""What the process of the run tells the one that exports: lines of JSON on its standard input, the first a Begin."""

from msgspec import Struct


class Begin(Struct, frozen=True):
    """Which run: its directory, and what becomes the resource attributes of every metric."""

    directory: str
    run_id: str
    target: str
    user_class: str


class Progress(Struct, frozen=True):
    """What no sample tells: arrivals dropped so far, and chats that are open and will be stopped."""

    dropped: int = 0
    to_stop: int = 0
