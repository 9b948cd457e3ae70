"""Scripted conversations: what is read from a workload, how a wrong one is refused, and which one a chat gets."""

import json
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.load.workload.from_transcript import script_of_transcript
from harness.load.workload.scripts import Script, Scripts, Turn, Words
from harness.load.workload.toml import parse_workload

INTERACTIVE = "application/vnd.amazonaws.connect.message.interactive.response"
KINDS = '[[kind]]\nname = "plain"\n[[kind]]\nname = "rich"\ncontent_types = ["text/plain", "text/markdown"]\n'


def talk(turn: str, lines: str = "") -> str:
    """A workload whose only conversation has these lines, and one turn with these."""
    return f'{KINDS}[[conversation]]\nname = "c"\n{lines}\n[[conversation.turn]]\n{turn}\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'{KINDS}[[conversation]]\nname = "c"', "conversation 'c': it has no turns; write at least one"),
        ("conversation = 3\n" + KINDS, "write each as a [[conversation]]"),
        (talk('sya = "x"'), "conversation 'c': turn 1: unknown key sya; did you mean say?"),
        (talk('say = "x"\nmarkdown = "y"'), "turn 1: say and markdown: a turn says one thing; write a turn for each"),
        (talk('say = ""'), "turn 1: say: 0 bytes, 1 to 16,384 are allowed"),
        (talk("say = []"), "turn 1: say: the list is empty"),
        (talk(f'say = "{"é" * 8193}"'), "turn 1: say: 16,386 bytes, 1 to 16,384 are allowed; shorten it"),
        (talk("say = 5"), "turn 1: say: a text or a list of texts"),
        (talk('json = "{"'), "turn 1: json: a table, or a text that is JSON"),
        (talk("json = { day = 2026-01-01 }"), "turn 1: json: JSON has no dates"),
        (talk('markdown = "*x*"'), "turn 1: markdown: chats of the kind 'plain' do not declare text/markdown; add it"),
        (talk('wait_for = "godot"'), 'turn 1: wait_for: \'godot\'; use "greeting" or "reply"'),
        (talk('matches = "("'), "turn 1: matches: '(' is not a regular expression"),
        (talk('matches = "a{99999999999}"'), "is not a regular expression"),
        (talk(f'matches = "{"(" * 3000 + ")" * 3000}"'), "is not a regular expression"),
        (talk("json = { x = inf }"), "turn 1: json: a table, or a text that is JSON"),
        (talk("json = 'NaN'"), "turn 1: json: a table, or a text that is JSON (NaN is no number of JSON)"),
        (talk('within = "5s"'), "turn 1: within: there is nothing to wait for; add wait_for or matches"),
        (talk('wait_for = "reply"\nwithin = "soon"'), "turn 1: within: 'soon' is not a duration over 0; use one like"),
        (talk('wait_for = "reply"\notherwise = "cry"'), 'turn 1: otherwise: \'cry\'; use "go_on" or "leave"'),
        (talk("abandon = 2"), "turn 1: abandon: a number from 0 to 1"),
        (talk('think = "long"'), "turn 1: think: 'long' is not a distribution"),
        (talk("think = 3"), "turn 1: think: 3; a text such as"),
        (talk('say = "x"', 'kinds = ["riche"]'), "kinds: there is no kind 'riche'; there are plain, rich"),
        (talk('say = "x"', 'leave = "slowly"'), 'leave: \'slowly\'; use "disconnect", or "vanish"'),
        (talk('say = "x"', "tabs = 6"), "tabs: 6; 1 to 5, as a participant may have 5 open websockets"),
        (talk('say = "x"', "weight = 0"), "weight: a number over 0"),
    ],
)
def test_a_wrong_conversation_is_refused_with_the_key_and_the_remedy(text: str, said: str) -> None:
    """One line names file, conversation, turn and key, and says what to write instead."""
    with pytest.raises(UsageError) as refusal:
        parse_workload(text, "w.toml")
    assert said in str(refusal.value)
    assert str(refusal.value).startswith("--workload w.toml: ")
    assert "\n" not in str(refusal.value)


