"""Flows: what the other side says and does, when, and what a wrong flow file is told."""

from pathlib import Path
from typing import Any

import pytest

from harness.emulator.settings.parse import parse_settings
from harness.emulator.settings.values import SettingsError
from tests.harness.emulator.support import Lab

HELLO = {"ContentType": "text/plain", "Content": "where is my order 77?"}


class Talk:
    """A chat of one emulator with a flow, in virtual time."""

    def __init__(self, lab: Lab, **members: Any) -> None:
        self.lab = lab
        self.contact, self.token = lab.connected(**members)

    def at(self, seconds: float) -> "Talk":
        self.lab.clock.at = seconds
        self.lab.state.advance(seconds)
        return self

    def send(self, **message: str) -> None:
        assert self.lab.participant("message", self.token, {**HELLO, **message}).status == 200

    def subscribe(self) -> None:
        self.lab.state.subscribed(self.lab.clock.at, self.lab.state.chats.by_id[self.contact])

    @property
    def said(self) -> list[tuple[str, str]]:
        """Who said what, or did which event, apart from the customer."""
        items = self.lab.state.conversations.items(self.lab.state.chats.by_id[self.contact])
        return [
            (item.display_name or "", item.content or item.content_type.rpartition("event.")[2])
            for item in items
            if item.participant_role != "CUSTOMER" and item.participant_role
        ]

    @property
    def reason(self) -> str | None:
        return self.lab.state.chats.by_id[self.contact].reason


def lab(tmp_path: Path, flow: str, spec: str = "") -> Lab:
    """An emulator with `flow`, without limits."""
    file = tmp_path / "flow.toml"
    file.write_text(flow)
    return Lab(f"flow={file},rate=inf,SendMessage.rate=inf,{spec}")


CONVERSATION = """
[bot]
name = "Helper"
delay = "200ms"

[queue]
agents = ["Ann"]
answer_after = "2s"
handling_time = "60s"

[[rules]]
on = "start"
steps = [{ wait = "300ms" }, { typing = "500ms" }, { markdown = "**Welcome**" }]

[[rules]]
on = "message"
while = "bot"
matches = "order [0-9]+"
steps = [{ say = "One moment" }, { queue = true }]

[[rules]]
on = "agent_joined"
steps = [{ say = "Ann here" }]

[[rules]]
on = "message"
while = "agent"
matches = "bye"
steps = [{ say = "Bye" }, { end = true }]
"""


def test_bot_greets_and_hands_over_to_an_agent_who_ends_the_chat(tmp_path: Path) -> None:
    """Greeting, typing, a reply after the bot's delay, the queue, the agent's name and the end come in their time."""
    talk = Talk(lab(tmp_path, CONVERSATION))
    assert talk.at(0.99).said == []
    assert talk.at(1.01).said == [("Helper", "**Welcome**")]
    talk.send()
    assert talk.at(1.2).said[1:] == []
    assert talk.at(1.22).said[1:] == [("Helper", "One moment")]
    assert talk.at(4.0).said[2:] == [("Ann", "participant.joined"), ("Ann", "Ann here")]
    talk.send(Content="bye")
    assert (talk.said[-1], talk.reason) == (("Ann", "Bye"), "AGENT_DISCONNECT")


TO_THE_QUEUE = """
[queue]
agents = ["Ann", "Bob"]
answer_after = "2s"
handling_time = "60s"

[[rules]]
on = "start"
steps = [{ queue = true }]

[[rules]]
on = "message"
while = "agent"
matches = "billing"
steps = [{ queue = true }]
"""


TO_BOB = """
[queue]
agents = ["Ann", "Bob"]

[[rules]]
on = "start"
steps = [{ queue = true }]

[[rules]]
on = "message"
while = "agent"
matches = "Bob"
steps = [{ transfer = "Bob" }]

[[rules]]
on = "message"
while = "agent"
matches = "bye"
steps = [{ end = true }]
"""


def test_transfer_takes_a_place_of_an_agent_of_the_queue(tmp_path: Path) -> None:
    """A chat that is handed on to an agent of the queue takes a place with the one and leaves the other's free."""
    service = lab(tmp_path, TO_BOB)
    first = Talk(service)
    first.at(0.1)
    first.send(Content="Bob, please")
    second, third = Talk(service), Talk(service)
    third.at(0.2)
    assert [talk.said[-1:] for talk in (first, second, third)] == [
        [("Bob", "participant.joined")],
        [("Ann", "participant.joined")],
        [],
    ]
    first.send(Content="bye")
    assert third.at(0.3).said == [("Bob", "participant.joined")]


