"""A balanced draw gives equal shares in random blocks, from one seed, and cannot pass for a pattern of the service."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from harness.load.workload.drawing import BLOCK
from harness.load.workload.model import Attributes, Chat, Drawer, Kind, Message, Workload
from harness.load.workload.toml import load_workload, parse_workload
from reports.variety.association import blocks, p_value

KINDS = (
    Kind("plain", weight=90, durations=(60, 120, 600), message=Message("text/plain", ("a", "bb"), share=0.9)),
    Kind("rich", weight=9, attributes=Attributes((1, 5))),
    Kind("rare", weight=1),
)


def chats(number: int, *, seed: int = 1, worker: int = 0, kinds: tuple[Kind, ...] = KINDS) -> list[Chat]:
    """The first chats that a worker draws of a balanced workload."""
    drawer = Drawer(Workload(kinds, seed=seed, draw="balanced"), "instance", "flow", "run", worker)
    return [drawer.draw() for _ in range(number)]


def test_each_block_holds_every_kind_equally_often_whatever_its_weight() -> None:
    """Of 24 calls eight are of each of three kinds, and blocks differ in their order."""
    drawn = [chat.kind for chat in chats(10 * BLOCK)]
    parts = [drawn[at : at + BLOCK] for at in range(0, len(drawn), BLOCK)]
    assert all(Counter(part) == {"plain": 8, "rich": 8, "rare": 8} for part in parts)
    assert all(one != other for one, other in pairwise(parts))


def test_what_varies_within_a_kind_is_balanced_too() -> None:
    """Durations and texts of a kind come equally often, and half of its chats have a message if any lacks one."""
    drawn = [chat for chat in chats(9 * BLOCK) if chat.kind == "plain"]
    assert set(Counter(chat.duration_minutes for chat in drawn).values()) == {len(drawn) // 3}
    assert Counter(chat.message_bytes > 0 for chat in drawn) == {True: len(drawn) // 2, False: len(drawn) // 2}
    lengths = Counter(chat.message_bytes for chat in drawn if chat.message_bytes)
    assert abs(lengths[1] - lengths[2]) <= BLOCK // 2


@pytest.mark.parametrize("draw", ["weighted", "balanced"])
def test_the_same_seed_draws_the_same_chats_on_each_worker(draw: str) -> None:
    """Two runs of one seed are equal worker by worker, and workers differ from each other, as do seeds."""
    workload = parse_workload(f'draw = "{draw}"\n' + load_workload(None).text, "w")

    def bodies(worker: int) -> list[bytes]:
        drawer = Drawer(workload, "instance", "flow", "run", worker)
        return [drawer.draw().body for _ in range(100)]

    assert bodies(0) == bodies(0)
    assert bodies(3) == bodies(3)
    assert [chat.kind for chat in chats(200, worker=0)] != [chat.kind for chat in chats(200, worker=1)]
    assert [chat.kind for chat in chats(200, seed=1)] != [chat.kind for chat in chats(200, seed=2)]


def test_more_kinds_than_a_block_come_once_each_before_any_comes_again() -> None:
    """Forty kinds make blocks of forty."""
    kinds = tuple(Kind(f"k{number}") for number in range(40))
    drawn = [chat.kind for chat in chats(80, kinds=kinds)]
    assert len(set(drawn[:40])) == len(set(drawn[40:])) == 40


def test_a_service_that_refuses_every_other_call_is_not_taken_to_prefer_a_kind() -> None:
    """Of 200 runs with two kinds in equal shares about one in twenty is as strong as p = 0.05, as it should be."""
    kinds = (Kind("one"), Kind("two"))
    refused = np.asarray(np.arange(600) % 2, np.float64)
    block = blocks(np.asarray(np.arange(600) / 8, np.float64))
    found = []
    for seed in range(200):
        one = [[float(chat.kind == "one")] for chat in chats(600, seed=seed, kinds=kinds)]
        found.append(p_value(np.array(one, np.float64), refused, block))
    assert np.mean(np.array(found) < 0.05) <= 0.1
