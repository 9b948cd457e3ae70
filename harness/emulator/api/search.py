"""SearchContacts: which chats match, in pages."""

from collections.abc import Callable

from harness.emulator.api.responses import Refused
from harness.emulator.service.chats import Chat
from harness.emulator.service.members import Members

# Criteria that the emulator has no contacts for: it knows chats without agents, queues, analysis or tags.
_UNSUPPORTED = (
    "Name", "AgentIds", "AgentHierarchyGroups", "ContactAnalysis", "QueueIds", "RoutingCriteria",
    "SearchableSegmentAttributes", "ActiveRegions", "ContactTags", "AiAgents",
)  # fmt: skip


def search(chats: list[Chat], request: Members, unix: Callable[[float], float], arn: str) -> Members:
    """Return the result to a SearchContacts `request` over `chats`, oldest first unless sorted otherwise.

    `unix` turns a chat's times into unix seconds; `arn` is the instance's. Raises Refused.
    """
    criteria = request.get("SearchCriteria") or {}
    for name in _UNSUPPORTED:
        if criteria.get(name):
            raise Refused("InvalidParameterException", f"The emulator does not search by SearchCriteria.{name}.")
    span = request["TimeRange"]
    if span["EndTime"] < span["StartTime"]:
        raise Refused("InvalidParameterException", "TimeRange.EndTime is before TimeRange.StartTime.")
    further = criteria.get("AdditionalTimeRange")
    found = [
        chat
        for chat in chats
        if _in_span(chat, span, unix)
        and _matches(chat, criteria)
        and (not further or _holds([_meets(chat, one, unix) for one in further["Criteria"]], further["MatchType"]))
    ]
    sort = request.get("Sort") or {"FieldName": "INITIATION_TIMESTAMP", "Order": "ASCENDING"}
    if sort["FieldName"] == "DISCONNECT_TIMESTAMP":
        found.sort(key=lambda chat: float("inf") if chat.ended is None else chat.ended)
    else:
        found.sort(key=lambda chat: chat.started)
    if sort["Order"] == "DESCENDING":
        found.reverse()
    token = request.get("NextToken") or "0"
    if not (token.isascii() and token.isdigit() and len(token) < 10):
        raise Refused("InvalidParameterException", "NextToken is not valid.")
    first, count = int(token), request.get("MaxResults") or 100
    result: Members = {
        "Contacts": [_summary(chat, unix, arn) for chat in found[first : first + count]],
        "TotalCount": len(found),
    }
    if first + count < len(found):
        result["NextToken"] = str(first + count)
    return result


def _time(chat: Chat, kind: str) -> float | None:
    if kind == "INITIATION_TIMESTAMP":
        return chat.started
    # Never scheduled, never with an agent, never in a queue of an agent's.
    return chat.ended if kind == "DISCONNECT_TIMESTAMP" else None


def _in_span(chat: Chat, span: Members, unix: Callable[[float], float]) -> bool:
    at = _time(chat, span["Type"])
    return at is not None and span["StartTime"] <= unix(at) <= span["EndTime"]


def _meets(chat: Chat, criterion: Members, unix: Callable[[float], float]) -> bool:
    """Whether a chat meets one of the AdditionalTimeRange: a span of a time, or that it has no such time."""
    span, condition = criterion.get("TimeRange"), criterion.get("TimestampCondition")
    return (not span or _in_span(chat, span, unix)) and (not condition or _time(chat, condition["Type"]) is None)


def _holds(hits: list[bool], how: str) -> bool:
    if how == "MATCH_ANY":
        return any(hits)
    return not any(hits) if how == "MATCH_NONE" else all(hits)


def _matches(chat: Chat, criteria: Members) -> bool:
    if criteria.get("Channels") and "CHAT" not in criteria["Channels"]:
        return False
    if criteria.get("InitiationMethods") and "API" not in criteria["InitiationMethods"]:
        return False
    wanted = criteria.get("SearchableContactAttributes")
    if not wanted:
        return True
    attributes = chat.attributes
    # The values of one key are alternatives; MatchType says how several keys combine.
    hits = [attributes.get(one["Key"]) in one["Values"] for one in wanted["Criteria"]]
    return _holds(hits, wanted.get("MatchType") or "MATCH_ALL")


def _summary(chat: Chat, unix: Callable[[float], float], arn: str) -> Members:
    summary: Members = {
        "Arn": f"{arn}/contact/{chat.contact_id}",
        "Id": chat.contact_id,
        "InitialContactId": chat.contact_id,
        "InitiationMethod": "API",
        "Channel": "CHAT",
        "InitiationTimestamp": unix(chat.started),
    }
    if chat.ended is not None:
        summary["DisconnectTimestamp"] = unix(chat.ended)
    if chat.request.get("SegmentAttributes"):
        summary["SegmentAttributes"] = chat.request["SegmentAttributes"]
    return summary
