"""The user class of the quota probe, and what a session has of it in place of arrivals."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from locust import User, constant, task

from harness.errors import EXIT_GUARD, EXIT_INVALID
from harness.load.run.host import RunPart, coordinator_of
from harness.vocabulary import PROBE_FAILED

if TYPE_CHECKING:  # scipy and the inference are loaded when a probe begins: most runs have none
    from harness.load.probe.journey_prober import JourneyProber
    from harness.load.probe.prober import Prober
    from harness.load.session.session import Journey, Session

logger = logging.getLogger(__name__)


class QuotaProbe(User):
    """Finds the limits by adaptive probing and ends the run when it knows them.

    One user probes, however many there are; with several workers it is the only user's worker or the first one.
    """

    wait_time = constant(3600)

    @classmethod
    def journey(cls, session: Session) -> Journey:
        """Return what a session has in place of arrivals: a prober, once the first user is there."""
        return Probing(session)

    def on_start(self) -> None:
        """Probe, unless another user of this run already does."""
        coordinator = coordinator_of(self.environment)
        session = coordinator.session
        self._prober: Prober | JourneyProber | None = None
        if session is None or not isinstance(session.journey, Probing) or session.journey.prober is not None:
            return
        alone = getattr(self.environment.parsed_options, "num_users", None) in (None, 1)
        if session.part.workers > 1 and session.part.index != 0 and not alone:
            return
        self._prober = session.journey.begin(lambda why: _end(coordinator, why))

    def on_stop(self) -> None:
        """Send nothing more."""
        if self._prober is not None:
            self._prober.end()

    @task
    def probe(self) -> None:
        """Nothing to do: the prober sends the calls."""


def _end(coordinator: RunPart, why: str) -> None:
    if why == "max_chats":
        coordinator.end_run("budget", EXIT_GUARD)
    elif why == PROBE_FAILED:
        logger.error("the probe has failed: a fault of chatquota's; what was recorded until then is kept and reported")
        coordinator.end_run(PROBE_FAILED, EXIT_INVALID)
    else:
        coordinator.end_run("probe")


class Probing:
    """The probe of one session, which sends by itself and has no arrivals."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.prober: Prober | JourneyProber | None = None

    def begin(self, done: Callable[[str], None]) -> Prober | JourneyProber:
        """Begin to probe; `done(why)` is called at the probe's own end."""
        from harness.load.probe.prober import begin

        self.prober = begin(self._session, done)
        return self.prober

    def arrive(self, due: float) -> None:
        """Do nothing: users of a probe add nothing to the offered rate."""

    def close(self) -> None:
        """Send nothing more."""
        if self.prober is not None:
            self.prober.end()
