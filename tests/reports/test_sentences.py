"""What the reports say of a limit that is only known from one side, or as a range."""

import math

from hypothesis import given
from hypothesis import strategies as st

from reports.capacity.model import ActiveChats, Interval, OperationLimit
from reports.capacity.sentences import _chats_part
from reports.figures.over_time import _limit_words
from reports.page.sections import _limit
from reports.wording.numbers import known, rounded, signed


def test_a_bound_is_said_where_only_a_bound_is_known() -> None:
    """After "at least" comes the bound, never the estimate above it."""
    open_above = Interval(9, 8, None)
    assert known(open_above) == "at least 8"
    limit = OperationLimit(Interval(5.0, 4.99, 5.01), open_above, "token_bucket", "explained", 100)
    assert _limit(limit).endswith("burst at least 8")


def test_a_quota_that_was_met_once_is_said_as_its_range() -> None:
    """The headline gives no single number for a quota that is only known to lie in a range."""
    assert _chats_part(ActiveChats(100, 88, 100, verdict="explained")) == "holds 88 to 100 chats at once"
    assert _chats_part(ActiveChats(100, 100, 100, verdict="explained")) == "holds 100 chats at once"


def test_a_bound_on_the_chats_is_said_where_it_says_something() -> None:
    """A limit that was met where no fixed one would be is not left out; four chats at once of many started are no news."""
    met = _chats_part(ActiveChats(None, 55, None, verdict="not_explained"), 95)
    assert met == "holds at least 55 chats at once; no fixed limit on this run's chats explains where it refused more"
    assert _chats_part(ActiveChats(46, 46, None, verdict="lower_bound"), 46) == "holds at least 46 chats at once"
    assert _chats_part(ActiveChats(4, 4, None, verdict="lower_bound"), 175) is None
    assert _chats_part(ActiveChats(None, 0, None, verdict="not_explained"), 95) is None


def test_a_burst_that_is_known_is_said_plainly() -> None:
    """A burst with both bounds is its number."""
    assert known(Interval(8, 8, 8)) == "8"


@given(st.floats(1e-5, 1e12), st.integers(1, 4))
def test_no_number_for_a_reader_has_an_exponent(value: float, digits: int) -> None:
    """Whatever its size a number is written out, with its digits, and a change with its sign."""
    text = rounded(value, digits)
    assert "e" not in text
    assert math.isclose(float(text.replace(",", "")), value, rel_tol=0.6 * 10 ** (1 - digits) + 1e-3)
    assert signed(-value) == f"-{signed(value)[1:]}"
    assert signed(value)[0] == "+"


def test_a_latency_of_a_minute_and_a_half_is_written_out() -> None:
    """Captions have no 9.33e+04 ms."""
    assert rounded(93_312.4) == "93,300"
    assert signed(-12_345.6) == "-12,346"


def test_a_bound_under_the_peak_says_why() -> None:
    """Where 44 chats were open and 35 are known to have been open at once, the page says what the others were."""
    bound = ActiveChats(35, 35, None, verdict="lower_bound")
    expected = "; 35 of them surely at once, the others may have been ending; the active-chat limit was not reached."
    assert _limit_words(bound, 44) == expected
    assert _limit_words(bound, 35) == "; the active-chat limit was not reached."
