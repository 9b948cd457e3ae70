"""What the reports say of a burst that is only known from one side."""

from reports.page.sections import _limit
from reports.wording.sentences import _chats_part, burst_size


def test_a_bound_is_said_where_only_a_bound_is_known() -> None:
    """After "at least" comes the bound, never the estimate above it."""
    open_above = {"estimate": 9, "low": 8, "high": None}
    assert burst_size(open_above) == "at least 8"
    limit = {"verdict": "explained", "rate": {"estimate": 5.0, "low": 4.99, "high": 5.01}, "burst": open_above}
    assert _limit(limit).endswith("burst at least 8")


def test_a_quota_that_was_met_once_is_said_as_its_range() -> None:
    """The headline gives no single number for a quota that is only known to lie in a range."""
    chats = {"verdict": "explained", "estimate": 100, "low": 88, "high": 100}
    assert _chats_part(chats) == "holds 88 to 100 chats at once"
    assert _chats_part(chats | {"low": 100}) == "holds 100 chats at once"


def test_a_burst_that_is_known_is_said_plainly() -> None:
    """A burst with both bounds is its number."""
    assert burst_size({"estimate": 8, "low": 8, "high": 8}) == "8"