BY_DAY = """
[queue]
agents = ["Ann"]
hours = "22:14-22:15"

[[rules]]
on = "start"
steps = [{ queue = true }]

[[rules]]
on = "closed"
steps = [{ say = "We are here from 22:14." }]

[[rules]]
on = "queued"
steps = [{ say = "One moment." }]
"""


def test_agents_take_chats_in_their_hours(tmp_path: Path) -> None:
    """Before, a chat is told that they are closed and waits; whoever comes in the hours is served, after them not."""
    service = lab(tmp_path, BY_DAY)  # the clock begins at 22:13:20 UTC
    early = Talk(service)
    assert early.at(1.0).said == [("SYSTEM_MESSAGE", "We are here from 22:14.")]
    assert len(early.at(39.9).said) == 1
    assert early.at(40.1).said[1:] == [("Ann", "participant.joined")]
    service.stop(early.contact)
    served = Talk(service)
    assert served.at(99.0).said == [("SYSTEM_MESSAGE", "One moment."), ("Ann", "participant.joined")]
    service.stop(served.contact)
    service.clock.at = 100.1
    late = Talk(service)
    assert late.at(200.0).said == [("SYSTEM_MESSAGE", "We are here from 22:14.")]


def test_an_agent_hands_a_chat_on_to_the_queue(tmp_path: Path) -> None:
    """Queued by its agent, a chat is transferred: the agent leaves, has a place for others, and the next one joins."""
    service = lab(tmp_path, TO_THE_QUEUE)
    first, second = Talk(service), Talk(service)
    third = Talk(service)
    first.at(3)
    agents = [talk.said[0][0] for talk in (first, second)]
    assert sorted(agents) == ["Ann", "Bob"]
    assert third.said == []
    first.send(Content="billing")
    assert first.said[1:] == [(agents[0], "transfer.succeeded"), (agents[0], "participant.left")]
    first.at(5.5)
    assert third.said == [(agents[0], "participant.joined")]
    second.at(64)
    assert second.reason == "AGENT_DISCONNECT"
    assert first.at(67).said[3:] == [(agents[1], "participant.joined")]
    assert first.reason is None


def test_another_agent_takes_a_chat_that_was_handed_on_and_nobody_ends_it_before_its_time(tmp_path: Path) -> None:
    """A free agent who did not hand it on takes it; where none is free, the earlier handling time no longer counts."""
    two, alone = Talk(lab(tmp_path, TO_THE_QUEUE)), Talk(lab(tmp_path, TO_THE_QUEUE.replace(', "Bob"', "")))
    for talk, second in ((two, "Bob"), (alone, "Ann")):
        talk.at(3).send(Content="billing")
        assert talk.at(6).said[-1] == (second, "participant.joined")
        assert talk.at(63).reason is None
        assert talk.at(66).reason == "AGENT_DISCONNECT"
    later = [Talk(alone.lab) for _ in range(2)]
    alone.at(69)
    assert [talk.said for talk in later] == [[("Ann", "participant.joined")], []]


def test_flow_starts_with_the_connection_if_so_set(tmp_path: Path) -> None:
    """With starts_flow=connection nothing is said before the customer's websocket has subscribed."""
    talk = Talk(lab(tmp_path, CONVERSATION, "starts_flow=connection"))
    assert talk.at(10).said == []
    talk.subscribe()
    assert talk.at(10.9).said == []
    assert talk.at(11.1).said == [("Helper", "**Welcome**")]


def test_agents_take_chats_in_turn_as_they_have_places(tmp_path: Path) -> None:
    """One agent with one chat at a time: the second customer is answered when the first chat is over."""
    service = lab(tmp_path, CONVERSATION)
    first, second = Talk(service), Talk(service)
    for talk in (first, second):
        talk.at(2).send()
    first.at(10)
    assert ("Ann", "Ann here") in first.said
    assert ("Ann", "Ann here") not in second.said
    first.at(70)
    assert first.reason == "AGENT_DISCONNECT"
    assert ("Ann", "Ann here") in second.said


