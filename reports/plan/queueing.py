"""Refusal probabilities: Erlang B for the chat quota, M/D/1/K for the TPS bucket, M_t/G/infinity for a day."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve
from scipy.stats import poisson

MOST_TOKENS = 100_000
"""Of a bucket that holds more, refusals are those of one that holds so many: more than it would, and hardly any."""


def erlang_b(load: float, servers: int) -> float:
    """The share of Poisson arrivals that find all of `servers` taken, at `load` erlangs (arrival rate x mean length).

    It holds for any distribution of the length (A. K. Erlang, 1917; insensitivity: Sevastyanov, 1957).
    """
    if load <= 0:
        return 0.0
    inverse = term = 1.0  # of the blocking probability, which would underflow itself
    for taken in range(servers, 0, -1):
        term *= taken / load
        inverse += term
        if inverse > 1e300:
            return 0.0
        if term < 1e-17 * inverse:  # terms fall from here on
            break
    return 1.0 / inverse


def servers_for(load: float, refused: float) -> int:
    """The fewest servers with which Erlang B refuses at most a share `refused` of the arrivals."""
    inverse, servers = 1.0, 0
    while inverse < 1.0 / refused:
        servers += 1
        inverse = 1.0 + inverse * servers / load if load > 0 else math.inf
    return servers


def bucket_refusal(arrivals: float, rate: float, burst: float) -> float:
    """The share of Poisson arrivals (1/s) that a token bucket of `burst` tokens, refilled at `rate` a second, refuses.

    The missing tokens are the unfinished work of an M/D/1 queue with service time 1/rate, and a call is refused when `burst`
    calls are in that system: the blocking probability of M/D/1/K with K = burst. Computed from the queue lengths that
    departures leave behind, by level crossings, in which every term is positive (L. Takacs, 1962; H. Tijms, 2003).
    """
    size = min(math.floor(burst + 1e-9), MOST_TOKENS)
    if arrivals <= 0:
        return 0.0
    if size < 1 or rate <= 0:
        return 1.0
    load = arrivals / rate
    none = math.exp(-load)
    if none == 0.0:
        return 1.0 - 1.0 / load
    more = poisson.sf(np.arange(-1, size + 1), load)  # more[n]: at least n arrivals in a service
    felt = int(np.count_nonzero(more))  # of so many arrivals in a service there is any chance at all
    left = np.zeros(size)
    left[0] = 1.0
    for level in range(size - 1):
        first = max(1, level + 2 - felt)
        up = left[0] * more[level + 1] + left[first : level + 1] @ more[level + 2 - first : 1 : -1]
        left[level + 1] = up / none
        if left[level + 1] > 1e200:
            left[: level + 2] /= left[level + 1]
    empty = left[0] / left.sum()
    return float(max(0.0, 1.0 - 1.0 / (empty + load)))


def window_refusal(arrivals: float, calls: float, seconds: float, *, sliding: bool) -> float:
    """The share of Poisson arrivals (1/s) that a window of so many `calls` and `seconds` refuses.

    A sliding window holds each admitted call for its length, as a server holds a customer: Erlang B. A fixed one refuses
    what comes beyond its calls.
    """
    load, most = arrivals * seconds, math.floor(calls + 1e-9)
    if load <= 0:
        return 0.0
    if sliding:
        return erlang_b(load, most)
    # E[(N - most)+] / E[N], for N arrivals in a window
    excess = load * poisson.sf(most - 1, load) - most * poisson.sf(most, load)
    return float(min(1.0, max(0.0, excess / load)))


def window_needed(arrivals: float, refused: float, seconds: float, *, sliding: bool) -> int:
    """The fewest calls in a window of so many seconds that refuse at most a share `refused` of Poisson arrivals (1/s)."""
    if sliding:
        return servers_for(arrivals * seconds, refused)
    low, high = 0, 1
    while window_refusal(arrivals, high, seconds, sliding=False) > refused:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (middle, high) if window_refusal(arrivals, middle, seconds, sliding=False) > refused else (low, middle)
        )
    return high


def rate_for(arrivals: float, refused: float, burst_per_rate: float) -> float:
    """The lowest bucket rate (1/s) that refuses at most a share `refused`, the burst growing with the rate."""
    low, high = 0.0, max(arrivals, 0.1)
    while bucket_refusal(arrivals, high, max(1.0, high * burst_per_rate)) > refused:
        high *= 1.5
    for _ in range(60):
        middle = (low + high) / 2
        if bucket_refusal(arrivals, middle, max(1.0, middle * burst_per_rate)) > refused:
            low = middle
        else:
            high = middle
    return high


def open_chats(arrivals: NDArray[np.float64], step: float, survival: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean number of chats open at the end of each step in an M_t/G/infinity system that starts empty.

    `arrivals` (n,) are rates in 1/s over steps of `step` seconds; `survival` (n,) is the share of chats that last longer
    than the middle of each step. No limit refuses anybody here (Eick, Massey and Whitt, 1993).
    """
    held: NDArray[np.float64] = np.maximum(fftconvolve(arrivals, survival)[: len(arrivals)] * step, 0.0)
    return held
