"""What the reports say of a limit that is only known from one side, or as a range."""

from reports.capacity.model import ActiveChats, Interval, OperationLimit
from reports.capacity.sentences import _chats_part
from reports.page.sections import _limit
from reports.wording.numbers import known


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


def test_a_burst_that_is_known_is_said_plainly() -> None:
    """A burst with both bounds is its number."""
    assert known(Interval(8, 8, 8)) == "8"
