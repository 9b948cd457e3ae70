"""Two greenlets end Locust at once, then the main one: prints who came how far. A process of its own: it imports Locust."""

import gevent
from locust.env import Environment

from harness.load.run.host import Host
from harness.plugin.signals import Endings


class Part:
    """A part of a run with nothing to end."""

    exit_code: int | None = None
    abandoned = False
    ending = False

    def begin(self) -> None:
        """Nothing to start."""

    def finish(self, why: str) -> None:
        """Nothing to stop."""

    def abandon(self) -> None:
        """Nothing to leave."""

    def end_run(self, why: str, exit_code: int | None = None) -> None:
        """No run to end."""


environment = Environment()
Endings(Host(environment), Part())
environment.events.quit.add_listener(lambda **_: print("listener"))


def shutdown(name: str) -> None:
    """Do as Locust does at its end."""
    environment.events.quit.fire(exit_code=0)
    print("exit of", name)


gevent.joinall([gevent.spawn(shutdown, "the first"), gevent.spawn(shutdown, "the second")], raise_error=True)
shutdown("the main one")
