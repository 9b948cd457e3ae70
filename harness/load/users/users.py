"""Locust users: what a user of each class does to Amazon Connect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from locust import User, constant, task

from harness.load.run.host import coordinator_of

if TYPE_CHECKING:  # a session is loaded when a run begins
    from harness.load.session.session import Journey, Session


class OfferedLoad(User):
    """A unit of offered load: one chat start per second (`--starts-per-user`), in open arrivals.

    Users only add to the rate. One schedule in each process sends the calls, so users never fire in step and a slow
    answer never delays the next start.
    """

    abstract = True

    # Always waiting, so that Locust can stop a user at once and gracefully alike.
    wait_time = constant(3600)

    def on_start(self) -> None:
        """Add this user to the offered rate."""
        self._session = coordinator_of(self.environment).session
        if self._session is not None:
            self._session.add_users(1)

    def on_stop(self) -> None:
        """Take this user from the offered rate."""
        if self._session is not None:
            self._session.add_users(-1)

    @task
    def offer(self) -> None:
        """Nothing to do: the schedule sends the calls."""


class StartChat(OfferedLoad):
    """Starts chats: one chat start per second and user (`--starts-per-user`), each stopped after its `--hold`."""


class ChatConversation(OfferedLoad):
    """Starts chats as StartChat does, and each started chat has a customer: connects, writes, reads, and leaves."""

    @classmethod
    def journey(cls, session: Session) -> Journey:
        """Return what is done at an arrival: a conversation begins."""
        from harness.load.conversation.crowd import Conversations

        return Conversations(session)
