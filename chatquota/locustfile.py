"""What `chatquota run` loads: the users of Amazon Connect chat, and the harness that records what they do."""

from chatquota import ChatConversation, QuotaProbe, StartChat

__all__ = ["ChatConversation", "QuotaProbe", "StartChat"]
