"""Drawn chats are what their workload says, and what the sample records of them is true of the bytes that are sent."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.connect import contract
from harness.connect.contract import RUN_ATTRIBUTE
from harness.load.workload.model import Attributes, Chat, Drawer, Kind, Message, Workload
from harness.load.workload.toml import load_workload

RUN = "20261123T120000Z-start-chat-abcdef"


def drawer(*kinds: Kind, seed: int = 1, worker: int = 0) -> Drawer:
    return Drawer(Workload(kinds, seed=seed), "instance", "flow", RUN, worker)


def check_against_bytes(chat: Chat) -> dict[str, Any]:
    """Assert that what the sample will say of a chat is what its body says, and return the body."""
    body: dict[str, Any] = json.loads(chat.body)
    attributes = body["Attributes"]
    assert chat.attribute_count == len(attributes)
    assert chat.attribute_bytes == contract.attribute_bytes(attributes.items())
    assert chat.message_bytes == len(body.get("InitialMessage", {}).get("Content", "").encode())
    assert chat.duration_minutes == body.get("ChatDurationInMinutes", 0)
    types = body.get("SupportedMessagingContentTypes")
    assert chat.content_types == (None if types is None else ",".join(types))
    assert chat.client_token == body["ClientToken"]
    assert attributes[RUN_ATTRIBUTE] == RUN
    return body


def check_against_contract(body: dict[str, Any]) -> None:
    """Raise ValueError where a body breaks a limit of the API."""
    contract.check_attributes(body["Attributes"])
    contract.check_display_name(body["ParticipantDetails"]["DisplayName"])
    types = body.get("SupportedMessagingContentTypes")
    if types is not None:
        contract.check_content_types(types)
    if "InitialMessage" in body:
        message = body["InitialMessage"]
        contract.check_message(message["ContentType"], len(message["Content"].encode()), tuple(types or ()))
    if "ChatDurationInMinutes" in body:
        contract.check_duration(body["ChatDurationInMinutes"])


@pytest.mark.parametrize("seed", range(3))
def test_the_built_in_workload_varies_everything_within_the_limits(seed: int) -> None:
    """A thousand chats of the built-in mix: each within the contract, and together every member that a centre varies."""
    workload = load_workload(None)
    draw = Drawer(Workload(workload.kinds, seed=seed), "instance", "flow", RUN).draw
    chats = [draw() for _ in range(1000)]
    bodies = [check_against_bytes(chat) for chat in chats]
    for body in bodies:
        check_against_contract(body)
        assert (body["InstanceId"], body["ContactFlowId"]) == ("instance", "flow")
    assert {chat.kind for chat in chats} == {kind.name for kind in workload.kinds}
    assert {chat.content_types for chat in chats} == {None, "text/plain", "text/plain,text/markdown"}
    assert len({chat.attribute_bytes for chat in chats}) > 100
    assert max(chat.attribute_bytes for chat in chats) > 32_000
    assert len({chat.duration_minutes for chat in chats}) >= 4
    assert 0.3 < sum(chat.message_bytes > 0 for chat in chats) / 1000 < 0.9
    texts = " ".join(body.get("InitialMessage", {}).get("Content", "") for body in bodies)
    assert all(mark in texts for mark in ("**", "*promised*", "](https://", "\n- ", "\n1. "))
    assert any(not text.isascii() for body in bodies for text in body["Attributes"].values())


def test_kinds_are_drawn_by_their_weights() -> None:
    """A kind of three times the weight comes three times as often."""
    draw = drawer(Kind("rare", weight=1.0), Kind("often", weight=3.0)).draw
    counts = Counter(draw().kind for _ in range(8000))
    assert counts["often"] / counts["rare"] == pytest.approx(3.0, rel=0.1)


def test_every_chat_has_a_token_of_its_own() -> None:
    """No two chats of a run, over all its workers, share a ClientToken."""
    tokens = {drawer(Kind("k"), worker=worker).draw().client_token for worker in range(20)}
    draw = drawer(Kind("k")).draw
    tokens |= {draw().client_token for _ in range(1000)}
    assert len(tokens) == 1000 + 19
    assert all(len(token) <= 500 for token in tokens)


@pytest.mark.slow
@settings(max_examples=200)
@given(
    total=st.integers(200, contract.MAX_ATTRIBUTE_BYTES),
    unicode=st.booleans(),
    count=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_a_total_of_attribute_bytes_is_met_exactly(total: int, unicode: bool, count: int, seed: int) -> None:
    """Keys and values fill the wanted number of bytes to the last one, in any script."""
    recipe = Attributes((count, count), (1, 20), unicode, total_bytes=total)
    chat = drawer(Kind("k", attributes=recipe), seed=seed).draw()
    check_against_contract(check_against_bytes(chat))
    assert chat.attribute_bytes == total


def test_a_total_that_is_too_small_is_refused() -> None:
    """A total below what the other attributes need cannot be met, and says so."""
    with pytest.raises(ValueError, match="the other attributes alone need more"):
        drawer(Kind("k", attributes=Attributes(fixed={"a": "x" * 100}, total_bytes=50)))


@pytest.mark.slow
@settings(max_examples=200)
@given(low=st.integers(0, 50), spread=st.integers(0, 50), unicode=st.booleans())
def test_values_have_the_sizes_asked_for(low: int, spread: int, unicode: bool) -> None:
    """Sizes are in UTF-8 bytes, and never cut a character in two."""
    recipe = Attributes((4, 4), (low, low + spread), unicode)
    body = check_against_bytes(drawer(Kind("k", attributes=recipe)).draw())
    drawn = [value for key, value in body["Attributes"].items() if key != RUN_ATTRIBUTE]
    assert len(drawn) == 4
    assert all(low <= len(value.encode()) <= low + spread for value in drawn)


def test_an_invalid_kind_is_sent_as_it_is() -> None:
    """A kind that may break the limits does, and its chats say that they were meant to."""
    kind = Kind(
        "bad", content_types=("text/markdown",), durations=(1,), members={"CustomerId": "c" * 500}, invalid=True
    )
    chat = drawer(kind).draw()
    body = check_against_bytes(chat)
    assert chat.invalid
    assert (body["ChatDurationInMinutes"], body["CustomerId"]) == (1, "c" * 500)
    with pytest.raises(ValueError, match="text/plain must"):
        check_against_contract(body)


def test_messages_come_with_their_share() -> None:
    """A share of 0.25 gives a message to a quarter of the chats."""
    draw = drawer(Kind("k", message=Message("text/plain", ("hello", "Grüße"), 0.25))).draw
    chats = [draw() for _ in range(4000)]
    for chat in chats:
        check_against_bytes(chat)
    assert sum(chat.message_bytes > 0 for chat in chats) / 4000 == pytest.approx(0.25, abs=0.03)
