"""All conversations of one process: how they begin, and how they end together."""

import random
from typing import Any

import gevent
from gevent import get_hub

from harness.load.arrivals.greenlets import Crew
from harness.load.conversation.conversation import Conversation
from harness.load.conversation.shared import Shared
from harness.load.options.options import Settings
from harness.load.session.session import Session
from harness.load.workload.scripts import Script, Scripts, Turn
from harness.vocabulary import STARTED


def script_of(settings: Settings) -> Script:
    """Return the script of chats for which the workload has none: what the options ask for."""
    steps = settings.conversation.split(",")
    messages = settings.messages if "messages" in steps else 0
    typing = "typing" in steps
    turns = [
        Turn(wait_for="reply" if number else "greeting", typing=typing, think=settings.think_time, small_talk=True)
        for number in range(messages)
    ]
    turns.append(Turn(wait_for="reply" if messages else "greeting"))
    return Script(
        "",
        tuple(turns),
        transcript="transcript" in steps,
        leave="disconnect" if "disconnect" in steps else "stop",
        firm=False,
    )


class Conversations:
    """The conversations of one session. `arrive` is the session's journey: it starts a chat and sets its customer to work.

    A chat start counts against `--max-in-flight` for as long as its call lasts, its conversation does not.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.shared = Shared(session)
        workload = session.settings.workload
        kinds = [kind.name for kind in workload.kinds]
        self._scripts = Scripts(workload.conversations, kinds, script_of(session.settings))
        self._live: set[Conversation] = set()
        self._crew = Crew(self._live_through)
        self._loop: Any = get_hub().loop
        self._rng = random.Random(f"conversation/{workload.seed}/{session.part.index}")

    def arrive(self, due: float) -> None:
        """Start a chat that was due at `due` (unix seconds), and its conversation if it was admitted."""
        chat = self.session.drawer.draw()
        # Drawn in the order of the arrivals, so that answers that overtake each other change no script.
        rng = random.Random(self._rng.random())
        script = self._scripts.draw(chat.kind, rng)
        reply = self.session.start_chat(due, chat, hold=False)
        if reply is not None and reply.outcome == STARTED and not self.shared.closing:
            conversation = Conversation(self.shared, reply, chat, script, rng)
            self._live.add(conversation)
            self._loop.run_callback(self._crew.hand, conversation)

    def _live_through(self, conversation: Conversation) -> None:
        try:
            conversation.run()
        finally:
            self._live.discard(conversation)

    def close(self) -> None:
        """End all conversations: sockets are closed, what is on the wire may end, the chats are left to the session."""
        self.shared.closing = True
        for number, conversation in enumerate(tuple(self._live)):
            conversation.close()
            if number % 100 == 99:
                gevent.sleep(0)  # thousands of sockets must not keep a worker from its other duties
        with gevent.Timeout(self.shared.timeout + 1, False):
            while self._live:
                gevent.sleep(0.02)
        self._crew.dismiss()
        self.shared.pulse.close()
        self.shared.deadlines.close()

    def state(self) -> dict[str, Any]:
        """Figures of the moment: conversations under way, open sockets, reconnects so far."""
        shared = self.shared
        return {"conversations": len(self._live), "sockets": len(shared.sockets), "reconnects": shared.reconnects}
