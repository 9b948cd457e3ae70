"""Judges the end of a run, beside how the generator kept its schedule: was anything served, is anything left open?"""

from collections.abc import Mapping
from dataclasses import dataclass

from harness.counting import counted
from harness.errors import EXIT_DONE, EXIT_GUARD, EXIT_INVALID, EXIT_TARGET
from harness.vocabulary import (
    ACCESS_DENIED,
    ANSWERED_BY_SERVICE,
    CONNECTION_ERROR,
    CREATE_CONNECTION,
    INVALID_REQUEST,
    NOT_FOUND,
    SERVED_NOTHING,
    SERVICE_ERROR,
    START_CHAT,
    TIMEOUT,
)

HINTS = {
    ACCESS_DENIED: "check the credentials, their policy and --region",
    NOT_FOUND: "check --host, --instance-id, --contact-flow-id and --region",
    INVALID_REQUEST: "check --instance-id, --contact-flow-id and the workload",
    CONNECTION_ERROR: "check --host and the network",
    SERVICE_ERROR: "check what listens at --host; see the run's answers",
    TIMEOUT: "check --host, the network and --call-timeout",
}
"""What to check where every call had an outcome."""


def hint_on(outcome: str, status: int, error_code: str | None) -> str:
    """Return what to check where every call was answered alike: an HTTP error without a code is not the service's own."""
    if 400 <= status < 500 and status != 429 and not error_code:
        return "Amazon Connect names a code in each error, so this is not its endpoint: check --host"
    return HINTS.get(outcome, "see the run's answers")


_SERVICES = {START_CHAT: "the target", CREATE_CONNECTION: "the participant service"}


@dataclass(frozen=True)
class Judgement:
    """`exit_code` is None where nothing special is to be said; `reasons` are sentences that make the run invalid."""

    exit_code: int | None
    reasons: tuple[str, ...] = ()


def judge(
    wanted: int | None,
    outcomes: Mapping[str, Mapping[str, int]],
    left_open: int,
    *,
    generator_failed: bool = False,
    refusals_expected: bool = False,
) -> Judgement:
    """Judge the end of a run.

    `wanted` is the exit code that ended it, None for a plain end; `outcomes` are counts by operation and outcome;
    `left_open` counts the chats that were to be stopped and are open. `generator_failed`: this machine could not make calls.
    `refusals_expected`: the workload holds nothing but invalid requests.
    """
    reasons = []
    exit_code = wanted
    if wanted is None and not any(count for counts in outcomes.values() for count in counts.values()):
        reasons.append("no call was made: offer more load, or for longer")
        exit_code = EXIT_INVALID
    for operation, service in _SERVICES.items():
        counts = {outcome: count for outcome, count in outcomes.get(operation, {}).items() if count}
        if not counts or ANSWERED_BY_SERVICE & counts.keys() or (refusals_expected and operation == START_CHAT):
            continue
        reasons.append(_nothing_served(operation, service, counts))
        if exit_code in (None, EXIT_DONE):
            exit_code = EXIT_INVALID if generator_failed else EXIT_TARGET
    if left_open:
        reasons.append(f"{counted(left_open, 'chat was', 'chats were')} left open")
        if exit_code in (None, EXIT_DONE, EXIT_GUARD):
            exit_code = EXIT_INVALID
    return Judgement(exit_code, tuple(reasons))


def _nothing_served(operation: str, service: str, counts: Mapping[str, int]) -> str:
    most = max(counts, key=counts.__getitem__)
    listed = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(counts.items(), key=lambda pair: -pair[1]))
    hint = HINTS.get(most, "see the run's answers")
    return f"{service} {SERVED_NOTHING}: every {operation} call failed ({listed}); {hint}"
