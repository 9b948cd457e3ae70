"""What a contact flow does with a chat: what it says, whom it calls, and whether it ends the chat by itself.

Reads the Amazon Connect Flow language (https://docs.aws.amazon.com/connect/latest/APIReference/flow-language.html).
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

_SAYS = frozenset(
    {
        "MessageParticipant",
        "MessageParticipantIteratively",
        "GetParticipantInput",
        "ConnectParticipantWithLexBot",
        "ShowView",
    }
)
_WAITS = frozenset({"Wait", "GetParticipantInput", "ConnectParticipantWithLexBot", "ShowView"})
_ENDS = frozenset({"DisconnectParticipant", "EndFlowExecution"})
_QUEUES = frozenset({"TransferContactToQueue", "TransferContactToAgent"})
_ELSEWHERE = frozenset({"TransferToFlow", "InvokeFlowModule"})
_MOST_ACTIONS = 5_000


class _Branch(msgspec.Struct, rename="pascal"):
    next_action: str = ""


class _Transitions(msgspec.Struct, rename="pascal"):
    next_action: str = ""
    conditions: list[_Branch] = []
    errors: list[_Branch] = []


class _Action(msgspec.Struct, rename="pascal"):
    identifier: str
    type: str
    transitions: _Transitions = msgspec.field(default_factory=_Transitions)


class _Flow(msgspec.Struct, rename="pascal"):
    start_action: str
    actions: list[_Action] = []


@dataclass(frozen=True)
class FlowContent:
    """What the actions that a chat can reach do. Counts are of actions; `messages` is on the way without errors."""

    messages: int
    lex_bots: int
    lambdas: int
    queues: int
    waits: int
    elsewhere: int
    """Actions that go on in another flow or module, which is not read."""
    ends: bool
    """Whether the way without errors ends the chat without waiting for anybody."""


def read_flow(content: str) -> FlowContent:
    """Return what a flow's content does. Raises ValueError where it is not a flow."""
    try:
        flow = msgspec.json.decode(content.encode(), type=_Flow)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"the flow's content cannot be read: {error}") from error
    actions = {action.identifier: action for action in flow.actions[:_MOST_ACTIONS]}
    reached = _reachable(flow.start_action, actions)
    types = [actions[name].type for name in reached]
    way = _way(flow.start_action, actions)
    last = actions[way[-1]].type if way else ""
    held = any(actions[name].type in _WAITS | _QUEUES | _ELSEWHERE for name in way)
    return FlowContent(
        messages=sum(actions[name].type in _SAYS for name in way),
        lex_bots=types.count("ConnectParticipantWithLexBot"),
        lambdas=types.count("InvokeLambdaFunction"),
        queues=sum(kind in _QUEUES for kind in types),
        waits=sum(kind in _WAITS for kind in types),
        elsewhere=sum(kind in _ELSEWHERE for kind in types),
        ends=last in _ENDS and not held,
    )


def _reachable(start: str, actions: dict[str, _Action]) -> list[str]:
    seen: dict[str, None] = {}
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in actions:
            continue
        seen[name] = None
        after = actions[name].transitions
        waiting += [after.next_action, *(branch.next_action for branch in (*after.conditions, *after.errors))]
    return list(seen)


def _way(start: str, actions: dict[str, _Action]) -> list[str]:
    """Return the actions that follow each other where no error and no condition turns the chat aside."""
    way: list[str] = []
    name = start
    while name in actions and name not in way:
        way.append(name)
        name = actions[name].transitions.next_action
    return way


def flow_sentence(content: FlowContent) -> str:
    """Say what a chat in this flow costs and whether it ends by itself."""
    parts = [f"{content.messages} prompt{'s' * (content.messages != 1)} for each chat"]
    for count, one, many in (
        (content.lex_bots, "Lex bot", "Lex bots"),
        (content.lambdas, "Lambda call", "Lambda calls"),
        (content.queues, "transfer to a queue or agent", "transfers to queues or agents"),
        (content.waits, "wait", "waits"),
        (content.elsewhere, "other flow or module (not read)", "other flows or modules (not read)"),
    ):
        if count:
            parts.append(f"{count} {one if count == 1 else many}")
    ending = "the flow ends the chat by itself" if content.ends else "the chat stays open until somebody ends it"
    return ", ".join(parts) + f"; {ending}"
