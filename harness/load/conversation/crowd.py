"""All conversations of one process: what they share, and how they end together."""

import random
from dataclasses import dataclass
from typing import Any

import gevent

from harness import __version__
from harness.connect.participant_socket import ParticipantSocket, Pulse
from harness.durations import Hold
from harness.load.conversation.conversation import Conversation
from harness.load.options.options import Settings
from harness.load.session.session import Session
from harness.vocabulary import STARTED


@dataclass(frozen=True)
class Script:
    """What each customer does: `messages` of them, `think` seconds before each, whether typing is announced, whether the
    transcript is read, and whether the customer `disconnects` (otherwise the chat is ended with StopContact)."""

    messages: int
    think: Hold
    typing: bool = True
    transcript: bool = True
    disconnects: bool = True

    @classmethod
    def of(cls, settings: Settings) -> "Script":
        """The script that the options ask for."""
        steps = settings.conversation.split(",")
        messages = settings.messages if "messages" in steps else 0
        return cls(messages, settings.think_time, "typing" in steps, "transcript" in steps, "disconnect" in steps)


class Conversations:
    """The conversations of one session. `arrive` is the session's journey: it starts a chat and sets its customer to work.

    A chat start counts against `--max-in-flight` for as long as its call lasts, its conversation does not.
    """

    def __init__(self, session: Session, script: Script) -> None:
        self.session = session
        self.script = script
        target = session.target
        self.timeout = session.settings.call_timeout
        self.ca_bundle = target.ca_bundle
        self.bare_429 = session.settings.treat_bare_429_as
        self.client = target.participant_client(f"chatquota/{__version__}", self.timeout, self.bare_429)
        self.pulse = Pulse()
        self.sockets: set[ParticipantSocket] = set()
        self.reconnects = 0
        self.closing = False
        self._live: set[Conversation] = set()
        self._rng = random.Random(f"conversation/{session.settings.workload.seed}/{session.part.index}")
        session.before_drain.append(self.close)

    def arrive(self, due: float) -> None:
        """Start a chat that was due at `due` (unix seconds), and its conversation if it was admitted."""
        chat = self.session.drawer.draw()
        # Drawn in the order of the arrivals, so that answers that overtake each other change no script.
        rng = random.Random(self._rng.random())
        reply = self.session.start_chat(due, chat, hold=False)
        if reply is not None and reply.outcome == STARTED and not self.closing:
            conversation = Conversation(self, reply, chat, rng)
            self._live.add(conversation)
            gevent.spawn(self._live_through, conversation)

    def _live_through(self, conversation: Conversation) -> None:
        try:
            conversation.run()
        finally:
            self._live.discard(conversation)

    def close(self) -> None:
        """End all conversations: sockets are closed, what is on the wire may end, the chats are left to the session."""
        self.closing = True
        for number, conversation in enumerate(tuple(self._live)):
            conversation.close()
            if number % 100 == 99:
                gevent.sleep(0)  # thousands of sockets must not keep a worker from its other duties
        with gevent.Timeout(self.timeout + 1, False):
            while self._live:
                gevent.sleep(0.02)
        self.pulse.close()

    def state(self) -> dict[str, Any]:
        """Figures of the moment: conversations under way, open sockets, reconnects so far."""
        return {"conversations": len(self._live), "sockets": len(self.sockets), "reconnects": self.reconnects}
