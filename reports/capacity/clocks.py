"""Whether the times of a run over several machines are of one clock."""

from collections.abc import Mapping

from harness.counting import counted
from harness.recording.format.manifest import WorkerClock
from reports.capacity.model import Capacity, Clocks
from reports.wording.numbers import rounded

_WORTH_SAYING = 0.02
"""Seconds: a worker's times within so much of the master's change no limit that is inferred."""


def clocks_of(measured: Mapping[str, WorkerClock]) -> Clocks | None:
    """Return the account of the workers' clocks, None for a run of one process or from before they were measured."""
    if not measured:
        return None
    known = [clock for clock in measured.values() if clock.within is not None]
    return Clocks(
        workers=len(measured),
        moved=sum(clock.moved != 0 for clock in known),
        most_moved=max((abs(clock.moved) for clock in known), default=0.0),
        within=max((clock.within for clock in known if clock.within is not None), default=None),
        unknown=sorted(name for name, clock in measured.items() if clock.within is None),
    )


def clock_sentences(answer: Capacity) -> list[str]:
    """Say whose times were moved, and what is to be borne in mind of times that may be of another clock."""
    clocks = answer.clocks
    if clocks is None:
        return []
    said = []
    if clocks.moved:
        said.append(
            f"The clocks of {clocks.moved} of {counted(clocks.workers, 'worker')} differed from the master's by up to "
            f"{_seconds(clocks.most_moved)}; their times are moved by what was measured, "
            f"and right to {_seconds(clocks.within)}."
        )
    elif (clocks.within or 0.0) > _WORTH_SAYING:
        said.append(
            f"The workers' times may be {_seconds(clocks.within)} off the master's: nearer it was not measured."
        )
    if clocks.unknown:
        said.append(
            f"How far the clocks of {', '.join(clocks.unknown)} are from the master's is not known: what was inferred from "
            "all workers together may mix two clocks."
        )
    return said


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "an unknown time"
    return f"{rounded(seconds)} s" if seconds >= 1 else f"{rounded(1000 * seconds)} ms"
