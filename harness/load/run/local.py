"""A run in one process: it offers the load and writes the directory."""

from typing import Any

from harness.connect.target import Target
from harness.load.options.options import Settings
from harness.load.run.coordinator import Coordinator
from harness.load.run.manifest import RunRecord
from harness.load.session.locust_statistics import reporter
from harness.load.session.session import Part, Session
from harness.load.stopping.progress import drain_progress


class LocalCoordinator(Coordinator):
    """Runs and records in this process."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.session: Session | None = None
        self._session_ending: Session | None = None

    def _begin_load(self, record: RunRecord, settings: Settings, target: Target) -> None:
        self.session = Session(
            settings,
            target,
            Part(record.run_id, record.directory),
            settings.max_chats,
            reporter(self.environment.events.request.fire),
            self.on_hopeless,
            self.on_budget_spent,
            on_trouble=self.on_trouble,
        )

    def _end_load(self) -> None:
        session, record = self.session, self.record
        assert session is not None
        assert record is not None
        self.session, self._session_ending = None, session
        try:
            end_session(session)
        finally:
            session.close()
            record.parts[session.part.worker] = session.summary()

    def parts(self) -> list[dict[str, Any]]:
        """What this process has done so far."""
        session = self.session or self._session_ending
        return [session.summary()] if self.record is not None and session is not None else []

    def _leave_chats(self) -> None:
        for session in (self.session, self._session_ending):
            if session is not None:
                session.abandon()

    def abandon(self) -> None:
        """Do not wait for the chats that are still open."""
        super().abandon()
        if self._session_ending is not None:
            self._session_ending.abandon()


def end_session(session: Session, quiet: bool = False) -> None:
    """Stop offering, wait for the calls on the wire, and stop the chats, with a progress bar unless `quiet`."""
    session.stop_arrivals()
    if quiet:
        session.drain(lambda done, total: None)
        return
    with drain_progress() as progress:
        session.drain(progress)
