"""The budget of chats, over any workers, messages lost and workers killed."""

import random
from typing import Any

import gevent
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.load.session.budget import Budget, LeasedBudget, Pool


def test_a_place_is_kept_by_a_chat_and_given_back_by_a_refusal() -> None:
    """Calls on the wire count as chats until they are known to have started none."""
    budget = Budget(2)
    assert budget.reserve()
    assert budget.reserve()
    assert not budget.reserve()
    budget.settle(may_have_started=False)
    assert budget.reserve()
    budget.settle(may_have_started=True)
    budget.settle(may_have_started=True)
    assert budget.spent
    assert not budget.reserve()


def test_a_closed_budget_gives_no_place() -> None:
    """After the end of a run no waiting arrival may still get a place."""
    budget = Budget(None)
    budget.close()
    assert not budget.reserve()


class Fleet:
    """Workers and a master whose messages are lost now and then; a call fails now and then."""

    def __init__(self, most: int, workers: int, seed: int, loss: float) -> None:
        self.rng = random.Random(seed)
        self.pool = Pool(most)
        self.loss = loss
        self.budgets = {f"w{n}": self._budget(f"w{n}") for n in range(workers)}
        self.dead: set[str] = set()
        self.started = 0

    def _budget(self, name: str) -> LeasedBudget:
        def ask(wanted: int, returned: int) -> None:
            if self.rng.random() < self.loss:
                return
            kept = self.budgets[name].kept
            answer = self.pool.ask(name, wanted, returned, kept)
            if self.rng.random() >= self.loss:
                self.budgets[name].grant(*answer)

        return LeasedBudget(ask)

    def call(self, name: str) -> None:
        """One attempt of a worker, if it gets a place without waiting."""
        budget = self.budgets[name]
        budget._want(again=True)
        if budget.most - budget.taken <= 0:
            return
        assert budget.reserve()
        starts = self.rng.random() < 0.7
        self.started += starts
        budget.settle(may_have_started=starts)

    def kill(self, name: str, known: bool) -> None:
        """The worker dies; `known` is whether its tally can be read."""
        self.dead.add(name)
        self.pool.write_off(name, self.budgets[name].taken if known else None)
        for budget in self.budgets.values():
            budget.grant(0, self.pool.left > 0)


@pytest.mark.slow
@given(
    most=st.integers(1, 200),
    workers=st.integers(1, 5),
    seed=st.integers(0, 2**32),
    loss=st.sampled_from([0.0, 0.3]),
    rates=st.lists(st.sampled_from([0.0, 0.1, 1.0, 40.0]), min_size=5, max_size=5),
    kill=st.none() | st.tuples(st.integers(0, 4), st.booleans()),
)
@settings(max_examples=150, deadline=None)
def test_leases_spend_the_whole_budget_and_never_more(
    most: int, workers: int, seed: int, loss: float, rates: list[float], kill: tuple[int, bool] | None
) -> None:
    """Whatever is lost and whoever dies, no chat too many is started; with everybody's state known, none too few."""
    fleet = Fleet(most, workers, seed, loss)
    for budget, rate in zip(fleet.budgets.values(), rates, strict=False):
        budget.expect(rate)
    lost_for_good = False
    for step in range(40 * most + 200):
        if kill is not None and step == most and kill[0] < workers and workers > 1:
            fleet.kill(f"w{kill[0]}", kill[1])
            lost_for_good = not kill[1]
        name = f"w{fleet.rng.randrange(workers)}"
        if name not in fleet.dead:
            fleet.budgets[name].exhausted = False  # what a broadcast of the master's would do, were none ever lost
            fleet.call(name)
        assert fleet.started <= most
    if not lost_for_good:
        assert fleet.started == most


def test_an_arrival_waits_for_the_masters_answer_instead_of_being_dropped() -> None:
    """The first arrivals of a worker come before its first lease; they are late by the answer's time, not lost."""
    said: list[Any] = []
    budget = LeasedBudget(lambda wanted, returned: said.append((wanted, returned)))
    waiting = gevent.spawn(budget.reserve)
    gevent.sleep(0)
    assert said
    assert not waiting.ready()
    budget.grant(said[0][0], more=True)
    assert waiting.get(timeout=5) is True


def test_a_worker_without_load_gives_its_places_back() -> None:
    """Places that nobody will use go to the workers that can use them."""
    pool = Pool(10)
    idle = LeasedBudget(lambda wanted, returned: idle.grant(*pool.ask("idle", wanted, returned, idle.kept)))
    idle.expect(4.0)
    assert idle.reserve()
    held = 10 - pool.left
    assert held > 1
    idle.expect(0.0)
    assert pool.left == 9
    idle.settle(may_have_started=True)
    assert not pool.spent
