"""The most open chats at which replies come in time, on messages whose truth is known."""

import numpy as np
import pytest

from reports.capacity.answered.knee import Bools, Ints, knee_of
from reports.capacity.answered.messages import Floats


def messages(seed: int, share_at: Floats, per_chat: int = 6, chats: int = 300) -> tuple[Ints, Bools, Ints]:
    """Messages of chats that open one after the other: open chats, in time, chat; `share_at[n]` is the share with n open."""
    rng = np.random.default_rng(seed)
    most = len(share_at) - 1
    chat = np.repeat(np.arange(chats), per_chat)
    open_chats = np.clip(chat * most // chats + rng.integers(-3, 4, len(chat)), 1, most)
    return open_chats, rng.random(len(chat)) < share_at[open_chats], chat


@pytest.mark.parametrize("truth", [12, 40, 77])
def test_a_sudden_end_is_found_to_a_few_chats(truth: int) -> None:
    """One reply in fifty is lost everywhere; beyond the knee all are late. The interval holds the truth nearly always."""
    share = np.where(np.arange(101) <= truth, 0.98, 0.02)
    inside, errors = 0, []
    for seed in range(20):
        knee = knee_of(*messages(seed, share), goal=5.0)
        assert knee is not None
        assert knee.open_chats is not None
        assert knee.low is not None
        assert knee.high is not None
        inside += knee.low <= truth <= knee.high
        errors.append(abs(knee.open_chats - truth))
    assert inside >= 17
    assert np.median(errors) <= 1


def test_a_slow_fall_is_left_where_the_share_is_left() -> None:
    """Where the share falls from 1 to 0 over the whole record, the knee is near the place where it is 95 %."""
    share = np.clip(1.15 - np.arange(101) / 100, 0.0, 1.0)  # 0.95 at 20 open chats
    found = [knee.open_chats for seed in range(20) if (knee := knee_of(*messages(seed, share), goal=5.0)) is not None]
    assert abs(np.median([one for one in found if one is not None]) - 20) <= 6


def test_what_was_not_shown_is_no_knee() -> None:
    """A goal that is kept throughout has a lower bound, one that is kept nowhere an upper one, few messages have nothing."""
    kept = knee_of(*messages(1, np.full(101, 0.98)), goal=5.0)
    assert kept is not None
    assert kept.open_chats is None
    assert (kept.low or 0) >= 95
    missed = knee_of(*messages(1, np.full(101, 0.5)), goal=5.0)
    assert missed is not None
    assert (missed.open_chats, missed.low, missed.high) == (None, None, 1)
    few = np.ones(5, np.int64)
    assert knee_of(few, few > 0, few, goal=5.0) is None
