"""What Ctrl-C, SIGTERM and a terminal that goes away do to a run: it is ended in order, whatever Locust waits for."""

import logging
import os
import signal

import gevent

from harness.errors import EXIT_GUARD, EXIT_INVALID
from harness.load.run.host import Host, RunPart

logger = logging.getLogger(__name__)

_LOCUSTS_TURN = 0.1
"""Seconds in which Locust's own handler of a signal, where it has one by then, begins to quit."""


class Endings:
    """Ends the part of a run in this process, when Locust quits and at signals.

    The first Ctrl-C ends the run in order, the second leaves chats to `chatquota cleanup`, the third exits. Python's own
    handler would raise KeyboardInterrupt in whichever greenlet runs just then, such as one that has a chat's id in its hand
    and has not written it down yet. SIGTERM ends the run in order, and further ones are without effect: to Locust each is a
    reason to end anew, beside the ending that is under way or in the middle of Python's own.
    """

    def __init__(self, host: Host, part: RunPart) -> None:
        self._host = host
        self._part = part
        self._leaving = False
        self._ended = False
        self._quit = False
        host.listen("quitting", self._finish)
        host.listen("quit", self._quit_once)

    def attach(self) -> None:
        """Take the signals. To be called last: Locust's events of the end reach those first who listen last."""
        self._host.listen("quitting", self._note_leaving)
        self._host.listen("quit", self._take_no_sigterm)
        gevent.signal_handler(signal.SIGINT, self._interrupt)
        gevent.signal_handler(signal.SIGTERM, self._terminate)
        # Unhandled, the end of an SSH session would leave every chat open. Under `nohup` it stays without effect.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            gevent.signal_handler(signal.SIGHUP, signal.raise_signal, signal.SIGTERM)

    def _note_leaving(self) -> None:
        self._leaving = True

    def _finish(self) -> None:
        self._leaving = True
        self._part.finish("signal")
        self._ended = True
        if self._part.exit_code is not None:
            self._host.exit_with(self._part.exit_code)

    def _quit_once(self) -> None:
        """Let Locust end in one greenlet: where a signal meets the end of a run it does so in two, and the second SystemExit
        would reach Python's own ending, which prints it as a traceback.
        """
        if self._quit and gevent.getcurrent() is not gevent.get_hub().parent:
            raise gevent.GreenletExit
        self._quit = True

    def _interrupt(self) -> None:
        if not self._leaving:
            self._leave()
        elif self._ended:
            pass  # Locust is on its way out
        elif not self._part.abandoned:
            logger.warning("leaving the chats that are still open; the ledger knows them")
            self._part.abandon()
        else:
            logger.error("exiting at once; `chatquota cleanup` brings the run in order")
            os._exit(EXIT_INVALID)

    def _terminate(self) -> None:
        self._take_no_sigterm()
        # Locust has a handler of its own, but while it follows a load shape or waits for workers it has none yet.
        gevent.sleep(_LOCUSTS_TURN)
        if not self._leaving:
            self._leave()

    def _take_no_sigterm(self) -> None:
        signal.signal(signal.SIGTERM, lambda *_: None)  # not SIG_IGN, which child processes would inherit

    def _leave(self) -> None:
        """End the run, if one is on, and let Locust's main greenlet end."""
        self._leaving = True
        hub = gevent.get_hub()
        if self._host.waits_for_workers:
            logger.error("ended before its workers came; nothing was started")
            self._host.leave()
            hub.handle_system_error(SystemExit, SystemExit(EXIT_GUARD))
            return
        gevent.spawn(self._part.finish, "signal")  # before Locust stops the load, for which it knows other reasons
        gevent.sleep(0)
        if not self._quit:
            hub.handle_system_error(KeyboardInterrupt, KeyboardInterrupt())  # raised in the main greenlet
