"""The user classes of a locustfile; importing this hooks the harness into Locust."""

import sys
from pathlib import Path

from locust import events  # before anything that imports boto3: Locust must patch the sockets first

# A locustfile's own directory stands first on sys.path while Locust loads it, and may hold a `harness` of its own.
_HOME = str(Path(__file__).resolve().parent.parent)
if "harness" in sys.modules and not str(sys.modules["harness"].__file__).startswith(_HOME):
    raise ImportError(
        f"another package named 'harness' is loaded ({sys.modules['harness'].__file__}); import chatquota before it"
    )
sys.path.insert(0, _HOME)
try:
    from harness.load.probe.user import QuotaProbe
    from harness.load.users.users import ChatConversation, StartChat
    from harness.plugin import install
finally:
    sys.path.remove(_HOME)

__all__ = ["ChatConversation", "QuotaProbe", "StartChat"]

install(events)
