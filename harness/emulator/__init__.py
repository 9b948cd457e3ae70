"""A local Amazon Connect chat with known limits: the harness's default target, and a stand-in to test chat code on.

It speaks the wire of Amazon Connect and of its Participant Service, and imports nothing of the rest of the harness:
they meet on the wire only, so a mistake that both sides share cannot hide itself.
"""
