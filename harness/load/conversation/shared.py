"""What all conversations of one process share: the session, the client, open sockets, patience."""

import re

from harness import __version__
from harness.connect.waiting import TimedCalls
from harness.connect.websocket.participant_socket import ParticipantSocket
from harness.connect.websocket.pulse import Pulse
from harness.load.conversation.patience import Patience
from harness.load.session.session import Session


class Shared:
    """Made once for the conversations of `session`; `closing` is set when they are to end."""

    def __init__(self, session: Session) -> None:
        self.session = session
        settings, target = session.settings, session.target
        self.timeout = settings.call_timeout
        self.ca_bundle = target.ca_bundle
        self.bare_429 = settings.treat_bare_429_as
        self.client = target.participant_client(f"chatquota/{__version__}", self.timeout, self.bare_429)
        self.patience = Patience(settings.await_replies, settings.reply_timeout)
        self.queue_message = re.compile(settings.queue_message) if settings.queue_message else None
        self.deadlines = TimedCalls()
        self.pulse = Pulse()
        self.sockets: set[ParticipantSocket] = set()
        self.reconnects = 0
        self.closing = False
