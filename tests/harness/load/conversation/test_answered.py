"""Was the customer answered? The samples of a real run beside the log of a service that was written apart."""

import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from harness.command import main
from tests.support.answering_service import AnsweringService, Behaviour, ChatLog
from tests.support.locust_runs import LOCUST, ROOT, manifest, samples


def converse(service: AnsweringService, run: Path, *options: str, codes: tuple[int, ...] = (0,)) -> str:
    """A headless Locust with conversations that ends with one of `codes`; returns what it said."""
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
        timeout=180,
        check=False,
    )
    assert done.returncode in codes, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


SLOPE = 0.02
"""Seconds by which each open chat too many slows the bot down: few enough that the chats do not pile up without end."""
GOAL = 1.0
BUSY = (0, 5)
"""Exit codes: on a busy machine the generator may be too late for a valid run, whose numbers must be right all the same."""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("comfortable", "loses", "silent"), [(40, 50, 30), (30, 30, 20)])
def test_the_report_has_the_numbers_of_the_service_to_the_last_chat(
    tmp_path: Path, comfortable: int, loses: int, silent: int
) -> None:
    """A bot that answers in 200 ms up to 40 (30) open chats and then slows down, loses one reply in 50 (30) and never greets
    one chat in 30 (20): the report counts what the service's own log counts, and names the open chats at which it slowed
    down.
    """
    run = tmp_path / "run"
    options = (
        "-u",
        "7",
        "-r",
        "7",
        "-t",
        "35s",
        "--messages",
        "5",
        "--think-time",
        "exponential:800ms",
        "--hold",
        "6s",
    )
    talk = (
        "--conversation",
        "messages,disconnect",
        "--reply-timeout",
        "6s",
        "--await-replies",
        "yes",
        "--reply-goal",
        "1s",
    )
    with AnsweringService(Behaviour(0.2, comfortable, SLOPE, loses, silent)) as service:
        converse(service, run, *options, *talk, codes=BUSY)
        log = service.log
    assert main(["report", str(run), "--no-figures", "--quiet"]) == 0
    answer = json.loads((run / "capacity.json").read_text())
    found = answer["answered"]
    assert answer["outcomes"]["started"] == len(log) > 60

    felt = _felt(run)
    unfinished = [contact for contact, chat in log.items() if chat.left is None]  # the run ended meanwhile
    whole = {contact: chat for contact, chat in log.items() if contact not in unfinished}
    assert len(whole) > 40
    for contact, chat in whole.items():
        assert felt[contact] == _logged(chat), contact
    told = sum((felt.get(contact, Counter()) for contact in unfinished), sum(map(_logged, whole.values()), Counter()))
    assert (found["greeted"], found["no_greeting"]) == (told["Greeting ok"], told["Greeting no_greeting"])
    assert (found["replied"], found["no_reply"]) == (told["Reply ok"], told["Reply no_reply"])
    assert told["Greeting no_greeting"] > 0
    replies = [reply for chat in log.values() for reply in zip(chat.taken, chat.answered, chat.open_chats, strict=True)]
    assert told["Reply no_reply"] > 0

    took = sorted((answered - taken) * 1000 for taken, answered, _ in replies if answered is not None)
    for name, share in (("p50", 0.5), ("p95", 0.95)):
        assert found["reply_ms"][name] == pytest.approx(took[int(share * len(took))], abs=100)
    slow = comfortable + (GOAL - 0.2) / SLOPE
    assert max(open_chats for _, _, open_chats in replies) > slow + 10
    assert found["knee"]["low"] - 4 <= slow <= found["knee"]["high"] + 4
    text = (run / "report.md").read_text()
    greetings, messages = (told[f"{wait} ok"] + told[f"{wait} no_{wait.lower()}"] for wait in ("Greeting", "Reply"))
    assert f"{told['Greeting no_greeting']} of {greetings} chats were never greeted" in text
    assert f"{told['Reply no_reply']} of {messages:,} messages were never answered" in text


def _felt(run: Path) -> dict[str, Counter[str]]:
    """What the samples say of each chat's waits."""
    felt: dict[str, Counter[str]] = {}
    for row in samples(run):
        if row["operation"] in ("Greeting", "Reply"):
            felt.setdefault(row["contact_id"], Counter())[f"{row['operation']} {row['outcome']}"] += 1
    return felt


def _logged(chat: ChatLog) -> Counter[str]:
    """What the service did in a chat, in the words of the samples."""
    wanted = Counter({"Greeting ok" if chat.greeted is not None else "Greeting no_greeting": 1})
    wanted["Reply ok"] = len(chat.answered) - chat.answered.count(None)
    wanted["Reply no_reply"] = chat.answered.count(None)
    return +wanted
