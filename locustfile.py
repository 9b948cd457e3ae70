"""What `locust` loads: the users of Amazon Connect chat, and the harness that records what they do."""

from locust import events  # before anything that imports boto3: Locust must patch the sockets first

from harness.load.probe.user import QuotaProbe
from harness.load.users.users import ChatConversation, StartChat
from harness.plugin import install

__all__ = ["ChatConversation", "QuotaProbe", "StartChat"]

install(events)