@pytest.mark.parametrize(
    ("beyond", "first", "third"),
    [
        ("throttled", ["hello"], ["busy"]),
        ("silent", ["hello"], []),
        ("slower", [], []),
    ],
)
def test_bot_beyond_its_conversations(tmp_path: Path, beyond: str, first: list[str], third: list[str]) -> None:
    """A bot with two conversations refuses the third, says nothing to it, or takes longer for the later ones."""
    flow = f"""
    [bot]
    delay = "100ms"
    conversations = 2
    beyond = "{beyond}"
    slowdown = 10
    [[rules]]
    on = "start"
    steps = [{{ wait = "10ms" }}, {{ say = "hello" }}]
    [[rules]]
    on = "bot_busy"
    steps = [{{ say = "busy" }}]
    """
    service = lab(tmp_path, flow)
    talks = [Talk(service) for _ in range(3)]
    talks[0].at(0.2)
    assert [text for _, text in talks[0].said] == first
    assert [text for _, text in talks[2].said] == third
    talks[0].at(2)
    assert [text for _, text in talks[0].said] == ["hello"]


def test_bot_loses_replies_and_greetings_in_their_shares(tmp_path: Path) -> None:
    """Of many chats the shares that are never greeted or never answered are those of the file, the same with one seed."""
    flow = """
    [bot]
    lost = 0.1
    never_greets = 0.2
    [[rules]]
    on = "start"
    steps = [{ say = "hello" }]
    [[rules]]
    on = "message"
    steps = [{ say = "reply" }]
    """

    def counts() -> tuple[int, int]:
        service = lab(tmp_path, flow, "active_chats=1000,seed=5")
        talks = [Talk(service) for _ in range(600)]
        for talk in talks:
            talk.send()
        return tuple(sum(text in [said for _, said in talk.said] for talk in talks) for text in ("hello", "reply"))  # type: ignore[return-value]

    greeted, answered = counts()
    assert abs(greeted / 600 - 0.8 * 0.9) < 0.07
    assert abs(answered / 600 - 0.9) < 0.05
    assert counts() == (greeted, answered)


def test_rules_that_call_each_other_stop(tmp_path: Path) -> None:
    """Two agents who hand a chat to each other for ever do not hang the emulator."""
    flow = """
    [[rules]]
    on = "start"
    steps = [{ join = "Ann" }]
    [[rules]]
    on = "agent_joined"
    steps = [{ transfer = "Bob" }, { transfer = "Ann" }]
    """
    talk = Talk(lab(tmp_path, flow))
    assert len(talk.at(1).said) > 100


@pytest.mark.parametrize(
    ("flow", "says"),
    [
        ("[[rules]]\non = 'noon'\nsteps = []", "noon"),
        ("[[rules]]\non = 'start'\nsteps = []", "rule 1 (on start): has no steps"),
        ("[[rules]]\non = 'start'\nsteps = [{ say = 'a', end = true }]", "step 1: wants exactly one of"),
        ("[[rules]]\non = 'message'\nmatches = '('\nsteps = [{ end = true }]", "not a regular expression"),
        ("[[rules]]\non = 'start'\nsteps = [{ queue = true }]", "there is no [queue]"),
        ("[[rules]]\non = 'start'\nsteps = [{ wait = 'long' }]", "duration"),
        ("[bot]\nlost = 2", "share from 0 to 1"),
        ("[bot]\nslowdown = inf", "slowdown wants 1 or more"),
        ("[bot]\nname = ''", "the name a letter or more"),
        ("[bot]\ndelay = { low = '3s', high = '1s' }", "bot.delay: low is above high"),
        ("[bot]\ndelay = { mean = '3s', high = '1s' }", "bot.delay: wants median"),
        ("[queue]\nagents = ['Ann', '']", "none empty"),
        ("[queue]\nhours = '8-18'", "queue.hours: wants hours of the day in UTC, as 08:00-18:00"),
        ("[queue]\nhours = '08:00-24:30'", "queue.hours"),
        ("[queue]\n[[rules]]\non = 'closed'\nsteps = [{ end = true }]", "there is no [queue] with hours"),
        ("[[rules]]\non = 'start'\nsteps = [{ transfer = '' }]", "step 1: transfer wants the name of an agent"),
        ("[bott]", "bott"),
        ("nonsense", "flow.toml"),
    ],
)
def test_wrong_flow_is_told_in_one_line(tmp_path: Path, flow: str, says: str) -> None:
    """A mistake in a flow file names the file, the place and the problem."""
    file = tmp_path / "flow.toml"
    file.write_text(flow)
    with pytest.raises(SettingsError) as caught:
        parse_settings(f"flow={file}")
    assert says in str(caught.value)
    assert str(caught.value).count("flow.toml") == 1
    assert "\n" not in str(caught.value)
