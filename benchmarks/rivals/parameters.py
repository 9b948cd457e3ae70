"""The chats that the rivals start: those of the harness's built-in workload, as parameters of boto3's start_chat_contact."""

import json
import random
from typing import Any

from harness.load.workload.model import Drawer
from harness.load.workload.toml import load_workload

_DRAWN = 2000


def _parameters() -> list[dict[str, Any]]:
    drawer = Drawer(load_workload(None), "11111111-1111-4111-8111-111111111111", "flow", "benchmark")
    chats = [json.loads(drawer.draw().body) for _ in range(_DRAWN)]
    for chat in chats:
        del chat["ClientToken"]  # the SDK makes one for each call
    return chats


# Drawn before the first call, so that a rival pays for no drawing.
_CHATS = _parameters()


def draw(rng: random.Random) -> dict[str, Any]:
    """The parameters of one chat."""
    return rng.choice(_CHATS)
