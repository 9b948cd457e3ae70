"""What a customer waits for, on times that the test gives."""

from harness.load.conversation.waits import Wait, Waits

Story = list[tuple[str, float, float, str]]


def waits() -> tuple[Waits, Story]:
    """Waits with 30 s of patience, and what they tell: operation, begun, over, outcome."""
    story: Story = []

    def told(wait: Wait, at: float, outcome: str) -> None:
        story.append((wait.operation, wait.begun, at, outcome))

    return Waits(30.0, told), story


def test_greeting_and_replies_are_told_apart() -> None:
    """The first message before the customer's own is the greeting; the next one after it is the reply."""
    one, story = waits()
    one.subscribed(10.0)
    one.heard(10.5)
    one.sending()
    one.accepted(20.0, 20.1, 20.0, "text/plain", 5)
    one.heard(21.0)
    one.heard(22.0)  # "Anything else?" replies to nothing
    assert story == [("Greeting", 10.0, 10.5, "ok"), ("Reply", 20.1, 21.0, "ok")]
    assert one.patient_until is None


def test_what_does_not_come_in_time_is_missed_when_the_patience_is_over() -> None:
    """However late it is looked at, a wait ends when its own patience does; a later message answers nothing."""
    one, story = waits()
    one.subscribed(0.0)
    one.expire(29.9)
    assert not story
    one.heard(100.0)
    one.sending()
    one.accepted(110.0, 110.0, 110.0, "text/plain", 5)
    one.expire(500.0)
    assert story == [("Greeting", 0.0, 30.0, "no_greeting"), ("Reply", 110.0, 140.0, "no_reply")]


def test_reply_that_overtakes_the_answer_to_its_message_counts() -> None:
    """A fast bot's frame is read before the answer to SendMessage; an older message of it is no reply."""
    one, story = waits()
    one.subscribed(0.0)
    one.heard(1.0)
    one.sending()
    one.heard(5.05)
    one.accepted(5.0, 5.1, after=5.04, content_type="text/plain", message_bytes=5)
    one.sending()
    one.accepted(6.0, 6.1, after=6.0, content_type="text/plain", message_bytes=5)
    one.heard(6.5)
    assert story[1:] == [("Reply", 5.05, 5.05, "ok"), ("Reply", 6.1, 6.5, "ok")]


def test_one_message_replies_to_all_that_wait() -> None:
    """Two messages of an impatient customer have one reply, which ends both waits."""
    one, story = waits()
    one.subscribed(0.0)
    one.heard(0.1)
    one.sending()
    one.accepted(1.0, 1.0, 1.0, "text/plain", 5)
    one.accepted(2.0, 2.0, 2.0, "text/plain", 5)
    one.heard(3.0)
    assert [(at - begun, outcome) for _, begun, at, outcome in story[1:]] == [(2.0, "ok"), (1.0, "ok")]


def test_what_cannot_be_known_is_neither_answered_nor_missed() -> None:
    """A customer who writes first cannot tell a greeting from a reply, and one who leaves does not learn of it."""
    one, story = waits()
    one.subscribed(0.0)
    one.sending()
    one.accepted(1.0, 1.0, 1.0, "text/plain", 5)
    one.heard(1.5)
    one.accepted(2.0, 2.0, 2.0, "text/plain", 5)
    one.close(3.0, ended=False)
    assert [(operation, outcome) for operation, _, _, outcome in story] == [
        ("Greeting", "not_awaited"),
        ("Reply", "ok"),
        ("Reply", "not_awaited"),
    ]


def test_a_chat_that_the_other_side_ends_was_not_answered() -> None:
    """Nothing comes after the end of a chat, so what was waited for is missed at that time."""
    one, story = waits()
    one.subscribed(0.0)
    one.close(4.0, ended=True)
    one.close(5.0, ended=False)
    assert story == [("Greeting", 0.0, 4.0, "no_greeting")]
