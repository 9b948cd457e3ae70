"""The names of operations and outcomes, and what each means for a chat, a quota and a budget. Imports nothing."""

START_CHAT = "StartChatContact"
STOP_CONTACT = "StopContact"
DESCRIBE_CONTACT = "DescribeContact"

CREATE_CONNECTION = "CreateParticipantConnection"
SEND_MESSAGE = "SendMessage"
SEND_EVENT = "SendEvent"
GET_TRANSCRIPT = "GetTranscript"
DISCONNECT = "DisconnectParticipant"

WEBSOCKET_OPEN = "WebSocketOpen"
WEBSOCKET_SUBSCRIBE = "WebSocketSubscribe"
MESSAGE_RECEIPT = "MessageReceipt"
"""From sending a message until its frame came back on the websocket."""

GREETING = "Greeting"
"""From the subscription of the customer's websocket to the first message of another participant."""
REPLY = "Reply"
"""From a message of the customer's that was accepted to the next message of another participant."""
AGENT_JOINED, AGENT_LEFT, TRANSFER = "AgentJoined", "AgentLeft", "Transfer"
CHAT_ENDED_BY_OTHERS = "ChatEnded"
"""Events of a chat that the customer's websocket told: from its subscription to the event. The last is the end of a chat
that its customer did not end."""
END_REASON = "EndReason"
"""From when it was noticed that somebody else had ended a chat until the service told why; the sample has the reason."""
QUEUE_WAIT = "QueueWait"
"""From the flow's message that the customer is in the queue until an agent has joined."""

NO_CALLS = frozenset(
    {
        MESSAGE_RECEIPT,
        WEBSOCKET_OPEN,
        WEBSOCKET_SUBSCRIBE,
        GREETING,
        REPLY,
        AGENT_JOINED,
        AGENT_LEFT,
        TRANSFER,
        CHAT_ENDED_BY_OTHERS,
        END_REASON,
        QUEUE_WAIT,
    }
)
"""Operations of samples that are not calls of an API with a TPS quota."""

HARNESS_CALLS = frozenset({STOP_CONTACT, DESCRIBE_CONTACT})
"""Calls that the harness makes at its own pace, which are not part of a customer's journey."""

STARTED = "started"
OK = "ok"
TPS_THROTTLED = "tps_throttled"
ACTIVE_CHAT_LIMIT = "active_chat_limit"
UNCLASSIFIED_429 = "unclassified_429"
INVALID_REQUEST = "invalid_request"
NOT_FOUND = "not_found"
ACCESS_DENIED = "access_denied"
SERVICE_ERROR = "service_error"
TIMEOUT = "timeout"
CONNECTION_ERROR = "connection_error"
NO_GREETING = "no_greeting"
NO_REPLY = "no_reply"
NO_AGENT = "no_agent"
NOT_AWAITED = "not_awaited"
"""A wait that ended before it was known whether an answer would come: the customer wrote first or left, or the run ended."""

START_OUTCOMES = (
    STARTED,
    TPS_THROTTLED,
    ACTIVE_CHAT_LIMIT,
    UNCLASSIFIED_429,
    INVALID_REQUEST,
    NOT_FOUND,
    ACCESS_DENIED,
    SERVICE_ERROR,
    TIMEOUT,
    CONNECTION_ERROR,
)
"""Every outcome of a StartChatContact attempt, in the order that tables show; exactly one for each attempt on the wire."""

OUTCOMES = (*START_OUTCOMES, OK, NO_GREETING, NO_REPLY, NO_AGENT, NOT_AWAITED)
"""Every outcome. `started` is a StartChatContact answered with a contact; the success of any other operation is `ok`; the
last four are of the customer's waits for the other side, which are not calls."""

SERVED = frozenset({STARTED, OK})
"""What was asked for was done."""

QUOTA_REFUSALS = frozenset({TPS_THROTTLED, ACTIVE_CHAT_LIMIT, UNCLASSIFIED_429})
"""Refusals by a limit: the service works, and said no."""

ANSWERED_BY_SERVICE = SERVED | QUOTA_REFUSALS
"""Outcomes that prove a working service behind the endpoint, with credentials that it takes."""

MAY_COST_TOKEN = ((ACTIVE_CHAT_LIMIT,), (INVALID_REQUEST, NOT_FOUND, ACCESS_DENIED), (SERVICE_ERROR,))
"""Refusals that may take a token of the TPS limit as a start does: outcomes of one group are alike in that."""


NOT_ASKED = "not_asked"
"""The reason of an end that was not looked up, or not told."""
DISCONNECT_REASONS = (
    "AGENT_DISCONNECT",
    "CUSTOMER_DISCONNECT",
    "AGENT_NETWORK_DISCONNECT",
    "CUSTOMER_CONNECTION_NOT_ESTABLISHED",
    "EXPIRED",
    "CONTACT_FLOW_DISCONNECT",
    "API",
    "BARGED",
    "IDLE_DISCONNECT",
    "THIRD_PARTY_DISCONNECT",
    "SYSTEM_ERROR",
)
"""Why a chat ended, in AWS's words (https://docs.aws.amazon.com/connect/latest/adminguide/ctr-data-model.html)."""


def ends_chat(operation: str, outcome: str) -> bool:
    """Tell whether a sample of `operation` with `outcome` shows that its chat has ended.

    StopContact answers `not_found` for a contact that is gone; DisconnectParticipant ends a chat only when it succeeds.
    """
    if operation == STOP_CONTACT:
        return outcome in (OK, NOT_FOUND)
    return operation in (DISCONNECT, CHAT_ENDED_BY_OTHERS) and outcome == OK


USAGE_PLAN_MESSAGE = "Limit Exceeded"
"""What API Gateway says, under the code LimitExceededException, when a key of a usage plan has used up its quota. It comes
from a gateway of the customer's own in front of Amazon Connect (https://repost.aws/knowledge-center/api-gateway-429-limit)."""


def cause_of_429(error_code: str | None, message: str) -> str:
    """Say what a 429 that is `unclassified_429` probably is, and what to do about it."""
    if message.strip() == USAGE_PLAN_MESSAGE:
        return (
            "probably the quota of an API Gateway usage plan, of a gateway in front of Amazon Connect, and not the quota of "
            "active chats: raise the plan's quota, or call Amazon Connect itself"
        )
    if error_code is None:
        return (
            "a 429 without an error code, probably the throttle of a gateway or proxy in front of Amazon Connect; if you "
            "know that it is a throttle, --treat-bare-429-as tps_throttled counts it as one"
        )
    return f"a 429 with the code {error_code}, which Amazon Connect does not document for this operation"


PROBE_FAILED = "probe_failed"
"""Why a run has ended whose probe a fault of its own has ended."""

SERVED_NOTHING = "served nothing"
"""What the reason of a run that is not valid says of a service that was of no use."""
