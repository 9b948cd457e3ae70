"""Hooks the harness into Locust. A locustfile calls `install(events)`; nothing else imports this package."""

from harness.plugin.locust_hooks import install

__all__ = ["install"]
