"""Questions to AWS whose answers are of no known form."""

from typing import NoReturn

import pytest
from botocore.exceptions import BotoCoreError
from botocore.parsers import ResponseParserError

from harness.preflight.model.asking import ask
from harness.preflight.model.rows import NotKnown, collect

TOKEN = "QVFJREFIZ2s4c2VjcmV0LXRva2VuLW9mLWEtcGFydGljaXBhbnQtMDEyMzQ1Njc4OQ=="


class _Strange(BotoCoreError):
    fmt = f"invalid: token={TOKEN}"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ResponseParserError(f"invalid XML received: b'<a>{TOKEN}'"), "an answer that cannot be read"),
        (KeyError(TOKEN), "an answer that cannot be read"),
        (_Strange(), "got no answer"),
    ],
)
def test_an_answer_that_cannot_be_read_is_not_repeated(error: Exception, words: str) -> None:
    """The row names the call and what is wrong, without pieces of the answer."""

    def question() -> NoReturn:
        raise error

    with pytest.raises(NotKnown) as caught:
        ask("connect:DescribeInstance", question)
    assert caught.value.why.startswith(f"connect:DescribeInstance got {words.removeprefix('got ')}")
    assert TOKEN not in caught.value.why


def test_a_check_that_breaks_repeats_no_secret() -> None:
    """Whatever its error holds, the row has no token in it."""

    def check() -> NoReturn:
        raise ValueError(f"token={TOKEN}")

    (row,) = collect("flow", check)
    assert row.state == "not_known"
    assert TOKEN not in row.text
