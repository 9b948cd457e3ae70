"""The share of Poisson arrivals that a limiter refuses: a token bucket (M/D/1 with a bounded workload), a window of time."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from harness.quotas.attempts import Floats
from harness.quotas.special import gammaln

_LOADS = np.unique(np.concatenate((np.linspace(0.02, 0.9, 89), np.linspace(0.9, 1.1, 41), np.geomspace(1.1, 6.0, 40))))
_BURSTS = np.unique(np.concatenate((np.geomspace(1.0, 2000.0, 60), np.arange(2.0, 9.0))))
"""Bursts of the table, whole small ones among them: there the share has an edge."""
_SERIES_UP_TO = 7.0


def _waiting(load: float, most: Floats) -> Floats:
    """Erlang's series for the workload of M/D/1, but for the share of time that it is idle: at or below `most` (n,)."""
    if abs(load - 1) < 1e-5:
        load = 1 + 1e-5
    result = np.empty(len(most))
    for index, x in enumerate(most):
        if x <= _SERIES_UP_TO:
            j = np.arange(int(np.floor(x)) + 1)
            y = x - j
            size = load * y + j * np.log(np.maximum(load * y, 1e-300)) - gammaln(j + 1)
            result[index] = np.sum((-1.0) ** j * np.exp(size))
        else:
            theta = _decay(load)
            weight = (1 - load) / (load * np.exp(theta) - 1)
            result[index] = (1 - weight * np.exp(np.clip(-theta * x, -700, 700))) / (1 - load)
    return np.maximum(result, 1.0)


@lru_cache(maxsize=512)
def _decay(load: float) -> float:
    """Return the root other than 0 of theta = load (e^theta - 1), by Newton's method."""
    theta = -2 * np.log(load) if load < 1 else 2 * (1 / load - 1)
    for _ in range(60):
        value = load * np.expm1(theta) - theta
        step = value / (load * np.exp(theta) - 1)
        theta -= float(np.clip(step, -1.0, 1.0))
    return float(theta)


def blocking(load: float, burst: Floats | float) -> Floats:
    """Return the share refused of Poisson arrivals at `load` times the rate of a bucket of `burst` (n,) tokens, at
    least 1.
    """
    waiting = _waiting(load, np.atleast_1d(np.asarray(burst, float)) - 1.0)
    return np.asarray(1 - waiting / (1 + load * waiting))


@lru_cache(maxsize=1)
def _table() -> Floats:
    return np.array([np.log(np.maximum(blocking(float(load), _BURSTS), 1e-12)) for load in _LOADS])


def blocked(load: Floats, burst: Floats) -> Floats:
    """As `blocking`, for `load` (k,) and `burst` (m,): shape (k, m), interpolated in a table."""
    x = np.interp(np.clip(load, _LOADS[0], _LOADS[-1]), _LOADS, np.arange(len(_LOADS)))
    y = np.interp(np.log(np.clip(burst, 1.0, _BURSTS[-1])), np.log(_BURSTS), np.arange(len(_BURSTS)))
    i, j = np.minimum(x.astype(int), len(_LOADS) - 2), np.minimum(y.astype(int), len(_BURSTS) - 2)
    u, v, table = (x - i)[:, None], (y - j)[None, :], _table()
    i, j = i[:, None], j[None, :]
    logs = (1 - u) * ((1 - v) * table[i, j] + v * table[i, j + 1]) + u * (
        (1 - v) * table[i + 1, j] + v * table[i + 1, j + 1]
    )
    share = np.exp(logs)
    beyond = load[:, None] > _LOADS[-1]
    return np.where(beyond, 1 - 1 / np.maximum(load[:, None], 1.0), share)


def load_refused(share: float, burst: Floats) -> Floats:
    """Return the load, in rates, at which a bucket of `burst` (m,) tokens refuses `share` of Poisson arrivals; 0 for
    none.
    """
    if share <= 0:
        return np.zeros(len(burst))
    table = blocked(_LOADS, burst)
    result = np.empty(len(burst))
    for column in range(len(burst)):
        logs = np.maximum.accumulate(np.log(np.maximum(table[:, column], 1e-300)))
        result[column] = np.interp(np.log(share), logs, _LOADS, left=share, right=_LOADS[-1])
    return result


def window_refused(load: float, limit: int, *, sliding: bool) -> float:
    """Return the share refused of Poisson arrivals at `load` times the rate of a window of `limit` calls.

    A sliding window is a group of `limit` places, each held for the window's length: Erlang's formula. A fixed one refuses
    what comes beyond its limit.
    """
    mean = load * limit
    if mean <= 0:
        return 0.0
    counts = np.arange(limit + 1)
    chances = np.exp(counts * np.log(mean) - mean - gammaln(counts + 1.0))
    if sliding:
        return float(chances[-1] / chances.sum())
    return float(1 - (limit - (limit - counts) @ chances) / mean)


def window_load_refused(share: float, limit: int, *, sliding: bool) -> float:
    """Return the load, in rates, at which a window of `limit` calls refuses `share` of Poisson arrivals."""
    low, high = 0.0, 1.2
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if window_refused(middle, limit, sliding=sliding) <= share else (low, middle)
    return low
