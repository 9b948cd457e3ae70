"""Whole conversations: real locust processes, a real emulator, and sockets that break."""

import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.quotas.tps.journey import JourneyCost, binding_order, infer_operation
from tests.harness.emulator.support import running
from tests.support.emulated import STOPS_AT_ONCE, ask, command, environment, load, outcomes
from tests.support.locust_runs import manifest, samples

PATIENCE = 30.0


def wait_for(reached: Callable[[], bool], what: str) -> None:
    """Wait until it is so."""
    give_up = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < give_up, f"no {what} within {PATIENCE:g} s"
        time.sleep(0.05)


@pytest.mark.slow
def test_conversation_records_every_call_and_finds_the_operation_that_binds_first(tmp_path: Path) -> None:
    """Counts of all operations equal the service's, receipts come for each message, and the tightest limit is named."""
    limits = "SendMessage.rate=2,SendMessage.burst=3,CreateParticipantConnection.rate=20,SendEvent.rate=40"
    with running(limits, STOPS_AT_ONCE) as emulator:
        run = tmp_path / "run"
        said = load(emulator, "ChatConversation", run, "-u", "4", "-r", "4", "-t", "6s", "--think-time", "100ms")
        theirs = ask(emulator, "state")["counts"]
    ours = outcomes(run)
    for operation, counts in theirs.items():
        admitted = ours[operation]["started"] + ours[operation]["ok"]
        assert (admitted, ours[operation]["tps_throttled"]) == (counts["ok"], counts.get("ThrottlingException", 0))
    assert ours["SendMessage"]["tps_throttled"] > 0
    assert ours["MessageReceipt"] == {"ok": ours["SendMessage"]["ok"]}
    chats = said["chats"]
    assert (chats["left_open"], chats["already_ended"], chats["started"]) == (0, 0, chats["stopped"])
    assert said["generator"]["valid"], said["generator"]["reasons"]

    rows = sorted(samples(run), key=lambda row: row["sent"])
    types = {(row["content_types"], row["message_bytes"] > 0) for row in rows if row["operation"] == "SendMessage"}
    assert types == {("text/plain", True), ("text/markdown", True)}
    estimates, cost = {}, JourneyCost()
    for operation in ("SendMessage", "CreateParticipantConnection", "SendEvent"):
        of = [row for row in rows if row["operation"] == operation]
        estimates[operation] = infer_operation(*([row[name] for row in of] for name in ("sent", "received", "outcome")))
        for row in of:
            cost.add(row["contact_id"], operation, row["outcome"])
    for contact in {row["contact_id"] for row in rows if row["operation"] == "DisconnectParticipant"}:
        cost.ended(contact, by_customer=True)
    first = binding_order(estimates, {"SendMessage": 3.0, **cost.calls_per_chat()})[0]
    assert first.operation == "SendMessage"
    assert estimates["SendMessage"].rate.low is not None
    assert estimates["SendMessage"].rate.high is not None
    assert estimates["SendMessage"].rate.low <= 2.0 <= estimates["SendMessage"].rate.high


@pytest.mark.slow
def test_ends_by_others_are_told_apart(tmp_path: Path) -> None:
    """A chat nobody connected to, one that outlived its duration and one that an agent ended have different reasons."""
    workload = tmp_path / "workload.toml"
    workload.write_text('[[kind]]\nname = "short"\nduration_minutes = 60\n')
    # An hour of the emulator's is 4 s: the five minutes to connect are a third of a second, a duration of 60 min 4 s.
    with running("active_chats=40", STOPS_AT_ONCE, arguments=("--time-scale", "900")) as emulator:
        never = load(emulator, "StartChat", tmp_path / "never", *("-u", "5", "-r", "5", "-t", "3s", "--hold", "1s"))
        assert never["chat_ends"] == {"CUSTOMER_CONNECTION_NOT_ESTABLISHED": never["chats"]["already_ended"]}
        assert never["chats"]["already_ended"] > 0

        run = tmp_path / "others"
        script = ("--hold", "1m", "--conversation", "disconnect", "--workload", str(workload))
        options = ("-u", "2", "-r", "2", "-t", "6s", *script)
        started = command(emulator, "ChatConversation", run, *options)
        with subprocess.Popen(
            started, cwd=tmp_path, env=environment(emulator), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            wait_for(lambda: ask(emulator, "state")["open_chats"] >= 2, "open chats")
            time.sleep(0.3)  # so that their customers are connected: the agent's end is to be heard on the socket
            by_agent = [chat["contact_id"] for chat in ask(emulator, "state")["chats"][:2]]
            for contact in by_agent:
                ask(emulator, f"chats/{contact}/end", {"DisconnectReason": "AGENT_DISCONNECT"})
            assert process.wait(PATIENCE) == 0
    ends = manifest(run)["chat_ends"]
    assert ends["AGENT_DISCONNECT"] == len(by_agent)
    assert ends["EXPIRED"] > 0
    assert set(ends) == {"AGENT_DISCONNECT", "EXPIRED"}
    assert manifest(run)["chats"]["left_open"] == 0


class BreakingProxy:
    """Forwards connections from 127.0.0.2 to a port of 127.0.0.1, and cuts them all when told to."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.2", port))
        self._port = port
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self.accepted = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break every connection that there is."""
        pairs, self._pairs = self._pairs, []
        for sock in (sock for pair in pairs for sock in pair):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._port))
            self._pairs.append((client, server))
            self.accepted += 1
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(one: socket.socket, other: socket.socket) -> None:
    try:
        while data := one.recv(65536):
            other.sendall(data)
    except OSError:
        pass
    for sock in (one, other):
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


@pytest.mark.slow
def test_lost_sockets_are_opened_again(tmp_path: Path) -> None:
    """When all websockets break, each customer connects anew, and later messages are heard on the new ones."""
    generous = "rate=50,burst=50,CreateParticipantConnection.rate=50,CreateParticipantConnection.burst=50"
    with running(generous, STOPS_AT_ONCE, arguments=("--advertise", "127.0.0.2")) as emulator:
        emulator.where["endpoint"] = emulator.where["endpoint"].replace("127.0.0.2", "127.0.0.1")
        proxy = BreakingProxy(emulator.port)
        run = tmp_path / "run"
        options = ("-u", "4", "-r", "4", "-t", "8s", "--messages", "2", "--think-time", "2s", "--hold", "1m")
        participants = ("--participant-host", emulator.endpoint)
        started = command(emulator, "ChatConversation", run, *options, *participants)
        with subprocess.Popen(
            started, cwd=tmp_path, env=environment(emulator), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            wait_for(lambda: proxy.accepted >= 4, "open websockets")
            time.sleep(0.3)
            broken = proxy.accepted
            proxy.cut()
            wait_for(lambda: proxy.accepted >= broken + 4, "new websockets")
            assert process.wait(PATIENCE) == 0
        proxy.close()
    counted = outcomes(run)
    assert counted["WebSocketSubscribe"]["ok"] >= broken + 4
    begun_at_the_end = 1  # a chat may start as the run time ends, and is stopped then
    assert counted["CreateParticipantConnection"]["ok"] >= counted["StartChatContact"]["started"] - begun_at_the_end
    assert counted["MessageReceipt"]["ok"] > 0
    assert manifest(run)["chats"]["left_open"] == 0
