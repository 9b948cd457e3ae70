"""A state machine drives the emulator in virtual time beside a model of its own: slots, tokens and replays hold."""

import math
from dataclasses import dataclass

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.harness.emulator.support import Lab

STEPS = st.sampled_from([0.0, 0.01, 0.2, 1.0, 7.5, 60.0, 299.0, 300.0, 3600.0, 90_000.0])
TOKEN_LIFE = 24 * 3600.0  # of a connection token


@dataclass
class Known:
    """What the model knows of one chat."""

    started: float
    expires: float
    connection_token: str
    connected: bool = False
    ended: float | None = None
    reason: str | None = None


class EmulatorMachine(RuleBasedStateMachine):
    """Starts, replays, connects, stops and waits, in any order."""

    @initialize(
        quota=st.integers(0, 4),
        rate=st.sampled_from([0.5, 2.0, 5.0]),
        burst=st.integers(1, 6),
        lag=st.sampled_from([0.0, 0.2, 60.0, 300.0]),
        costs=st.booleans(),
        overshoot=st.integers(0, 2),
        held=st.integers(0, 2),
        order=st.sampled_from(["throttle-validation-quota", "validation-throttle-quota", "validation-quota-throttle"]),
    )
    def build(
        self, quota: int, rate: float, burst: int, lag: float, costs: bool, overshoot: int, held: int, order: str
    ) -> None:
        yes = "yes" if costs else "no"
        self.quota, self.rate, self.burst, self.lag = quota, rate, burst, lag
        self.costs, self.overshoot, self.held, self.order = costs, overshoot, held, order
        self.lab = Lab(
            f"active_chats={quota},rate={rate},burst={burst},slot_lag={lag},overshoot={overshoot},held={held},"
            f"order={order},quota_costs_token={yes},replay_costs_token={yes},invalid_costs_token={yes},"
            "StopContact.rate=inf,DisconnectParticipant.rate=inf,CreateParticipantConnection.rate=inf"
        )
        self.chats: dict[str, Known] = {}
        self.tokens_used: dict[str, str] = {}
        self.tokens, self.updated = float(burst), 0.0

    # The model.

    @property
    def now(self) -> float:
        return self.lab.clock.at

    def active(self) -> int:
        """Slots in use now."""
        return self.held + sum(1 for c in self.chats.values() if c.ended is None or self.now < c.ended + self.lag)

    def expect_throttle(self) -> bool | None:
        """Whether the bucket has no token now; None where rounding decides."""
        self.tokens = min(self.burst, self.tokens + self.rate * (self.now - self.updated))
        self.updated = self.now
        return None if abs(self.tokens - 1) < 1e-4 else self.tokens < 1

    def settle(self) -> None:
        """End the chats whose time has come."""
        for chat in self.chats.values():
            if chat.ended is None:
                due = chat.expires if chat.connected else min(chat.expires, chat.started + 300)
                if due <= self.now:
                    chat.ended = due
                    chat.reason = "EXPIRED" if chat.connected else "CUSTOMER_CONNECTION_NOT_ESTABLISHED"

    # The rules.

    @rule(step=STEPS)
    def wait(self, step: float) -> None:
        self.lab.clock.at += step
        self.settle()

    @rule(token=st.sampled_from([None, "a", "b", "c"]), minutes=st.sampled_from([None, 60, 61, 10_080]))
    def start(self, token: str | None, minutes: int | None) -> None:
        throttle = self.expect_throttle()
        members = {} if minutes is None else {"ChatDurationInMinutes": minutes}
        reply = self.lab.start(ClientToken=token, ConnectionTypes=["CONNECTION_CREDENTIALS"], **members)
        known = self.tokens_used.get(token) if token else None
        active = self.active()
        if reply.code == "TooManyRequestsException":
            assert throttle is not False
            return
        paid = True
        if known is not None:
            assert (reply.status, reply.body["ContactId"]) == (200, known)
            paid = self.costs
        elif reply.code == "LimitExceededException":
            assert active >= self.quota
            paid = self.costs and self.order != "validation-quota-throttle"
        else:
            assert reply.status == 200
            assert active < self.quota + self.overshoot
            contact = reply.body["ContactId"]
            assert contact not in self.chats
            length = 25 * 3600.0 if minutes is None else minutes * 60.0
            connection = reply.body["ConnectionCredentials"]["ConnectionToken"]
            self.chats[contact] = Known(self.now, self.now + length, connection)
            if token:
                self.tokens_used[token] = contact
        if paid:
            assert throttle is not True
            self.tokens -= 1

    @rule()
    def start_invalid(self) -> None:
        throttle = self.expect_throttle()
        reply = self.lab.start(SupportedMessagingContentTypes=["text/markdown"])
        if reply.code == "TooManyRequestsException":
            assert throttle is not False
            assert self.order == "throttle-validation-quota"
            return
        assert reply.code == "InvalidParameterException"
        if self.order == "throttle-validation-quota" and self.costs:
            self.tokens -= 1

    @precondition(lambda self: self.chats)
    @rule(data=st.data())
    def stop(self, data: st.DataObject) -> None:
        contact = data.draw(st.sampled_from(sorted(self.chats)))
        chat = self.chats[contact]
        reply = self.lab.stop(contact)
        if chat.ended is None:
            assert reply.status == 200
            chat.ended, chat.reason = self.now, "API"
        else:
            assert (reply.status, reply.code) == (410, "ContactNotFoundException")

    @precondition(lambda self: self.chats)
    @rule(data=st.data())
    def disconnect(self, data: st.DataObject) -> None:
        chat = self.chats[data.draw(st.sampled_from(sorted(self.chats)))]
        reply = self.lab.participant("disconnect", chat.connection_token)
        if chat.ended is None and self.now <= chat.started + TOKEN_LIFE:
            assert reply.status == 200
            chat.ended, chat.reason = self.now, "CUSTOMER_DISCONNECT"
        else:
            assert reply.status == 403

    @precondition(lambda self: self.chats)
    @rule(data=st.data())
    def connect(self, data: st.DataObject) -> None:
        contact = data.draw(st.sampled_from(sorted(self.chats)))
        chat = self.chats[contact]
        if chat.ended is None:
            self.lab.state.subscribed(self.now, self.lab.state.chats.by_id[contact])
            chat.connected = True

    # What always holds.

    @invariant()
    def slots_match(self) -> None:
        described = self.lab.state.describe(self.now)
        (instance,) = described["instances"].values()
        assert instance["active_chats"] == self.active()
        assert described["open_chats"] == sum(1 for chat in self.chats.values() if chat.ended is None)
        assert self.active() <= max(self.quota + self.overshoot, self.held)

    @invariant()
    def tokens_match(self) -> None:
        limits = self.lab.state.describe(self.now)["limits"]["StartChatContact"]
        if "level" in limits:
            expected = min(self.burst, self.tokens + self.rate * (self.now - self.updated))
            assert math.isclose(limits["level"], expected, abs_tol=1e-3)

    @invariant()
    def reasons_match(self) -> None:
        self.lab.state.chats.advance(self.now)
        for contact, chat in self.chats.items():
            assert self.lab.state.chats.by_id[contact].reason == chat.reason


