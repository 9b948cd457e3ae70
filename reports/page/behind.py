"""Says in words what CloudWatch counted behind the chats, and what to do about errors and throttles."""

from harness.counting import counted
from reports.capacity.answered.model import Answered, Behind
from reports.capacity.model import Capacity
from reports.wording.numbers import number

_MOST = 3
_WORDS = {
    "RuntimeThrottledEvents": ("the Lex bot {of} throttled {count}", "request", "requests"),
    "RuntimeSystemErrors": ("the Lex bot {of} failed {count}", "request", "requests"),
    "Throttles": ("the Lambda function {of} was throttled {count}", "time", "times"),
    "Errors": ("the Lambda function {of} failed {count}", "time", "times"),
    "ContactFlowErrors": ("the flow {of} took an error branch {count}", "time", "times"),
    "ContactFlowFatalErrors": ("the flow {of} broke off {count}", "time", "times"),
    "QueueCapacityExceededError": ("the queue {of} was too full for {count}", "contact", "contacts"),
}
_LEVELS = {"RuntimeThrottledEvents": "RuntimeConcurrency", "Throttles": "ConcurrentExecutions"}
"""How much was under way at once where something was throttled."""
_FLOW = "its flow log (CloudWatch Logs, where logging is on for the instance) says in which block and why"
_TO_DO = {
    "RuntimeThrottledEvents": "ask for more of Lex's quota of concurrent conversations, or send it fewer chats at once",
    "RuntimeSystemErrors": "Lex itself failed; ask AWS support if it goes on",
    "Throttles": "raise its reserved concurrency, or the account's quota of concurrent executions",
    "Errors": "its log says why",
    "ContactFlowErrors": _FLOW,
    "ContactFlowFatalErrors": _FLOW,
    "QueueCapacityExceededError": "raise the queue's limit of contacts, or have more agents take chats from it",
}


def troubles_of(found: Answered) -> list[Behind]:
    """Return the errors and throttles that were counted, the largest number of each kind before further ones of a kind."""
    some = sorted((one for one in found.behind if one.is_trouble and one.value), key=lambda one: -one.value)
    first = {one.metric: one for one in reversed(some)}
    return sorted(some, key=lambda one: first[one.metric] is not one)


def trouble_words(metric: str, of: str, value: float) -> str:
    """Say so many errors or throttles of one thing: "the Lex bot B/LIVE throttled 13 requests"."""
    if metric not in _WORDS:
        return f"{number(value)} {metric} of {of}"
    text, one, many = _WORDS[metric]
    return text.format(of=of, count=counted(number(value), one, many))


def behind_sentences(found: Answered) -> list[str]:
    """Say what failed behind the chats, or that nothing did, and what of it is not known."""
    troubles = troubles_of(found)
    told = [
        f"During the run {trouble_words(one.metric, one.of, one.value)} (CloudWatch's {one.metric})."
        for one in troubles[:_MOST]
    ]
    if len(troubles) > _MOST:
        told.append(
            f"{counted(len(troubles) - _MOST, 'more count', 'more counts')} of errors and throttles: see the table."
        )
    if found.behind and not troubles:
        told.append("CloudWatch counted no error and no throttle of flows, queues, bots and functions during the run.")
    if found.behind_unknown:
        told.append(f"Not all that stands behind the chats is known: {found.behind_unknown}.")
    return told


def behind_advice(answer: Capacity) -> list[str]:
    """Return what to do about the largest errors and throttles behind the chats, one of each kind."""
    if answer.answered is None:
        return []
    levels = {(series.metric, series.of): series.value for series in answer.answered.behind}
    lines: dict[str, str] = {}
    for one in troubles_of(answer.answered):
        to_do = _TO_DO.get(one.metric)
        if to_do is not None and one.metric not in lines:
            words = trouble_words(one.metric, one.of, one.value)
            level = levels.get((_LEVELS.get(one.metric, ""), one.of))
            at_once = f" ({number(level)} were under way at most)" if level else ""
            lines[one.metric] = f"{words[0].upper()}{words[1:]}{at_once}: {to_do}."
    return list(lines.values())[:_MOST]
