"""Queue, agents, transfer and the end of a chat as samples, beside the transcripts of the service."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness.command import main
from tests.harness.emulator.support import running
from tests.support.emulated import STOPS_AT_ONCE, ask, load
from tests.support.locust_runs import samples

FLOW = """
[bot]
delay = "100ms"
[queue]
agents = 1
answer_after = "400ms"
handling_time = "4s"
[[rules]]
on = "connect"
steps = [{ say = "Welcome!" }]
[[rules]]
on = "message"
while = "bot"
steps = [{ say = "You are in the queue." }, { queue = true }]
[[rules]]
on = "agent_joined"
once = true
steps = [{ say = "How can I help?" }]
[[rules]]
on = "message"
while = "agent"
steps = [{ transfer = "Supervisor" }, { wait = "500ms" }, { leave = "Supervisor" }, { end = true }]
[[rules]]
on = "time"
after = "1500ms"
while = "queue"
once = true
steps = [{ say = "Nobody is free." }, { end = true }]
"""
SCRIPT = """
[[kind]]
name = "web"
[[conversation]]
name = "asks for a person"
stay = "1m"
[[conversation.turn]]
wait_for = "greeting"
say = "A person, please."
[[conversation.turn]]
matches = "How can I help"
within = "20s"
otherwise = "leave"
abandon = 0.25
say = "I want to complain."
"""
EVENT = "application/vnd.amazonaws.connect.event."
GENEROUS = "rate=50,burst=50,CreateParticipantConnection.rate=50,CreateParticipantConnection.burst=50"


@pytest.mark.slow
def test_queue_agents_transfers_and_ends_are_those_of_the_transcripts(tmp_path: Path) -> None:
    """For each chat: agents that came and went, transfers, and whether an agent came after the flow had queued it."""
    flow, workload, run = tmp_path / "flow.toml", tmp_path / "workload.toml", tmp_path / "run"
    flow.write_text(FLOW)
    workload.write_text(SCRIPT)
    spec = f"flow={flow},starts_flow=connection,seed=3,{GENEROUS}"
    options = ("-u", "4", "-r", "4", "-t", "7s", "--workload", str(workload), "--queue-message", "(?i)in the queue")
    with running(spec, STOPS_AT_ONCE) as emulator:
        ended = load(emulator, "ChatConversation", run, *options)
        chats = {chat["contact_id"]: chat for chat in ask(emulator, "chats?full=yes&limit=1000")["chats"]}
    felt: dict[str, Counter[str]] = {contact: Counter() for contact in chats}
    rows = samples(run)
    for row in rows:
        felt[row["contact_id"]][f"{row['operation']} {row['outcome']}"] += 1
    whole = {contact: chat for contact, chat in chats.items() if _was_heard(chat, felt[contact])}
    assert len(whole) >= 10
    met: Counter[str] = Counter()
    for contact, chat in whole.items():
        told = _told(chat)
        found = felt[contact]
        for operation, event in (("AgentJoined", "joined"), ("AgentLeft", "left"), ("Transfer", "transferred")):
            assert found[f"{operation} ok"] == told[event], (contact, operation)
        assert found["QueueWait ok"] == min(1, told["queued"]) * min(1, told["joined"])
        assert found["QueueWait no_agent"] == (told["queued"] and not told["joined"])
        met += told
    assert met["transferred"] >= 2
    assert met["queued"] > met["queued and joined"] >= 2
    _waits_are_the_transcripts_times(rows, whole)
    _report_counts_agents_as_the_rows_do(run, felt)
    reasons = Counter(chat["disconnect_reason"] for chat in whole.values())
    assert ended["chat_ends"]["CONTACT_FLOW_DISCONNECT"] >= reasons["CONTACT_FLOW_DISCONNECT"] >= 1
    reason_of = {row["contact_id"]: row["end_reason"] for row in rows if row["operation"] == "EndReason"}
    assert Counter(reason_of.values()) == ended["chat_ends"]
    assert {contact: chats[contact]["disconnect_reason"] for contact in reason_of} == reason_of
    assert whole.keys() <= reason_of.keys()


def _report_counts_agents_as_the_rows_do(run: Path, felt: dict[str, Counter[str]]) -> None:
    assert main(["report", str(run), "--no-figures", "--quiet"]) == 0
    found = json.loads((run / "capacity.json").read_text())["answered"]["agents"]
    for name, operation in (("joined", "AgentJoined"), ("left", "AgentLeft"), ("transfers", "Transfer")):
        assert found[name] == sum(of[f"{operation} ok"] for of in felt.values())
    assert found["joined_chats"] == sum(of["AgentJoined ok"] > 0 for of in felt.values())
    assert found["transferred_chats"] == sum(of["Transfer ok"] > 0 for of in felt.values())


def _was_heard(chat: dict[str, Any], found: Counter[str]) -> bool:
    """Whether the customer heard the whole chat, to an end that others made."""
    return found["ChatEnded ok"] == 1 and bool(found["WebSocketSubscribe ok"])


def _told(chat: dict[str, Any]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for item in chat["transcript"]:
        kind = item["ContentType"]
        if item.get("ParticipantRole") == "AGENT":
            counted["joined"] += kind == f"{EVENT}participant.joined"
            counted["left"] += kind == f"{EVENT}participant.left"
        counted["transferred"] += kind == f"{EVENT}transfer.succeeded"
        counted["queued"] += item.get("Content") == "You are in the queue."
    counted["queued and joined"] = int(bool(counted["queued"] and counted["joined"]))
    return counted


def _waits_are_the_transcripts_times(rows: list[dict[str, Any]], chats: dict[str, dict[str, Any]]) -> None:
    for row in rows:
        if row["operation"] == "QueueWait" and row["outcome"] == "ok" and row["contact_id"] in chats:
            transcript = chats[row["contact_id"]]["transcript"]
            queued = next(item for item in transcript if item.get("Content") == "You are in the queue.")
            joined = next(
                item
                for item in transcript
                if item["ContentType"] == f"{EVENT}participant.joined" and item["ParticipantRole"] == "AGENT"
            )
            wanted = _seconds(joined["AbsoluteTime"]) - _seconds(queued["AbsoluteTime"])
            assert row["received"] - row["scheduled"] == pytest.approx(wanted % 3600, abs=0.5)


def _seconds(absolute: str) -> float:
    match = re.search(r"T\d\d:(\d\d):([\d.]+)Z", absolute)
    assert match is not None
    return int(match[1]) * 60 + float(match[2])
