"""Load profiles as Locust shapes: the users of a run follow a curve.

A LoadTestShape in a locustfile would be used by every run, so this one is attached to the environment of a run that asks
for it and never imported there.
"""

from locust import LoadTestShape
from locust.env import Environment

from harness.load.options.load_profile import Curve, parse_curve
from harness.load.run.host import Host, coordinator_of


class CurveShape(LoadTestShape):
    """Follows `curve`: its peak is `--users`, its end the run's, or `--run-time` where that comes first."""

    # Leaves Locust's own fields for users and run time in use, and its form enabled.
    use_common_options = True

    def __init__(self, curve: Curve, environment: Environment) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._curve = curve
        self._environment = environment
        self.runner = environment.runner
        self._last: tuple[int, float] = (1, 1.0)

    def tick(self) -> tuple[int, float] | None:
        """How many users there are to be now, and how fast to get there; None at the end."""
        options = Host(self._environment).options
        if coordinator_of(self._environment).ending:  # Locust ends the shape only once the run's chats are stopped
            return self._last
        elapsed: float = self.get_run_time()  # type: ignore[no-untyped-call]
        if elapsed >= self._curve.seconds or (options.run_time and elapsed >= options.run_time):
            return None
        level = self._curve.at(elapsed)
        per_level = 1 / options.starts_per_user if self._curve.absolute else options.num_users or 1
        users = round(level * per_level)
        users = max(users, 1)  # a test without any user is none for Locust
        # Reached within the second until the next tick, on the way down as on the way up.
        self._last = (users, float(max(users, self._last[0])))
        return self._last


def attach_shape(environment: Environment, text: str) -> None:
    """Let the next run follow the `--load-shape` `text`, or no shape for "". Raises ValueError for a wrong one."""
    environment.shape_class = CurveShape(parse_curve(text), environment) if text else None
