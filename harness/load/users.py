"""Locust users: what a user of each class does to Amazon Connect."""

from typing import Any

from locust import User, constant, task

from harness.load.hooks import coordinator_of


class StartChat(User):
    """A unit of offered load: one chat start per second (`--starts-per-user`), in open arrivals.

    Users only add to the rate. One schedule in each process sends the calls, so users never fire in step and a slow
    answer never delays the next start.
    """

    # Always waiting, so that Locust can stop a user at once and gracefully alike.
    wait_time = constant(3600)

    def on_start(self) -> None:
        """Add this user to the offered rate."""
        self._session: Any = coordinator_of(self.environment).session
        if self._session is not None:
            self._session.add_users(1)

    def on_stop(self) -> None:
        """Take this user from the offered rate."""
        if self._session is not None:
            self._session.add_users(-1)

    @task
    def offer(self) -> None:
        """Nothing to do: the schedule sends the calls."""
