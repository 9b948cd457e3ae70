"""When a service is given up."""

import pytest

from harness.load.session.service_watch import FAILURES_TO_GIVE_UP, OUTAGE_SECONDS, REFUSALS_TO_GIVE_UP, ServiceWatch


def given_up_after(outcomes: list[str], every: float = 0.1) -> int | None:
    """How many of `outcomes`, `every` seconds apart, it takes until a fresh watch gives up; None where it never does."""
    watch = ServiceWatch()
    for number, outcome in enumerate(outcomes, 1):
        if watch.saw(outcome, number * every):
            return number
    return None


@pytest.mark.parametrize("outcome", ["access_denied", "not_found", "invalid_request", "connection_error"])
def test_refusals_that_nothing_cures_give_up_soon(outcome: str) -> None:
    """Wrong credentials, ids or hosts are found out within five calls."""
    assert given_up_after([outcome] * 100) == REFUSALS_TO_GIVE_UP


@pytest.mark.parametrize("outcome", ["service_error", "timeout"])
def test_faults_of_a_service_that_never_worked_give_up_after_a_bounded_number(outcome: str) -> None:
    """A service that is starting up has some calls of patience, not the whole run."""
    assert given_up_after([outcome] * 100) == FAILURES_TO_GIVE_UP


@pytest.mark.parametrize("proof", ["started", "tps_throttled", "active_chat_limit", "unclassified_429"])
def test_a_service_that_has_answered_is_given_up_only_after_an_outage(proof: str) -> None:
    """Refusals by a limit are answers: only a long row of faults ends a run that has worked."""
    assert given_up_after([proof, *["access_denied"] * 500]) is None
    gone = given_up_after([proof, *["connection_error"] * 500])
    assert gone is not None
    assert gone * 0.1 == pytest.approx(OUTAGE_SECONDS + 0.1, abs=0.11)


def test_one_answer_in_between_ends_the_outage() -> None:
    """Half of the calls failing is a fault to measure, not a dead service."""
    assert given_up_after(["started", "service_error"] * 500) is None


def test_a_service_is_given_up_once() -> None:
    """The run is told one time."""
    watch = ServiceWatch()
    assert sum(watch.saw("not_found", float(at)) for at in range(100)) == 1
