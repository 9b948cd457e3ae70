"""Says up to how many open chats the other side answered in time."""

from harness.counting import counted
from reports.capacity.answered.model import Knee
from reports.wording.numbers import percent, seconds


def knee_sentence(knee: Knee) -> str:
    """The most open chats at which replies come in time."""
    goal = f"{percent(knee.share)} of the replies within {seconds(knee.goal)}"
    if knee.open_chats is not None:
        between = "" if knee.low == knee.high else f" ({knee.low:,} to {knee.high:,})"
        return f"Up to {counted(knee.open_chats, 'open chat')}{between} the other side gave {goal}; beyond that it did not."
    if knee.low is not None:
        return f"The other side gave {goal} with up to {counted(knee.low, 'open chat')}, the most of this run."
    return f"The other side did not give {goal} at any number of open chats."
