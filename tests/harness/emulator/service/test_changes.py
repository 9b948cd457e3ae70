"""Settings that change while chats go on, and durations that never end."""

import pytest

from harness.emulator.api.api import Api
from harness.emulator.settings.parse import parse_settings
from tests.harness.emulator.support import Lab


def change(lab: Lab, spec: str) -> None:
    """Change settings, as the emulator's own page does."""
    lab.settings = parse_settings(spec, start=lab.settings)
    lab.state.change(lab.settings)
    lab.api = Api(lab.state)


def test_slots_come_back_each_in_its_own_time() -> None:
    """A slot that is long in coming back holds up none that is due before it."""
    lab = Lab("active_chats=2,rate=inf,slot_lag=never")
    lab.stop(lab.start().body["ContactId"])
    change(lab, "slot_lag=1s")
    lab.stop(lab.start().body["ContactId"])
    lab.clock.at = 2.0
    assert [lab.start().status for _ in range(2)] == [200, 429]


def test_chat_is_ended_by_the_flow_that_it_began_in() -> None:
    """Why a chat expires was settled when it started."""
    lab = Lab("flow_ends=5s,rate=inf")
    first = lab.start().body["ContactId"]
    change(lab, "flow_ends=never,chat_duration=5s")
    second = lab.start().body["ContactId"]
    lab.clock.at = 6.0
    reasons = [lab.describe(chat).body["Contact"]["DisconnectReason"] for chat in (first, second)]
    assert reasons == ["CONTACT_FLOW_DISCONNECT", "EXPIRED"]


def test_fewer_client_tokens_are_kept() -> None:
    """A lower keep_tokens holds from the next chat on."""
    lab = Lab("rate=inf,active_chats=100")
    for number in range(20):
        lab.start(ClientToken=f"token {number}")
    change(lab, "keep_tokens=3")
    lab.start(ClientToken="another")
    assert len(lab.state.chats.replays) == 3


@pytest.mark.parametrize("duration", ["never", "1e12"])
def test_chat_without_an_end_can_have_participants(duration: str) -> None:
    """An expiry beyond the calendar is the calendar's last moment."""
    lab = Lab(f"chat_duration={duration},connect_timeout=never")
    contact, _ = lab.connected()
    asked = {"InstanceId": lab.settings.instance_id, "ContactId": contact, "ParticipantDetails": {"DisplayName": "Bot"}}
    answer = lab.call("POST", "/contact/create-participant", asked)
    assert answer.body["ParticipantCredentials"]["Expiry"] == "9999-12-31T23:59:59.000Z"
