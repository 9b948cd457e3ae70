"""When chats ended that somebody else ended, by this machine's clock: from what DescribeContact said of each."""

from dataclasses import dataclass

import numpy as np

from harness.recording.format.ledger import ChatLife, read_ledgers
from reports.run.rundir import Run

_RESOLUTION = 1.0
"""Seconds that a service's times may lie apart from the truth where they are whole seconds."""
_SAME_PACE = 0.2
_ENOUGH_TO_JUDGE = 2.0
"""Seconds of the service's clock between two starts from which its pace can be compared with ours."""
_LATE = 2.0


@dataclass(frozen=True, slots=True)
class ToldEnd:
    """The latest moment at which a chat can have ended, and when StopContact found it ended (unix s, our clock)."""

    at: float
    noticed: float


def told_ends(run: Run) -> dict[str, ToldEnd]:
    """Return the end of each chat, by contact id, that the service told when it was found ended; empty where none was.

    A chat's age by the service's clock is added to the moment at which its start was answered, so the two clocks may differ.
    A service whose clock does not run at our pace (an emulator with a time scale) tells nothing.
    Raises UsageError for a ledger that cannot be one.
    """
    if run.finished and not run.manifest.chats.already_ended:
        return {}
    lives = {contact: life for record in read_ledgers(run.path) for contact, life in record.lives.items()}
    told = {contact: times for contact, life in lives.items() if (times := _service_times(life)) is not None}
    if not _at_our_pace([(lives[contact].started, begun) for contact, (begun, _) in told.items()]):
        return {}
    ends: dict[str, ToldEnd] = {}
    for contact, (begun, ended) in told.items():
        life = lives[contact]
        whole = begun == int(begun) and ended == int(ended)
        at = life.started + ended - begun + (_RESOLUTION if whole else 0.0)
        if at <= life.noticed + _LATE:
            ends[contact] = ToldEnd(min(at, life.noticed), life.noticed)
    return ends


def _service_times(life: ChatLife) -> tuple[float, float] | None:
    if life.service_begun is None or life.service_ended is None or life.service_ended < life.service_begun:
        return None
    return life.service_begun, life.service_ended


def _at_our_pace(starts: list[tuple[float, float]]) -> bool:
    ours, theirs = (np.array(column) for column in zip(*starts, strict=True)) if starts else (np.zeros(1), np.zeros(1))
    theirs_lasted = float(np.ptp(theirs))
    if theirs_lasted < _ENOUGH_TO_JUDGE:
        return True
    return abs(float(np.ptp(ours)) / theirs_lasted - 1) <= _SAME_PACE
