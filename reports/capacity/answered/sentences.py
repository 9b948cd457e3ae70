"""Says up to how many open chats the other side answered in time, and whether agents came."""

from harness.counting import counted
from reports.capacity.answered.model import Agents, Knee
from reports.wording.numbers import percent, seconds, share


def knee_sentence(knee: Knee) -> str:
    """The most open chats at which replies come in time."""
    goal = f"{percent(knee.share)} of the replies within {seconds(knee.goal)}"
    if knee.open_chats is not None:
        between = "" if knee.low == knee.high else f" ({knee.low:,} to {knee.high:,})"
        return f"Up to {counted(knee.open_chats, 'open chat')}{between} the other side gave {goal}; beyond that it did not."
    if knee.low is not None:
        return f"The other side gave {goal} with up to {counted(knee.low, 'open chat')}, the most of this run."
    return f"The other side did not give {goal} at any number of open chats."


def agents_sentences(found: Agents | None) -> list[str]:
    """Say how many chats met an agent, and what became of those that were handed on; nothing where nobody saw one."""
    if found is None:
        return []
    told = []
    if found.joined_chats:
        took = found.first_joined_ms
        half = "" if took is None else f", half of them within {_took(took.p50)} of the subscription"
        of_all = f"{found.joined_chats:,} of {counted(found.subscribed, 'chat')}"
        told.append(f"An agent joined {of_all}: {share(found.joined_chats, found.subscribed)}{half}.")
    if found.transfers:
        chats = counted(found.transferred_chats, "chat was", "chats were")
        more = "" if found.transfers == found.transferred_chats else f", {found.transfers:,} times in all"
        sooner = "" if found.next_joined_ms is None else f"; p95 until the next agent {_took(found.next_joined_ms.p95)}"
        told.append(f"{chats} transferred{more}{sooner}.")
    if found.not_taken_over:
        told.append(
            f"After {counted(found.not_taken_over, 'transfer')} no agent had joined when the chat or the run ended."
        )
    return told


def _took(milliseconds: float | None) -> str:
    return "?" if milliseconds is None else seconds(milliseconds / 1000)
