"""The end of one process's part of a run: no further call, and its chats stopped."""

from harness.load.session.session import Session
from harness.load.stopping.progress import drain_progress


def end_session(session: Session, quiet: bool = False) -> None:
    """Stop offering, wait for the calls on the wire, and stop the chats, with a progress bar unless `quiet`."""
    session.stop_arrivals()
    if quiet:
        session.drain(lambda done, total: None)
        return
    with drain_progress() as progress:
        session.drain(progress)
