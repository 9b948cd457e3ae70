"""What a contact flow does with a chat: what it says, whom it calls, and whether it ends the chat by itself.

Reads the Amazon Connect Flow language (https://docs.aws.amazon.com/connect/latest/APIReference/flow-language.html).
"""

from __future__ import annotations

import re
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
_ALIAS_ARN = re.compile(r"arn:[\w-]+:lex:[\w-]+:\d+:bot-alias/(\w+)/(\w+)")
_FUNCTION_ARN = re.compile(r"arn:[\w-]+:lambda:[\w-]+:\d+:function:([\w-]+)(?::[\w$-]+)?")
_TEST_ALIAS, _CLASSIC_TEST_ALIAS = "TSTALIASID", "$LATEST"


class _Branch(msgspec.Struct, rename="pascal"):
    next_action: str = ""


class _Transitions(msgspec.Struct, rename="pascal"):
    next_action: str = ""
    conditions: list[_Branch] = []
    errors: list[_Branch] = []


class _LexV2Bot(msgspec.Struct, rename="pascal"):
    alias_arn: str = ""


class _LexBot(msgspec.Struct, rename="pascal"):
    name: str = ""
    alias: str = ""


class _Named(msgspec.Struct, rename="pascal"):
    lex_v2_bot: _LexV2Bot | None = msgspec.field(default=None, name="LexV2Bot")
    lex_bot: _LexBot | None = None
    function: str = msgspec.field(default="", name="LambdaFunctionARN")


class _Action(msgspec.Struct, rename="pascal"):
    identifier: str
    type: str
    parameters: msgspec.Raw = msgspec.Raw(b"{}")
    transitions: _Transitions = msgspec.field(default_factory=_Transitions)


class _Flow(msgspec.Struct, rename="pascal"):
    start_action: str
    actions: list[_Action] = []


@dataclass(frozen=True)
class Bot:
    """A bot's alias that a flow names: by ids (Lex V2) or by names (Lex V1, as the `classic` ones are)."""

    bot: str
    alias: str
    classic: bool = False

    @property
    def is_for_tests(self) -> bool:
        """Whether it is the alias that Lex makes for tests, which serves two conversations at once."""
        return self.alias == (_CLASSIC_TEST_ALIAS if self.classic else _TEST_ALIAS)


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
    bots: tuple[Bot, ...] = ()
    functions: tuple[str, ...] = ()
    """The bots and the Lambda functions that it names; those that it takes from an attribute are not among them."""


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
        bots=tuple(dict.fromkeys(bot for name in reached if (bot := _bot(actions[name])) is not None)),
        functions=tuple(dict.fromkeys(one for name in reached if (one := _function(actions[name])))),
    )


def _named(action: _Action) -> _Named:
    try:
        return msgspec.json.decode(action.parameters, type=_Named)
    except msgspec.MsgspecError:
        return _Named()


def _bot(action: _Action) -> Bot | None:
    if action.type != "ConnectParticipantWithLexBot":
        return None
    named = _named(action)
    if named.lex_v2_bot is not None and (match := _ALIAS_ARN.fullmatch(named.lex_v2_bot.alias_arn)):
        return Bot(match[1], match[2])
    if named.lex_bot is not None and named.lex_bot.name and "$" not in named.lex_bot.name + named.lex_bot.alias:
        return Bot(named.lex_bot.name, named.lex_bot.alias or _CLASSIC_TEST_ALIAS, classic=True)
    return None


def _function(action: _Action) -> str:
    """Return the name of the function that an action calls, without version or alias."""
    if action.type != "InvokeLambdaFunction":
        return ""
    match = _FUNCTION_ARN.fullmatch(_named(action).function)
    return match[1] if match else ""


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
