"""Says what to do next, from this run's evidence alone: what to ask for, what to change, and what would teach the rest."""

from harness.counting import counted
from reports.capacity.journey import bind_first
from reports.capacity.model import Capacity
from reports.capacity.sentences import nothing_served
from reports.page.behind import behind_advice
from reports.page.variety import balance_advice
from reports.run.timeline import BUSIEST_S
from reports.wording.numbers import known, number
from reports.wording.vocabulary import GOING_ON, HARNESS_CALLS, QUOTA, START, START_OUTCOMES, STARTED, TPS

_MARGIN = 1.2
"""What is asked for beside what was offered: AWS grants nothing within a day."""


_BY_CHANCE = 5.0
"""Standard deviations of a Poisson count: the busiest of many stretches of one rate is hardly ever so far from the mean."""


def advice(answer: Capacity) -> list[str]:
    """Return what to do, the most pressing first; empty where the run leaves nothing to be done."""
    if GOING_ON in answer.generator.reasons:
        return [
            "Wait for the run's end and make the report again: it has not all of its calls yet, and its chats are open."
        ]
    if not answer.generator.valid:
        served = ["Put right first what the service answers."] if nothing_served(answer) else []
        again = "Run it again before using any number of it: see why the run is not valid."
        return [*_left_open(answer), *served, again]
    return [
        *_left_open(answer),
        *_journey(answer),
        *_tps(answer),
        *_active_chats(answer),
        *behind_advice(answer),
        *_retries(answer),
        *_unknown(answer),
        *balance_advice(answer),
    ]


def _left_open(answer: Capacity) -> list[str]:
    left = answer.chats.left_open or 0
    if not left:
        return []
    return [f"Stop the {counted(left, 'chat that is', 'chats that are')} still open: `chatquota cleanup RUN`."]


def _journey(answer: Capacity) -> list[str]:
    """What more of the journeys need, where another operation than StartChatContact stops them first."""
    first = [name for name in bind_first(answer) if name not in (START, *HARNESS_CALLS)]
    if not first or answer.binds_first == START:
        return []
    names, them = " and ".join(first), "it" if len(first) == 1 else "them"
    typing = ", such as typing events" if "SendEvent" in first else ""
    return [
        f"More of these journeys need more of {names}: ask AWS for {them} in a support case, with the text of `chatquota "
        f"report RUN --request`, or make fewer of those calls in a chat{typing}."
    ]


def _tps(answer: Capacity) -> list[str]:
    tps, generator = answer.tps, answer.generator
    offered, most = generator.offered_per_s, generator.offered_peak_per_s
    when = ""
    if offered and most and most - offered > _BY_CHANCE * (offered / BUSIEST_S) ** 0.5:
        offered, when = most, " in the busiest ten seconds"
    rate = tps.rate.estimate if tps.exact else tps.sustained.estimate if tps.sustained else None
    if not answer.outcomes.get(TPS) or not rate:
        return []
    lines = []
    if tps.class_ == "not_stationary":
        lines.append("The TPS limit moved during the run: measure it again, while nobody changes it.")
    if offered and offered > rate:
        lines.append(
            f"To start the {counted(number(offered), 'chat')} a second that were offered{when}, ask for at least "
            f"{number(_rounded_up(offered * _MARGIN))} requests a second (L-AA48CD49): `chatquota report RUN "
            f"--request --want-tps {number(_rounded_up(offered * _MARGIN))}`."
        )
    quota = " --active-chats QUOTA" if answer.active_chats.verdict == "not_explained" else ""
    lines.append(
        f"For arrivals of your own, `chatquota plan --run RUN{quota} --arrivals RATE --length TIME` says how many "
        "customers are refused and what to ask for."
    )
    return lines


def _active_chats(answer: Capacity) -> list[str]:
    chats, crossing = answer.active_chats, answer.crossover_s
    if chats.verdict == "not_explained" and answer.outcomes.get(QUOTA):
        return [
            "The active-chat limit was met, but not where this run's own chats alone would put it: look at CloudWatch's "
            "ConcurrentActiveChats for chats of others, and measure again while nobody else holds any: `chatquota run "
            "QuotaProbe --headless --probe active-chats`."
        ]
    if chats.verdict != "explained" or crossing is None or crossing.estimate is None:
        return []
    return [
        f"Chats longer than {known(crossing)} s on average fill the {counted(known(chats), 'chat')} before the "
        "TPS limit is met: end idle chats (ChatDurationInMinutes), or ask for more chats at once (L-D4BA6F6E)."
    ]


def _retries(answer: Capacity) -> list[str]:
    throttled = answer.outcomes.get(TPS, 0)
    calls = sum(answer.outcomes.get(name, 0) for name in START_OUTCOMES)
    if not throttled or answer.retry_lab is not None or throttled < 0.01 * calls:
        return []
    return [
        "A caller should try a throttled start again, with a pause that grows and the same ClientToken; "
        "`--sdk-retries standard` shows what that costs and gains here."
    ]


def _unknown(answer: Capacity) -> list[str]:
    lines = []
    tps, chats = answer.tps, answer.active_chats
    if not answer.outcomes.get(TPS):
        lines.append("The TPS limit was not met: `chatquota run QuotaProbe --headless --probe tps` finds it.")
    elif not tps.exact and (tps.safe is None or tps.safe.poisson is None):
        lines.append(
            "How much may be offered without refusals is not known: `chatquota run QuotaProbe --headless --probe safe` "
            "measures it."
        )
    if chats.verdict == "lower_bound":
        most = max(answer.peak_active.chats, round(chats.low or 0))
        held = f" with {counted(number(most), 'chat')} open" if most else ""
        lines.append(
            f"The active-chat limit was not met{held}: `chatquota run QuotaProbe --headless "
            "--probe active-chats` finds it, with a --max-chats above it."
        )
    if sum(answer.outcomes.values()) and not answer.outcomes.get(STARTED):
        lines.append("No chat was started: look at the answers of the service below.")
    return lines


def _rounded_up(value: float) -> float:
    return float(-(-value // 1))