def test_each_part_of_a_turn_is_read() -> None:
    """A turn holds what its table says; JSON may be a table or a text."""
    lines = 'reconnect = true\nmatches = "order (number|id)"\nwithin = "5s"\notherwise = "leave"\nabandon = 0.25'
    text = talk(f'{lines}\ntyping = true\nthink = "2s"\nmarkdown = ["*a*", "*b*"]', 'kinds = ["rich"]\ntabs = 2')
    (script,) = parse_workload(text, "w").conversations
    (turn,) = script.turns
    assert script.tabs == 2
    assert (turn.reconnect, turn.wait_for, turn.within, turn.else_leave) == (True, "reply", 5.0, True)
    assert (turn.abandon, turn.typing) == (0.25, True)
    assert turn.think is not None
    assert turn.think.mean == 2.0
    assert turn.words == (Words("text/markdown", "*a*"), Words("text/markdown", "*b*"))


def test_scripts_are_drawn_by_weight_among_those_for_the_kind() -> None:
    """Each kind of chat has its own choice; where there is none, the options' script is taken. The seed decides."""

    def script(name: str, weight: float, kinds: tuple[str, ...] = ()) -> Script:
        return Script(name, (Turn(),), weight=weight, kinds=kinds)

    otherwise = script("otherwise", 1)
    scripts = Scripts([script("a", 3, ("x",)), script("b", 1, ("x", "y"))], ["x", "y", "z"], otherwise)
    drawn = [Counter(scripts.draw(kind, rng).name for _ in range(4_000)) for kind in "xyz" if (rng := random.Random(5))]
    assert 0.72 < drawn[0]["a"] / 4_000 < 0.78
    assert drawn[1:] == [Counter({"b": 4_000}), Counter({"otherwise": 4_000})]


def message(second: int, role: str, content: str, content_type: str = "text/plain") -> dict[str, str]:
    """An item of a transcript."""
    at = f"2026-01-01T10:00:{second:02}.000Z"
    return {
        "AbsoluteTime": at,
        "ParticipantRole": role,
        "Type": "MESSAGE",
        "Content": content,
        "ContentType": content_type,
    }


def test_a_transcript_becomes_a_script() -> None:
    """Greeting, question, reply, two messages in a row: waits and pauses are those of the chat."""
    items = [
        message(0, "SYSTEM", "Welcome!"),
        message(4, "CUSTOMER", 'My "order"?'),
        message(9, "CUSTOMER", "It is *late*.", "text/markdown"),
        message(7, "AGENT", "Which?"),
        message(10, "CUSTOMER", '{"templateType":"QuickReply"}', INTERACTIVE),
        message(11, "AGENT", "Thanks."),
    ]
    text = script_of_transcript(json.dumps({"Transcript": items}).encode(), "chat-1")
    (script,) = parse_workload(text, "w").conversations
    assert [turn.wait_for for turn in script.turns] == ["greeting", "reply", "", "reply"]
    assert [turn.think.mean if turn.think else None for turn in script.turns] == [4.0, 2.0, 1.0, None]
    assert script.turns[0].words == (Words("text/plain", 'My "order"?'),)
    assert script.turns[2].words == (Words(INTERACTIVE, '{"templateType":"QuickReply"}'),)


@given(
    st.lists(st.tuples(st.sampled_from(["CUSTOMER", "AGENT", "SYSTEM"]), st.text(min_size=1, max_size=40)), max_size=8)
)
def test_whatever_a_customer_wrote_is_said_again(said: list[tuple[str, str]]) -> None:
    """Every text of the customer stands in the script unchanged, or the transcript is refused for having none."""
    own = [text for role, text in said if role == "CUSTOMER"]
    items = [message(second, role, text) for second, (role, text) in enumerate(said)]
    data = json.dumps({"Transcript": items}).encode()
    if not own:
        with pytest.raises(ValueError, match="says nothing"):
            script_of_transcript(data, "x")
        return
    (script,) = parse_workload(script_of_transcript(data, "x"), "w").conversations
    assert [words.text for turn in script.turns for words in turn.words] == own


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"Transcript": 3}', b'{"Transcript": []}'])
def test_what_is_no_transcript_is_refused(data: bytes) -> None:
    """A wrong file is a ValueError that says what was expected or found."""
    with pytest.raises(ValueError, match=r"not JSON|no Transcript|says nothing"):
        script_of_transcript(data, "x")
