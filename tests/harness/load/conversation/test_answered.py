"""Was the customer answered? The samples of a real run beside the log of a service that was written apart."""

import subprocess
from collections import Counter
from pathlib import Path

from tests.support.answering_service import AnsweringService, Behaviour
from tests.support.locust_runs import LOCUST, ROOT, manifest, samples


def converse(service: AnsweringService, run: Path, *options: str) -> str:
    """A headless Locust with conversations; returns what it said."""
    target = ("--host", service.endpoint, "--instance-id", "i", "--contact-flow-id", "f", "--region", "us-east-1")
    record = ("--run-dir", str(run), "--only-summary", "--stop-rate", "400")
    done = subprocess.run(
        [*LOCUST, "--headless", "ChatConversation", *target, *record, *options],
        cwd=run.parent,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_EC2_METADATA_DISABLED": "true",
        },
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_waits_match_the_log_of_the_service_to_the_last_chat(tmp_path: Path) -> None:
    """Each chat's greeting and replies are those that the service says it gave; what it lost is missed, and nothing else."""
    run = tmp_path / "run"
    # Few replies are lost and few chats are silent in a short run, so both are made more frequent here.
    with AnsweringService(Behaviour(seconds=0.1, loses=10, silent=6)) as service:
        converse(service, run, "-u", "4", "-r", "4", "-t", "10s", "--think-time", "200ms", "--reply-timeout", "1s")
        log = service.log
    greetings: dict[str, str] = {}
    replies: dict[str, Counter[str]] = {}
    for row in samples(run):
        if row["operation"] == "Greeting":
            assert row["contact_id"] not in greetings
            greetings[row["contact_id"]] = row["outcome"]
        elif row["operation"] == "Reply":
            replies.setdefault(row["contact_id"], Counter())[row["outcome"]] += 1
    connected = {contact: chat for contact, chat in log.items() if chat.connected is not None}
    assert set(greetings) == set(connected)
    for contact, chat in connected.items():
        if greetings[contact] != "not_awaited":  # the run ended meanwhile
            assert greetings[contact] == ("ok" if chat.greeted is not None else "no_greeting")
        counted = replies.get(contact, Counter())
        assert sum(counted.values()) == len(chat.taken)
        if not counted["not_awaited"]:
            assert counted["no_reply"] == chat.answered.count(None)
    said = Counter(greetings.values())
    assert said["no_greeting"] >= 2
    assert sum((counted for counted in replies.values()), Counter())["no_reply"] >= 3
    assert said["not_awaited"] <= 8
    assert manifest(run)["generator"]["valid"], manifest(run)["generator"]["reasons"]


def test_a_flow_that_says_nothing_makes_no_run_invalid(tmp_path: Path) -> None:
    """Nobody is greeted and nobody is answered: that is recorded, customers go on, and the run stays valid."""
    run = tmp_path / "run"
    with AnsweringService(Behaviour(loses=1, silent=1)) as service:
        options = ("--think-time", "100ms", "--reply-timeout", "500ms", "--await-replies", "yes")
        converse(service, run, "-u", "2", "-r", "2", "-t", "5s", *options)
        log = service.log
    outcomes = Counter((row["operation"], row["outcome"]) for row in samples(run))
    assert not outcomes["Greeting", "ok"] + outcomes["Reply", "ok"]
    assert outcomes["Greeting", "no_greeting"] >= len(log) - 3 > 0
    assert outcomes["Reply", "no_reply"] > 0
    assert manifest(run)["generator"]["valid"], manifest(run)["generator"]["reasons"]


SCRIPTED = """
[[kind]]
name = "web"
[[conversation]]
name = "careful"
tabs = 2
stay = "0s"
[[conversation.turn]]
wait_for = "greeting"
say = "first"
[[conversation.turn]]
say = "second, at once"
[[conversation.turn]]
matches = "second"
within = "5s"
reconnect = true
say = "third"
[[conversation.turn]]
abandon = 0.5
wait_for = "reply"
say = "fourth"
"""


def test_scripts_are_played_as_they_are_written(tmp_path: Path) -> None:
    """Each customer says the turns in order, waits for the words it is to wait for, reconnects, and may leave early."""
    workload, run = tmp_path / "workload.toml", tmp_path / "run"
    workload.write_text(SCRIPTED)
    with AnsweringService(Behaviour(seconds=0.1, loses=0, silent=0)) as service:
        converse(service, run, "-u", "4", "-r", "4", "-t", "8s", "--workload", str(workload))
        log = service.log
    through = [chat for chat in log.values() if chat.left is not None]
    assert len(through) > 10
    lengths = Counter(len(chat.words) for chat in through)
    assert set(lengths) == {3, 4}
    for chat in through:
        assert chat.words == ["first", "second, at once", "third", "fourth"][: len(chat.words)]
        assert chat.greeted is not None
        assert chat.greeted < chat.taken[0] < chat.taken[1]
        assert chat.answered[1] is not None
        assert chat.answered[1] <= chat.taken[2]
        assert chat.connections == 3  # two tabs, of which one was loaded again
