"""Run by its test, as Locust patches the whole process: ends as Locust's master does, long after a worker was killed."""

import atexit
import os

import gevent
import gevent.os
import locust  # noqa: F401 (patches, as in a master)

from harness.load.distributed.connections import forget_gone_children

gevent.get_hub().loop.install_sigchld()  # before the fork: an end that came before gevent looks for any would never be noted
child = gevent.fork()
if not child:
    os._exit(3)


def ending() -> None:
    """What Locust does with each of its workers when the interpreter ends."""
    print("ended", os.waitpid(child, os.WNOHANG) == (child, 0))


atexit.register(ending)
forget_gone_children()
while gevent.os._watched_children.get(child) is None or not isinstance(gevent.os._watched_children[child], tuple):
    gevent.sleep(0.01)
gevent.os._reap_children(timeout=-1)  # what it does a minute later
