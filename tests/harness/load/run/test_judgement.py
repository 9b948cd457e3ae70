"""What a run's end makes of its exit code and its validity."""

import pytest

from harness.load.run.judgement import hint_on, judge

START = "StartChatContact"


def test_a_run_that_served_calls_and_left_nothing_open_ends_as_it_was_asked_to() -> None:
    """Starts among the outcomes and no open chat change nothing."""
    assert judge(None, {START: {"started": 3, "service_error": 9}}, 0) == judge(None, {START: {"started": 1}}, 0)
    assert judge(None, {START: {"started": 1}}, 0).exit_code is None


@pytest.mark.parametrize("outcome", ["service_error", "timeout", "access_denied", "not_found", "connection_error"])
def test_a_run_in_which_every_call_failed_ends_with_code_3_and_says_what_to_check(outcome: str) -> None:
    """One failed call is as much a dead target as a thousand."""
    judgement = judge(None, {START: {outcome: 1}}, 0)
    assert judgement.exit_code == 3
    assert outcome in judgement.reasons[0]
    assert "check" in judgement.reasons[0]


def test_refusals_by_a_limit_prove_a_working_service() -> None:
    """A full instance refuses every start and is measured all the same."""
    assert judge(None, {START: {"active_chat_limit": 40}}, 0) == judge(None, {START: {"started": 1}}, 0)


def test_a_participant_service_that_serves_nobody_ends_a_run_with_code_3() -> None:
    """Chats that start and whose customers never connect are no conversation."""
    outcomes = {START: {"started": 9}, "CreateParticipantConnection": {"connection_error": 54}}
    judgement = judge(None, outcomes, 0)
    assert judgement.exit_code == 3
    assert judgement.reasons[0].startswith("the participant service served nothing")


@pytest.mark.parametrize(("wanted", "expected"), [(None, 5), (4, 5), (3, 3), (1, 1)])
def test_chats_left_open_make_a_plain_end_code_5(wanted: int | None, expected: int) -> None:
    """What already failed keeps its code; a plain end and a spent budget do not hide open chats."""
    judgement = judge(wanted, {START: {"started": 9}}, 7)
    assert judgement.exit_code == expected
    assert judgement.reasons == ("7 chats were left open",)


def test_a_generator_without_descriptors_is_not_a_dead_target() -> None:
    """Failures of this machine make the run invalid, and blame nobody else."""
    assert judge(None, {START: {"connection_error": 9}}, 0, generator_failed=True).exit_code == 5


def test_a_workload_of_invalid_requests_expects_refusals() -> None:
    """Refusals that were asked for do not make the target a dead one."""
    assert judge(None, {START: {"invalid_request": 9}}, 0, refusals_expected=True).exit_code is None


def test_a_run_without_a_call_is_not_valid() -> None:
    """A run that was too short to call says nothing of the target."""
    assert judge(None, {}, 0).exit_code == 5


def test_an_error_without_a_code_is_not_the_services() -> None:
    """A page of some other server that says 404 leads to --host; Amazon Connect's own answer leads to the ids."""
    assert hint_on("not_found", 404, None).endswith("this is not its endpoint: check --host")
    assert "--instance-id" in hint_on("not_found", 404, "ResourceNotFoundException")
    assert "what listens" in hint_on("service_error", 503, None)
