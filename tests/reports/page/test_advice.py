"""What a report says to do next, and why."""

import msgspec

from reports.capacity.model import (
    ActiveChats,
    Capacity,
    Chats,
    Contrary,
    FirstSeen,
    Generator,
    Interval,
    Operation,
    Sustained,
    Tps,
)
from reports.capacity.sentences import certainty, first_limit_sentence, headline, validity
from reports.page.advice import advice
from reports.page.keys import keys_of
from tests.reports.answers import an_answer

EXACT = Tps(Interval(5.0, 4.99, 5.01), Interval(8.0, 8.0, 8.0), "token_bucket", "explained", class_="exact")
VALID = Generator(valid=True)


def said(chats: ActiveChats, refused: int = 0) -> str:
    """What to do after a valid run in which the TPS limit was met, and the chats' limit `refused` starts."""
    outcomes = {"started": 90, "tps_throttled": 40, "active_chat_limit": refused}
    return "\n".join(advice(an_answer(tps=EXACT, active_chats=chats, generator=VALID, outcomes=outcomes)))


def test_the_plan_that_is_advised_can_be_made() -> None:
    """Where the run met a chat limit and does not explain it, the plan needs it from its reader."""
    unknown = said(ActiveChats(None, 55, None, verdict="not_explained"), refused=20)
    assert "`chatquota plan --run RUN --active-chats QUOTA --arrivals RATE --length TIME`" in unknown
    bound = said(ActiveChats(0, 0, None, verdict="lower_bound"))
    assert "`chatquota plan --run RUN --arrivals" in bound
    assert "The active-chat limit was not met: " in bound


def test_a_chat_limit_that_is_not_explained_has_its_advice() -> None:
    """It names the chats of others, and what would tell."""
    told = said(ActiveChats(None, 55, None, verdict="not_explained"), refused=20)
    assert "look at CloudWatch's ConcurrentActiveChats for chats of others" in told
    assert "--probe active-chats" in told


def test_what_is_asked_for_starts_the_busiest_seconds_too() -> None:
    """Load that comes and goes asks for its peak; that the busiest ten seconds of one rate have some more is chance."""
    chats = ActiveChats(40, 40, None, verdict="lower_bound")
    outcomes = {"started": 90, "tps_throttled": 40}
    for peak, asked in ((15.0, "17 requests"), (22.8, "28 requests")):
        told = Generator(valid=True, offered_per_s=13.82, offered_peak_per_s=peak)
        said = advice(an_answer(tps=EXACT, active_chats=chats, generator=told, outcomes=outcomes))
        assert f"ask for at least {asked} a second" in said[0]
        assert ("in the busiest ten seconds" in said[0]) == (peak == 22.8)


def test_a_run_that_goes_on_is_waited_for() -> None:
    """Nobody is told to stop the chats of a run that holds them, or that its generator set its numbers."""
    going_on = Generator(reasons=["the run is still going on"])
    answer = an_answer(generator=going_on, outcomes={"started": 8}, chats=Chats(started=8, left_open=8))
    assert len(advice(answer)) == 1
    assert advice(answer)[0].startswith("Wait for the run's end")
    assert validity(answer) == ("Invalid run", "the run is still going on. This is what it has recorded so far.")


def test_a_run_that_was_served_nothing_is_not_the_generators_fault() -> None:
    """What the service answers is to be put right first."""
    answer = an_answer(generator=Generator(reasons=["the target served nothing"]), outcomes={"service_error": 20})
    assert validity(answer)[1] == "the target served nothing. It measured nothing of the limits."
    assert advice(answer)[0] == "Put right first what the service answers."
    late = an_answer(generator=Generator(reasons=["it was late"]), outcomes={"started": 20})
    assert validity(late)[1].endswith("The generator, not the service, may have set these numbers.")


def test_a_limit_that_moved_is_measured_again() -> None:
    """Its numbers are those of this run's time."""
    moved = Tps(
        Interval(), Interval(), "unknown", "not_explained", class_="not_stationary", sustained=Sustained(5, 4, 6)
    )
    answer = an_answer(tps=moved, generator=VALID, outcomes={"started": 90, "tps_throttled": 40})
    assert advice(answer)[0] == "The TPS limit moved during the run: measure it again, while nobody changes it."


def journeys(**binds: Interval) -> Capacity:
    """A valid run of journeys, each operation throttled, with the chats a second that they leave room for."""
    calls = {name: Operation(100, 55, 45, 55, binds_at_chats_per_s=at) for name, at in binds.items()}
    return an_answer(generator=VALID, outcomes={"started": 90}, operations=calls, binds_first=next(iter(binds)))


def test_the_operation_that_binds_first_has_its_advice() -> None:
    """Where messages stop a journey, more chat starts would not help; what may bind as early is named beside it."""
    one = journeys(SendMessage=Interval(2.0, 1.99, 2.01), SendEvent=Interval(3.0, 2.9, 3.1))
    assert advice(one)[0].startswith(
        "More of these journeys need more of SendMessage: ask AWS for it in a support case"
    )
    assert headline(one).startswith("SendMessage stops this journey first, at 2.00 chats a second: 45 %")
    both = journeys(SendMessage=Interval(2.0, 1.99, 2.01), SendEvent=Interval(2.01, 2.0, 2.02))
    assert "more of SendMessage and SendEvent: ask AWS for them in a support case" in advice(both)[0]
    assert "SendMessage and SendEvent stop this journey first, at 2.00 chats a second: 45 %" in headline(both)
    starts = journeys(StartChatContact=Interval(2.0, 1.99, 2.01), SendMessage=Interval(3.0, 2.9, 3.1))
    assert not any("journeys" in sentence for sentence in advice(starts))
    late = msgspec.structs.replace(one, first_limit="tps", first_seen={"tps_throttled": FirstSeen(27.4, 27.4)})
    assert first_limit_sentence(late).startswith("The TPS limit stopped chat starts first, 27.4 s into the run")
    assert "First limit of chat starts" in [key.name for key in keys_of(late)]


def test_a_limiter_that_too_few_throttles_tell_is_not_called_inexact() -> None:
    """Of four throttles nobody knows which limiter it is: that none explains them is not said."""
    why = {"too_few_throttles": True, "contradictions": 1, "sentence": "too few calls were throttled."}
    under = Sustained(4, 1, 7)
    few = Tps(
        Interval(), Interval(), "unknown", "not_explained", why, "nearly_bucket", under, contrary=Contrary(0.0066)
    )
    told = headline(an_answer(tps=few, generator=VALID, outcomes={"started": 148, "tps_throttled": 4}))
    assert told.endswith("under pressure (1 to 7); too few calls were throttled to tell the limiter.")
    assert certainty(an_answer(tps=few))[0].startswith("TPS: too few calls were throttled. ")
    many = msgspec.structs.replace(few, evidence={"contradictions": 9})
    assert "no single exact limiter explains it: nearly a token bucket" in headline(
        an_answer(tps=many, generator=VALID, outcomes={"started": 148, "tps_throttled": 40})
    )
    assert certainty(an_answer(tps=many))[0].startswith("TPS: No single limiter explains the throttles: 0.66 %")
