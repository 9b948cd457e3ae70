"""A run in one process: it offers the load and writes the directory."""

from harness.connect.target import Target
from harness.load.options.options import Settings
from harness.load.run.coordinator import Coordinator
from harness.load.run.host import Host
from harness.load.run.manifest import RunRecord
from harness.load.session.budget import Budget
from harness.load.session.ending import end_session
from harness.load.session.session import Listeners, Part, Session
from harness.recording.summary import Summary


class LocalCoordinator(Coordinator):
    """Runs and records in this process."""

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.session: Session | None = None
        self._session_ending: Session | None = None

    def _begin_load(self, record: RunRecord, settings: Settings, target: Target) -> None:
        self.session = Session(
            settings,
            target,
            Part(record.run_id, record.directory),
            Budget(settings.max_chats),
            Listeners(self.host.report, self.on_hopeless, self.on_budget_spent, self.on_trouble),
            self.host.journey_of(record.user_class),
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

    def parts(self) -> list[Summary]:
        """Return what this process has done so far."""
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
