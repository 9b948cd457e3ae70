"""Draws items by chance, or balanced: each as often as the others, in random blocks.

Whether variety matters is told by comparing calls within short stretches of time, and a kind that is a twentieth of the
calls is hardly ever there. Equal shares give that comparison the most power that so many calls can have.
"""

import random
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, repeat
from typing import Literal, TypeVar

T = TypeVar("T")

Draw = Literal["weighted", "balanced"]
DRAWS: tuple[Draw, ...] = ("weighted", "balanced")

BLOCK = 24
"""So many items a block, or as many as fill it whole. Blocks that hold each item once would be too regular: a service that
refuses every other call would seem to prefer one of two kinds."""


def draws(rng: random.Random, items: Sequence[T], how: Draw) -> Callable[[], T]:
    """Return a function that draws from `items`, each with the same probability, or balanced."""
    if len(items) == 1:
        return repeat(items[0]).__next__
    if how == "balanced":
        return _in_blocks(rng, items).__next__
    return lambda: items[int(rng.random() * len(items))]


def weighted_draws(rng: random.Random, items: Sequence[T], weights: Sequence[float], how: Draw) -> Callable[[], T]:
    """Return a function that draws from `items` by their `weights`, or balanced, where weights do not count."""
    if how == "balanced":
        return draws(rng, items, how)
    sums = list(accumulate(weights))
    shares = [each / sums[-1] for each in sums]
    last = len(items) - 1
    return lambda: items[min(bisect(shares, rng.random()), last)]


def chances(rng: random.Random, share: float, how: Draw) -> Callable[[], bool]:
    """Return a function that is True in `share` of its calls; balanced, in half of them wherever it is not all or none."""
    if share >= 1.0 or share <= 0.0:
        return repeat(share >= 1.0).__next__
    if how == "balanced":
        return _in_blocks(rng, (True, False)).__next__
    return lambda: rng.random() < share


def _in_blocks(rng: random.Random, items: Sequence[T]) -> Iterator[T]:
    block = list(items) * max(1, BLOCK // len(items))
    while True:
        rng.shuffle(block)
        yield from block
