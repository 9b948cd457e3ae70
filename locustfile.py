"""What `locust` loads: the users of Amazon Connect chat, and the harness that records what they do."""

from locust import events  # before anything that imports boto3: Locust must patch the sockets first

from harness.load.hooks import install
from harness.load.probe import QuotaProbe
from harness.load.users import ChatConversation, StartChat

__all__ = ["ChatConversation", "QuotaProbe", "StartChat"]

install(events)
