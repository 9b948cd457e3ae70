"""What a report says to do next."""

from reports.capacity.model import ActiveChats, Generator, Interval, Tps
from reports.page.advice import advice
from tests.reports.answers import an_answer

EXACT = Tps(Interval(5.0, 4.99, 5.01), Interval(8.0, 8.0, 8.0), "token_bucket", "explained", class_="exact")
VALID = Generator(valid=True)


def said(chats: ActiveChats, refused: int = 0) -> str:
    """What to do after a valid run in which the TPS limit was met, and the chats' limit `refused` starts."""
    outcomes = {"started": 90, "tps_throttled": 40, "active_chat_limit": refused}
    return "\n".join(advice(an_answer(tps=EXACT, active_chats=chats, generator=VALID, outcomes=outcomes)))


def test_the_plan_that_is_advised_can_be_made() -> None:
    """A run that says nothing of the chats at once needs the quota from its reader; one that does needs none."""
    unknown = said(ActiveChats(0, 0, None, verdict="lower_bound"))
    assert "`chatquota plan --run RUN --active-chats QUOTA --arrivals RATE --length TIME`" in unknown
    assert "The active-chat limit was not met: " in unknown
    assert "`chatquota plan --run RUN --arrivals" in said(ActiveChats(40, 40, None, verdict="lower_bound"))


def test_a_chat_limit_that_is_not_explained_has_its_advice() -> None:
    """It names the chats of others, and what would tell."""
    told = said(ActiveChats(None, 55, None, verdict="not_explained"), refused=20)
    assert "look at CloudWatch's ConcurrentActiveChats for chats of others" in told
    assert "--probe active-chats" in told
