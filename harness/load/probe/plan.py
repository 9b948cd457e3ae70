"""The quota probe's decisions: when to call, when to wait, when to stop chats, when to end. Pure: time comes in, no I/O."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.load.probe.actions import (
    Action,
    Done,
    Known,
    Pause,
    ProbeOptions,
    Send,
    StopChats,
    Think,
)
from harness.load.probe.moves import ProbeMoves
from harness.quotas.active_chats import COUNTED_WITHIN, infer_active_chats
from harness.quotas.cost import Goal
from harness.quotas.estimates import TpsEstimate
from harness.quotas.tps.infer import infer_tps_by_steps
from harness.vocabulary import ACTIVE_CHAT_LIMIT, STARTED, TPS_THROTTLED

__all__ = ["Action", "Done", "Goal", "Known", "Pause", "ProbeOptions", "ProbePlan", "Send", "StopChats", "Think"]


_LONGEST_CONFIRMATION = 150.0
"""Seconds after which the confirmation of the chat quota ends with what it knows."""


class ProbePlan(ProbeMoves):
    """Decides call by call. The driver asks `act`, does what it says, and reports `answered` and `ended`."""

    def _run(self) -> Iterator[Action]:
        goal = self.options.goal
        if goal == "active-chats":
            yield from self._drain(32)
            yield from self._coarse()
        else:
            yield from self._find_tps()
        if goal != "tps":
            yield from self._fill()
            yield from self._confirm_chats()
        self.known.doing = "working out both limits"
        yield from self._quiet()
        yield from self._infer()

    def _find_tps(self) -> Iterator[Action]:
        yield from self._drain(32)
        if not self.known.throttled and self._costless:
            yield from self._make_room(self._quota)
            yield from self._drain(32)
        if not self.known.throttled:
            return
        yield from self._coarse()
        unexplained = 0
        for cycle in range(40):
            yield from self._press(3.0 if cycle % 2 == 0 else 1.25, self._press_time())
            yield from self._rest()
            size = self._burst_guess()
            yield from self._make_room(size + 3 + self._rate * self._press_time())
            yield from self._drain(int(min(size + 4, 32)))
            yield from self._press(1.25 if cycle % 2 == 0 else 3.0, 0.5 * self._press_time(), least=4)
            yield from self._quiet()
            yield from self._infer()
            tps = self.known.tps
            if tps is None or tps.verdict != "explained" or tps.limiter != "token_bucket":
                unexplained += 1
                if unexplained >= 2 and not (self._costless and cycle < 4):
                    return
            elif self._sharp(tps) and cycle >= (0 if self.options.goal == "tps" else 1):
                return
            if self._over() or not self._worth(cycle):
                return

    def _make_room(self, chats: float) -> Iterator[Action]:
        """Where quota refusals cost no token, only chats that start tell anything: free that many places."""
        free = self._quota - self._open
        if self._costless and free < chats and self._open:
            self.known.doing = "making room, since quota refusals cost no token"
            yield from self._quiet()
            yield from self._stop(int(min(self._open, chats - free + 1)))
            yield from self._rest()

    def _idle_at_quota(self) -> bool:
        """Return whether the chat quota refuses more calls in a row than the bucket could admit: they cost no token."""
        lasted = max(1.0, self._now - self._full_since)
        # While the rate is not known: calls that are faster would meet a throttle, and the pace grows until they are.
        most = 1.5 * self._rate if self._rate else 0.9 * len(self._recent)
        if self._full_streak > 40 + 2 * self._burst_guess() + most * lasted:
            self._costless = True
        return self._costless and self._full_streak > 2

    def _sharp(self, tps: TpsEstimate) -> bool:
        low, high, rate = tps.rate.low, tps.rate.high, tps.rate.estimate
        if low is None or high is None or rate is None:
            return False
        return tps.burst.exact and (high - low) < 0.012 * rate

    def _worth(self, cycle: int) -> bool:
        """Another cycle is affordable: free when the instance is full, else a bounded number of chats."""
        if self.known.full_refusals and not self._costless:
            return cycle < 30
        if self.options.goal == "both":
            return True if self._open < 60 else cycle < 4
        return self.known.started < self._burst_guess() * 3 + 20 + 4 * self._rate

    def _fill(self) -> Iterator[Action]:
        """Start chats just above the rate until the quota of active chats has refused some."""
        self.known.doing = "filling to the chat quota"
        tries = 0
        while not self._over() and tries < 40:
            pace = max(1.0, min(self._rate * 1.1 if self._rate else 10.0, self.options.max_rate * 0.95))
            yield from self._pace(1.0 / pace)
            yield Send()
            if self._full_streak:
                tries += 1
                yield from self._quiet()
                if self._full_streak >= 2:
                    return

    def _confirm_chats(self) -> Iterator[Action]:
        """Meet the quota twice more, each time from below and with longer waits: a service that counts chats late, or gives
        freed slots back late, shows itself by another answer.
        """
        if not self.known.full_refusals or not self._open or self._over():
            return
        self.known.doing = "confirming the chat quota"
        until = self._now + _LONGEST_CONFIRMATION
        for wait in (COUNTED_WITHIN + 0.1, 2 * COUNTED_WITHIN):
            yield from self._quiet()
            yield from self._sleep(wait)
            yield from self._stop_until_admitted(wait, until)
            yield from self._start_until_refused(wait, until)

    def _stop_until_admitted(self, wait: float, until: float) -> Iterator[Action]:
        """Stop one chat, then two, four, until a start is admitted again."""
        count, started = 1, self.known.started
        while self.known.started == started and self._open and self._now < until and not self._over():
            yield from self._stop(min(count, self._open))
            yield from self._sleep(wait)
            yield from self._try_start()
            count, wait = 2 * count, 1.5 * wait

    def _start_until_refused(self, wait: float, until: float) -> Iterator[Action]:
        """Start chats one by one, leaving the service alone in between, until the quota has refused two in a row."""
        in_a_row = 0
        while in_a_row < 2 and self._now < until and not self._over():
            refused = self.known.full_refusals
            yield from self._sleep(wait)
            yield from self._try_start()
            in_a_row = in_a_row + 1 if self.known.full_refusals > refused else 0

    def _try_start(self) -> Iterator[Action]:
        """Make one start that the TPS limit does not refuse."""
        for _ in range(12):
            decided = self.known.started + self.known.full_refusals
            yield from self._pace(1.1 / max(self._rate, 0.2) if self._rate else 0.5)
            yield Send()
            yield from self._quiet()
            if self.known.started + self.known.full_refusals > decided or self._over():
                return

    def _drain(self, volley: int) -> Iterator[Action]:
        """Return a volley, then a pace that doubles every 50 ms, until the first refusal."""
        self.known.doing = "draining the bucket"
        throttled = self.known.throttled
        top = min(2000.0, self.options.max_rate)
        pace, stage = min(200.0, top), self._now
        begin, calls = self._now, 0
        longest = 4.0 + 6.0 * self._burst_guess() / max(top - self._rate, 0.2 * top)
        while self.known.throttled == throttled and not self._over():
            if self._now - begin > longest + 2 * self._trip or self._idle_at_quota():
                return
            if calls >= min(volley, 0.2 * top):
                if self._now - stage > 0.05:
                    pace, stage = min(pace * 2, top), self._now
                yield from self._pace(1.0 / pace)
            calls += 1
            yield Send()
            if calls == volley:
                stage = self._now

    def _coarse(self) -> Iterator[Action]:
        """Keep just enough pressure to see five admissions among refusals: a first idea of the rate."""
        self.known.doing = "looking for the rate"
        yield from self._quiet(5.0)
        begin = self._now
        first = len(self._outcome)
        pace = min(30.0, 0.5 * self.options.max_rate)
        looked = first
        while self._now - begin < 120.0 and not self._over() and not self._idle_at_quota():
            yield from self._pace(1.0 / pace, dither=True)
            yield Send()
            seen = self._outcome[looked:]
            if len(seen) >= 8:
                refused = seen.count(TPS_THROTTLED) / len(seen)
                if refused < 0.35 and pace < 0.95 * self.options.max_rate:
                    pace, looked = min(pace * 1.6, 0.95 * self.options.max_rate), len(self._outcome)
                    first, begin = looked, self._now
                elif len(seen) > 40 and refused > 0.9:
                    pace, looked = max(pace / 1.6, 2.0), len(self._outcome)
            rate = _between_throttles(self._sent[first:], self._outcome[first:])
            if rate:
                self._rate = rate
                self.known.rate = (0.8 * self._rate, 1.25 * self._rate)
                return

    def _press(self, pressure: float, seconds: float, least: int = 8) -> Iterator[Action]:
        """Call at `pressure` times the rate, at dithered moments, so that a caller is there when a token comes."""
        self.known.doing = f"pressing at {pressure:g} times the rate"
        begin, first = self._now, len(self._outcome)
        pace = min(max(pressure * self._rate, 1.0), 0.95 * self.options.max_rate)
        looked = first
        while not self._over():
            lasted = self._now - begin
            if self._idle_at_quota():
                return
            if lasted > seconds and (lasted * self._rate >= least or lasted > 4 * seconds + 20):
                return
            yield from self._pace(1.0 / pace, dither=True)
            yield Send()
            seen = self._outcome[looked:]
            if len(seen) >= 30:
                refused = seen.count(TPS_THROTTLED) / len(seen)
                if refused < 0.04 and pace < 0.95 * self.options.max_rate:
                    pace = min(pace * 1.3, 0.95 * self.options.max_rate)
                looked = len(self._outcome)

    def _rest(self) -> Iterator[Action]:
        """Wait until the bucket must be full again."""
        self.known.doing = "letting the bucket fill"
        yield from self._quiet()
        seconds = 1.25 * self._burst_guess() / max(self._rate, 0.05) + 0.1 + 2 / max(self._rate, 0.05)
        until = self._now + min(seconds, 90.0)
        yield from self._quick()
        yield from self._sleep(until - self._now)

    def _press_time(self) -> float:
        """Seconds of pressure for 0.1 % of the rate, by the bound that timing sets; 0.3 % where each admission is a chat."""
        spread = max(0.003, 0.1 * self._trip)
        rate = max(self._rate, 0.5)
        share = 0.003 if self.options.goal == "tps" or self._costless else 0.001
        seconds = (12 * spread**2 / (rate * share**2)) ** (1 / 3)
        return float(min(max(seconds, (6.0 if share > 0.001 else 9.0) / rate, 0.5), 12.0))

    def _burst_guess(self) -> float:
        if self.known.burst is not None:
            return max(1.0, self.known.burst[1])
        return max(4.0, 1.0 * (self.known.started + self.known.full_refusals))

    def _quick(self) -> Iterator[Action]:
        """Return a first burst from the longest run of admissions; cheap."""
        outcome = np.array([_KIND.get(o, 0) for o in self._outcome])
        order = np.argsort(self._sent, kind="stable")
        at, kind = np.asarray(self._sent)[order], outcome[order]
        at, kind = at[kind != 0], kind[kind != 0]
        if len(at) and self.known.tps is None:
            taken = np.cumsum(kind == 1)
            counter = self._rate * at - taken
            deficit = np.maximum.accumulate(counter) - counter
            top = float(np.quantile(deficit[kind == 1], 1.0)) + 1 if (kind == 1).any() else 1.0
            self.known.burst = (1.0, max(1.0, np.ceil(top)))
        yield from ()

    def _infer(self) -> Iterator[Action]:
        """Infer both limits from all answers so far; nothing may be on the wire."""
        attempts = self.attempts()
        found: list[object] = []

        def steps() -> Iterator[object]:
            for estimate in infer_tps_by_steps(attempts, seed=self.options.seed):
                if estimate is not None:
                    found[:] = [estimate]
                yield estimate

        yield Think(steps())
        tps = found[0]
        assert isinstance(tps, TpsEstimate)
        self.known.tps = tps
        if tps.limiter == "token_bucket" and tps.rate.estimate:
            self._rate = tps.rate.estimate
            self.known.rate = (tps.rate.low or 0.0, tps.rate.high or 0.0)
            if tps.burst.low is not None and tps.burst.high is not None:
                self.known.burst = (tps.burst.low, tps.burst.high)
        self.known.active_chats = infer_active_chats(attempts, self._ends, already_ended=self._gone)


def _between_throttles(sent: list[float], outcome: list[str]) -> float | None:
    """Admissions a second between the first and the last throttle: the bucket was empty at both. None if too few."""
    calls = sorted(zip(sent, outcome, strict=True))
    throttles = [at for at, what in calls if what == TPS_THROTTLED]
    if len(throttles) < 2:
        return None
    begin, end = throttles[0], throttles[-1]
    admitted = [at for at, what in calls if _KIND.get(what) == 1 and begin < at < end]
    return len(admitted) / (end - begin) if len(admitted) >= 5 else None


_KIND = {STARTED: 1, ACTIVE_CHAT_LIMIT: 1, TPS_THROTTLED: 2}