TestEmulator = EmulatorMachine.TestCase
TestEmulator.settings = hypothesis_settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_a_token_of_a_refused_call_stays_unused() -> None:
    """A ClientToken whose call got a 429 starts a chat when it is tried again, as SDK retries need."""
    lab = Lab("active_chats=1,rate=inf")
    first = lab.start()
    assert lab.start(ClientToken="again").code == "LimitExceededException"
    lab.stop(first.body["ContactId"])
    assert lab.start(ClientToken="again").status == 200


def test_replay_repeats_the_contact_after_its_end() -> None:
    """A ClientToken is answered with its contact for seven days, and then starts another."""
    lab = Lab("rate=inf")
    first = lab.start(ClientToken="t").body
    lab.stop(first["ContactId"])
    lab.clock.at = 7 * 86_400 - 1
    assert lab.start(ClientToken="t").body == first
    lab.clock.at = 7 * 86_400
    assert lab.start(ClientToken="t").body["ContactId"] != first["ContactId"]


def test_replay_settings() -> None:
    """Other parameters under the same token may be refused, and a replay's participant token may be a new one."""
    lab = Lab("rate=inf,client_token_mismatch=invalid,replay_participant_token=new")
    first = lab.start(ClientToken="t").body
    again = lab.start(ClientToken="t").body
    assert again["ContactId"] == first["ContactId"]
    assert again["ParticipantToken"] != first["ParticipantToken"]
    for token in (first["ParticipantToken"], again["ParticipantToken"]):
        assert lab.participant("connection", token, {"Type": ["CONNECTION_CREDENTIALS"]}).status == 200
    changed = lab.start(ClientToken="t", Attributes={"a": "b"})
    assert changed.code == "InvalidParameterException"


def test_held_chats_of_others_end_in_their_time() -> None:
    """Slots that other clients hold come free as their chats end."""
    lab = Lab("rate=inf,active_chats=10,held=10,held_mean=60s")
    assert lab.start().code == "LimitExceededException"
    lab.clock.at = 3600.0
    assert [lab.start().status for _ in range(11)] == [200] * 10 + [429]


def test_chats_that_nobody_connected_to_may_not_count() -> None:
    """With unconnected_counts=no a chat takes its slot when its customer connects."""
    lab = Lab("rate=inf,active_chats=1,unconnected_counts=no,connect_stops_on=api")
    first, second = lab.start().body, lab.start().body
    assert lab.participant("connection", first["ParticipantToken"], {"Type": ["WEBSOCKET"]}).status == 200
    assert lab.start().code == "LimitExceededException"
    lab.stop(first["ContactId"])
    assert lab.start().status == 200
    assert second["ContactId"] != first["ContactId"]


def test_flow_may_end_its_chats() -> None:
    """With flow_ends the flow disconnects a chat after that time."""
    lab = Lab("rate=inf,flow_ends=90s,connect_timeout=never")
    contact = lab.start().body["ContactId"]
    lab.clock.at = 90.0
    described = lab.describe(contact).body["Contact"]
    assert described["DisconnectReason"] == "CONTACT_FLOW_DISCONNECT"


def test_quota_is_each_instances_own() -> None:
    """The active-chat quota counts by instance; the throttle of StartChatContact is shared by all instances."""
    lab = Lab("rate=0.001,burst=3,active_chats=1,instances=2")
    first, second = lab.state.chats.open
    assert [lab.start(InstanceId=name).status for name in (first, first, second)] == [200, 429, 200]
    assert lab.start(InstanceId=second).code == "TooManyRequestsException"


def test_memory_is_bounded() -> None:
    """Ended chats beyond keep_ended and tokens beyond keep_tokens are forgotten, oldest first."""
    lab = Lab("rate=inf,StopContact.rate=inf,keep_ended=5,keep_tokens=5")
    contacts = []
    for number in range(3000):
        contacts.append(lab.start(ClientToken=str(number)).body["ContactId"])
        lab.stop(contacts[-1])
    chats = lab.state.chats
    assert list(chats.by_id) == contacts[-5:]
    assert len(chats.by_token) == len(chats.replays) == 5
    assert len(chats._deadlines) < 1100
