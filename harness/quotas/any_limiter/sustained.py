"""The rate that a limiter sustains under pressure, by counting what it admits: no model of the limiter is needed."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from harness.quotas.any_limiter.batches import mean_of, moved
from harness.quotas.any_limiter.classes import check_differs
from harness.quotas.any_limiter.decisions import Decisions
from harness.quotas.any_limiter.estimates import LimiterClass, Sustained
from harness.quotas.attempts import Floats
from harness.quotas.estimates import TpsEstimate
from harness.quotas.special import gammaincinv, stdtrit

_BATCHES = (32, 21)
_EDGE = 8.0
"""Admissions that a silence at an edge of the stretch has room for, from which it counts, if none within is as long."""
_UNSEEN = 2.0
"""Admissions that are lost so seldom (a token that a neighbour takes now and then) that a stretch may show none of it."""
_FEWEST = 8
"""Fewest admissions that batches are made of; from fewer, the interval is that of a Poisson count."""
_OTHERS_CHANGE = 0.03
"""Share by which what is sustained may differ at another time, where it depends on others or on the pressure."""
_UNSEEN_TAKEN = 4.0
"""Admissions that others take at the most in a stretch in which they were not seen to: an upper bound of a Poisson count."""
_NORMAL = 1.96
_LOOK_BACK = 4.0
"""What a silence pays for is looked for as far back as so many times its length."""


def sustained_rate(decisions: Decisions, *, emptied: bool = False) -> Sustained | None:
    """Return the rate from a stretch of decisions under steady pressure; None without a refusal, or hardly any call.

    Where nothing at all was admitted, the estimate is half a call in the whole time.

    `emptied` says that the limiter was refusing just before, so that only a short lead-in has to be left out.
    """
    if decisions.admitted.all():
        return None
    begin, end = float(decisions.at[0]), float(decisions.at[-1])
    if not emptied:
        begin = float(decisions.refusals[0])
    found = _of_steady(_without_lead_in(decisions.between(begin, end + 1e-9)))
    if found is not None and not emptied:
        return _with_what_silence_pays_for(found, decisions, begin)
    return found


def _of_steady(steady: Decisions) -> Sustained | None:
    times = steady.admissions
    if len(times) < 2 or times[-1] <= times[0]:
        return _few(steady)
    offered = (len(steady) - 1) / max(float(steady.at[-1] - steady.at[0]), 1e-9)
    found = _by_cycles(steady, offered)
    if found is None:
        found = _few(steady) if len(times) < _FEWEST else _with_its_edges(_by_batches(times, offered), steady)
    return found if found is None else _not_closer_than_a_count(found)


def _with_what_silence_pays_for(found: Sustained, decisions: Decisions, refused: float) -> Sustained:
    """Where the first refusal, at `refused`, begins a long silence, count what was admitted before it, too.

    A window was full then, or a refused call costs as much as an admitted one. What is sustained lies between what little
    was admitted afterwards and what was admitted until then.
    """
    times = decisions.admissions
    later = times[times > refused]
    before = len(times) - len(later)
    begin, end = float(decisions.at[0]), float(decisions.at[-1])
    if before < _FEWEST or refused <= begin or (found.blocks and found.batch_rate):  # whole turns are counted
        return found
    at_first = before / (refused - begin)
    silence = (float(later[0]) if len(later) else end) - refused
    usual = float(np.median(np.diff(later))) if len(later) > 2 else 0.0
    if silence < max(3.0, 12 / at_first, 4 * usual):
        return found
    estimate = max(found.estimate, len(times) / (end - begin))
    return replace(
        found,
        estimate=estimate,
        low=min(found.low, 0.25 * estimate if len(later) else 0.0),
        high=max(found.high, at_first),
        pressure=found.pressure * found.estimate / estimate,
        blocks=True,
    )


def _without_lead_in(decisions: Decisions) -> Decisions:
    """Leave out max(4 s, 12 admissions), but never more than a third of the stretch."""
    span = float(decisions.at[-1] - decisions.at[0]) if len(decisions) > 1 else 0.0
    count = int(np.count_nonzero(decisions.admitted))
    if span <= 0 or not count:
        return decisions
    lead = min(max(4.0, 12 * span / count), span / 3)
    return decisions.between(float(decisions.at[0]) + lead, float(decisions.at[-1]) + 1e-9)


def _by_batches(times: Floats, offered: float) -> Sustained:
    """From admissions at `times` (n,): the hull over two ways to batch them."""
    lows, highs, middles = [], [], []
    steps: list[float | None] = []
    shown: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    for most in _BATCHES:
        m = min(most, len(times) - 1)
        durations, each = _batched(times, m)
        if not shown[0]:
            ends = tuple(float(t) for t in times[each * np.arange(1, m + 1)])
            shown = ends, tuple(float(each / max(d, 1e-9)) for d in durations)
        step = moved(durations, each)
        steps.append(None if step is None else step / m)
        mean = mean_of(durations)
        middles.append(each / mean.estimate)
        lows.append(each / mean.high)
        highs.append(each / mean.low if mean.low > 0 else 3 * each / mean.estimate)
    found = Sustained(
        estimate=float(np.mean(middles)),
        low=max(0.0, min(lows)),
        high=max(highs),
        pressure=offered / float(np.mean(middles)),
        seconds=float(times[-1] - times[0]),
        admitted=len(times),
        begin=float(times[0]),
        end=float(times[-1]),
        batch_end=shown[0],
        batch_rate=shown[1],
    )
    first, second = steps
    if first is None or second is None or abs(first - second) > 0.1:
        return found
    return _both_sides(found, times, first)


def _with_its_edges(found: Sustained, decisions: Decisions) -> Sustained:
    """Return `found`, low enough for a silence before the first or after the last admission, which no batch holds."""
    before, after = found.begin - float(decisions.at[0]), float(decisions.at[-1]) - found.end
    longest = max(_EDGE / found.estimate, 1.5 * float(np.diff(decisions.admissions).max()))
    if max(before, after) < longest:
        return found
    return replace(found, low=min(found.low, 0.9 * found.admitted / (found.seconds + before + after)))


def _batched(times: Floats, m: int) -> tuple[Floats, int]:
    each = (len(times) - 1) // m
    edges = times[len(times) - 1 - each * m :: each]
    return np.diff(edges), each


def _both_sides(found: Sustained, times: Floats, share: float) -> Sustained:
    """Widen to hold the rates before and after the step, which is known to about a batch."""
    cut, batch = round(share * len(times)), len(times) // min(_BATCHES)
    first, last = (int(np.clip(index, 1, len(times) - 2)) for index in (cut - batch, cut + batch))
    sides = []
    for part in (times[: first + 1], times[last:]):
        rate = (len(part) - 1) / max(float(part[-1] - part[0]), 1e-9)
        if rate < 5 * found.estimate:
            slack = 1.5 / (len(part) - 1)
            sides += [rate * (1 - slack), rate * (1 + slack)]
    return replace(found, low=min([found.low, *sides]), high=max([found.high, *sides]), moved=True)


def _by_cycles(decisions: Decisions, offered: float) -> Sustained | None:
    """Where admissions fall silent for long while calls come: count whole cycles, from the end of one silence to another's.

    None where there is no such silence.
    """
    times = decisions.admissions
    rate = len(times) / max(float(decisions.at[-1] - decisions.at[0]), 1e-9)
    longest = max(3.0, 12 / rate)
    edges = np.concatenate(([decisions.at[0]], times, [decisions.at[-1]]))
    gaps = np.diff(edges)
    silent = gaps > longest
    if not silent.any():
        return None
    starts = np.flatnonzero(silent[:-1])  # times[i] is the first admission after the i-th gap
    whole = len(starts) - 1
    found = Sustained(
        rate,
        0.25 * rate,
        2 * rate,
        offered / rate,
        float(decisions.at[-1] - decisions.at[0]),
        len(times),
        float(decisions.at[0]),
        float(decisions.at[-1]),
        blocks=True,
    )
    if whole < 1:
        return _by_one_silence(found, times, gaps, longest)
    counts = np.diff(starts).astype(float)
    lengths = np.diff(times[starts])
    middle = float(counts.sum() / lengths.sum())
    half = 0.5 * middle
    if whole >= 2:
        spread = float(np.std(counts - middle * lengths, ddof=1)) / np.sqrt(whole) / float(lengths.mean())
        half = float(stdtrit(whole - 1, 0.975)) * spread
    half = max(half, 0.05 * middle / whole)
    return replace(
        found,
        estimate=middle,
        low=max(0.0, middle - half),
        high=middle + half,
        pressure=offered / middle,
        seconds=float(lengths.sum()),
        admitted=int(counts.sum()),
        batch_end=tuple(float(t) for t in times[starts[1:]]),
        batch_rate=tuple(float(c / s) for c, s in zip(counts, lengths, strict=True)),
    )


def _by_one_silence(found: Sustained, times: Floats, gaps: Floats, longest: float) -> Sustained:
    """Not one whole cycle was seen: hold the rate with the silence once more and without it, or far less where it lasts."""
    silence = float(gaps[gaps > longest].sum())
    counted = _by_batches(times, found.pressure * found.estimate) if len(times) >= _FEWEST else found
    low = len(times) / (found.seconds + silence)
    high = len(times) / max(found.seconds - silence, 1e-9)
    if gaps[0] > longest or gaps[-1] > longest:  # how long it lasts is not known
        low = min(0.5 * low, 0.25 * found.estimate)
    return replace(
        found,
        low=min(counted.low, low, found.estimate),
        high=max(counted.high, high, found.estimate),
    )


def _few(decisions: Decisions) -> Sustained | None:
    """From fewer than eight admissions: the interval of a Poisson count."""
    span = float(decisions.at[-1] - decisions.at[0]) if len(decisions) > 1 else 0.0
    count = int(np.count_nonzero(decisions.admitted))
    if span <= 0 or (not count and len(decisions) < _FEWEST):
        return None
    at_least = count or 0.5
    return Sustained(
        at_least / span,
        float(gammaincinv(count, 0.025)) / span if count else 0.0,
        float(gammaincinv(count + 1, 0.975)) / span,
        (len(decisions) - 1) / at_least,
        span,
        count,
        float(decisions.at[0]),
        float(decisions.at[-1]),
    )


def _not_closer_than_a_count(found: Sustained) -> Sustained:
    """Return `found` no closer than a count can be: one admission more, or `_UNSEEN` fewer."""
    one = found.estimate / max(1, found.admitted - 1)
    return replace(
        found, low=max(0.0, min(found.low, found.estimate - _UNSEEN * one)), high=max(found.high, found.estimate + one)
    )


def wider(found: Sustained, lost: float) -> Sustained:
    """Return `found` no closer than contrary decisions let it be that add a variance of `lost` admissions squared a call."""
    share = _NORMAL * math.sqrt(lost * found.pressure / max(found.admitted, 1))
    return found.widened(share, share)


def held_back(
    first: Sustained, mild: Sustained | None, check: Sustained | None, tps: TpsEstimate | None
) -> tuple[Sustained, Sustained | None]:
    """Widen each rate by what the others say against it: a flagged answer holds what was seen of it anywhere."""
    others = [s for s in (mild, check) if s is not None and not s.blocks]
    if first.moved or any(s.moved for s in others) or check_differs(first, check, tps):
        first = replace(
            first, low=min([first.low, *(s.low for s in others)]), high=max([first.high, *(s.high for s in others)])
        )
        half = max(first.estimate - first.low, first.high - first.estimate)
        first = replace(first, low=max(0.0, first.estimate - half), high=first.estimate + half)
        if mild is not None:
            share = min(half / first.estimate, 1.0)
            mild = replace(
                mild,
                low=min(first.low, mild.low, (1 - share) * mild.estimate),
                high=max(first.high, mild.high, (1 + share) * mild.estimate),
            )
    return first, mild


def left_open(sustained: Sustained, mild: Sustained | None, kind: LimiterClass) -> tuple[Sustained, Sustained | None]:
    """Widen both for a rate that others' calls, or one's own, change: a minute's interval is too close for that.

    Where others were seen, the mild one is as wide in proportion as the strong one: they met the others at the same time.
    """
    if kind == "depends_on_pressure":
        share = _OTHERS_CHANGE
        return sustained.widened(share, share), None if mild is None else mild.widened(share, share)
    if kind != "shared":
        return sustained, mild
    if mild is not None:
        share = max(_OTHERS_CHANGE, sustained.half_width)
        mild = mild.widened(max(share, _UNSEEN_TAKEN / max(mild.admitted, 1)), share)
    unseen = _UNSEEN_TAKEN / max(sustained.admitted, 1)
    return sustained.widened(max(_OTHERS_CHANGE, unseen), _OTHERS_CHANGE), mild


def paid_for(decisions: Decisions, first: int, last: int) -> float:
    """Return the calls a second that were admitted up to the end of a silence, from `first` to `last`, over the stretch
    before it that makes them most: a burst that the silence pays for makes them as many as the limiter sustains.
    """
    begin, end = float(decisions.at[first]), float(decisions.at[last])
    times = decisions.between(begin - _LOOK_BACK * (end - begin), begin).admissions
    if not len(times):
        return 0.0
    return float(np.max(np.arange(len(times), 0, -1) / (end - times)))


def silent_for(at: Floats) -> float:
    """Return for how long calls at `at` (n,), all refused, were made: a rest among them is no silence of the limiter."""
    return float(at[-1] - at[0] - np.diff(at).max())
