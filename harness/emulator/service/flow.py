"""Plays the other side of each chat: rules, bot, queue and agents, in the emulator's time and from its seed."""

import random
import re
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from harness.emulator.service.chats import AGENT_LEFT, FLOW_ENDED, Chat, Chats
from harness.emulator.service.items import DELIVERED, JOINED, LEFT, READ, TRANSFERRED, TYPING, Item, Participant
from harness.emulator.service.schedule import Schedule
from harness.emulator.service.transcript import Conversations
from harness.emulator.settings.flow import Delay, Flow, Rule, Step, draw

# Rules that call each other for ever stop here.
_MOST_STEPS = 10_000


@dataclass(slots=True)
class _Progress:
    """Where one chat is: with the bot, in the queue, or with agents (the newest last)."""

    rng: random.Random
    phase: Literal["bot", "queue", "agent"] = "bot"
    served: bool = False  # the bot has a place for it
    greets: bool = True
    agents: list[str] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)  # the agents of the queue of whom it takes a place, since when
    taken: int = 0  # how often it took one
    handed_on_by: list[str] = field(default_factory=list)
    fired: set[int] = field(default_factory=set)
    steps: int = 0


class FlowPlayer:
    """Plays one flow in every chat. The state tells it what customers do; it speaks through `conversations`."""

    def __init__(
        self,
        flow: Flow,
        chats: Chats,
        conversations: Conversations,
        schedule: Schedule,
        seed: int,
        unix: Callable[[float], float],
    ) -> None:
        self._flow, self._chats, self._conversations, self._schedule = flow, chats, conversations, schedule
        self._seed, self._unix = seed, unix
        self.empty = not flow.rules and flow.queue is None  # it does nothing
        self._patterns = [re.compile(rule.matches) for rule in flow.rules]
        self._progress: dict[str, _Progress] = {}
        self._with_bot = 0
        self._waiting: deque[Chat] = deque()
        self._busy: Counter[str] = Counter()
        self._opening = 0.0  # when the queue is served next, after its hours were over

    @property
    def busy(self) -> bool:
        """Whether a chat is in its flow."""
        return bool(self._progress)

    def plays(self, chat: Chat) -> bool:
        """Whether `chat` is in its flow."""
        return chat.contact_id in self._progress

    def start(self, now: float, chat: Chat) -> None:
        """Start the flow of `chat`."""
        if self.empty or self.plays(chat) or chat.ended is not None:
            return
        progress = _Progress(random.Random(f"{self._seed} flow {chat.contact_id}"))
        self._progress[chat.contact_id] = progress
        bot = self._flow.bot
        if bot is not None:
            progress.greets = progress.rng.random() >= bot.never_greets
            self._seek_bot(progress)
        if self._refused_by_bot(progress):
            self._fire(now, chat, "bot_busy")
        elif progress.greets:
            self._fire(now, chat, "start")
        message = chat.request.get("InitialMessage")
        if message is not None:
            self._fire(now, chat, "message", message["Content"])
        for index, rule in enumerate(self._flow.rules):
            if rule.on == "time" and rule.after is not None:
                due = now + draw(rule.after, progress.rng)
                self._schedule.at(due, lambda at, index=index, rule=rule: self._follow(at, chat, index, rule))  # type: ignore[misc]

    def connected(self, now: float, chat: Chat) -> None:
        """Note that the customer's websocket has subscribed for the first time."""
        progress = self._progress.get(chat.contact_id)
        if progress is not None and progress.greets and not self._refused_by_bot(progress):
            self._fire(now, chat, "connect")

    def heard(self, now: float, chat: Chat, item: Item) -> None:
        """Note that the customer has said `item`."""
        progress = self._progress.get(chat.contact_id)
        if progress is None or item.type != "MESSAGE":
            return
        if progress.agents and self._flow.receipts:
            agent = self._agent(chat, progress.agents[-1])
            for kind in (DELIVERED, READ):
                self._conversations.say(now, chat, kind, f'{{"messageId":"{item.id}"}}', agent)
        if progress.phase == "bot" and not progress.served:
            self._seek_bot(progress)
        if self._refused_by_bot(progress):
            self._fire(now, chat, "bot_busy")
            return
        self._fire(now, chat, "message", item.content or "")

    def ended(self, now: float, chat: Chat) -> None:
        """Note that the chat has ended: its places with bot and agent are free."""
        progress = self._progress.pop(chat.contact_id, None)
        if progress is None:
            return
        self._leave_bot(progress)
        if progress.places:
            self._busy.subtract(progress.places.keys())
            # At once, but not inside the call that ended the chat.
            self._schedule.at(now, self._serve_queue)

    def _fire(self, now: float, chat: Chat, on: str, content: str = "") -> None:
        progress = self._progress.get(chat.contact_id)
        for index, rule in enumerate(self._flow.rules):
            if progress is None or rule.on != on:
                continue
            if rule.only_while and rule.only_while != progress.phase:
                continue
            if on == "message" and not self._patterns[index].search(content):
                continue
            self._follow(now, chat, index, rule)
            if on == "message":  # the first rule that matches answers
                return

    def _follow(self, now: float, chat: Chat, index: int, rule: Rule) -> None:
        progress = self._progress.get(chat.contact_id)
        if progress is None or (rule.once and index in progress.fired):
            return
        if rule.only_while and rule.only_while != progress.phase:
            return
        progress.fired.add(index)
        self._run(now, chat, rule.steps, 0)

    def _run(self, now: float, chat: Chat, steps: list[Step], first: int, delayed: bool = False) -> None:
        """Take the steps from `first` on, until one takes time; the rest follows when that is over."""
        for index in range(first, len(steps)):
            progress = self._progress.get(chat.contact_id)
            if progress is None or progress.steps >= _MOST_STEPS:
                return
            progress.steps += 1
            step = steps[index]
            if step.wait is not None:
                self._later(now + draw(step.wait, progress.rng), chat, steps, index + 1)
                return
            by_bot = self._flow.bot is not None and progress.phase == "bot" and not step.by
            if by_bot and (step.message or step.typing is not None) and not (delayed and index == first):
                delay = self._bot_delay(progress, step)
                if delay is None:
                    continue
                if delay > 0:
                    self._later(now + delay, chat, steps, index, delayed=True)
                    return
            if step.typing is not None:
                self._conversations.say(now, chat, TYPING, None, self._speaker(chat, progress, step.by))
                self._later(now + draw(step.typing, progress.rng), chat, steps, index + 1, delayed=True)
                return
            self._take(now, chat, progress, step)

    def _later(self, due: float, chat: Chat, steps: list[Step], index: int, delayed: bool = False) -> None:
        self._schedule.at(due, lambda at: self._run(at, chat, steps, index, delayed))

    def _take(self, now: float, chat: Chat, progress: _Progress, step: Step) -> None:
        message = step.message
        if message is not None:
            self._conversations.say(now, chat, *message, self._speaker(chat, progress, step.by))
        elif step.join is not None:
            self._join(now, chat, progress, step.join)
        elif step.leave is not None:
            self._leave(now, chat, progress, step.leave)
        elif step.transfer is not None:
            before = progress.agents[-1:]
            if before != [step.transfer]:
                self._hand_on(now, chat, progress, before)
                self._join(now, chat, progress, step.transfer)
        elif step.queue and progress.phase != "queue":
            if progress.agents:
                self._hand_on(now, chat, progress, list(progress.agents))
            self._leave_bot(progress)
            progress.phase = "queue"
            self._waiting.append(chat)
            assert self._flow.queue is not None
            self._soon(now, chat, "closed" if self._flow.queue.opens_in(self._unix(now)) else "queued")
            self._serve_queue(now)
        elif step.end:
            self._chats.end(now, chat, AGENT_LEFT if progress.agents else FLOW_ENDED)

    def _hand_on(self, now: float, chat: Chat, progress: _Progress, before: list[str]) -> None:
        """Say that the chat is transferred, and let the agents leave it who had it `before`."""
        self._conversations.say(now, chat, TRANSFERRED, None, self._speaker(chat, progress, ""))
        progress.handed_on_by = before
        for name in before:
            self._leave(now, chat, progress, name)

    def _join(self, now: float, chat: Chat, progress: _Progress, name: str) -> None:
        self._leave_bot(progress)
        progress.phase = "agent"
        if name not in progress.agents:
            progress.agents.append(name)
            if self._flow.queue is not None and name in self._flow.queue.names:
                self._occupy(progress, name)
            self._conversations.say(now, chat, JOINED, None, self._agent(chat, name))
            self._soon(now, chat, "agent_joined")

    def _occupy(self, progress: _Progress, name: str) -> None:
        """Note that the chat takes one of the places of an agent of the queue, whichever way the agent came to it."""
        if name not in progress.places:
            progress.taken += 1
            progress.places[name] = progress.taken
            self._busy[name] += 1

    def _soon(self, now: float, chat: Chat, on: str) -> None:
        """Fire the rules of `on` after the step that brought it about, so that rules cannot nest without end."""
        self._schedule.at(now, lambda at: self._fire(at, chat, on))

    def _leave(self, now: float, chat: Chat, progress: _Progress, name: str) -> None:
        if name in progress.agents:
            progress.agents.remove(name)
            self._conversations.say(now, chat, LEFT, None, self._agent(chat, name))
        if name in progress.places:
            del progress.places[name]
            self._busy[name] -= 1
            self._schedule.at(now, self._serve_queue)

    def _serve_queue(self, now: float) -> None:
        """Give waiting chats to agents who have a place: to the least busy, and to others than who handed it on."""
        queue = self._flow.queue
        while queue is not None and self._waiting:
            progress = self._progress.get(self._waiting[0].contact_id)
            if progress is None or progress.phase != "queue":  # it ended, or an agent joined it otherwise
                self._waiting.popleft()
                continue
            closed = queue.opens_in(self._unix(now))
            if closed:
                self._open_at(now + closed)
                return
            free = [name for name in queue.names if self._busy[name] < queue.chats_per_agent]
            if not free:
                return
            before, chat = progress.handed_on_by, self._waiting.popleft()
            name = min(free, key=lambda one: (one in before, self._busy[one]))
            self._occupy(progress, name)
            due = now + draw(queue.answer_after, progress.rng)
            self._schedule.at(due, lambda at, chat=chat, name=name: self._answer(at, chat, name))  # type: ignore[misc]

    def _open_at(self, opening: float) -> None:
        """Serve the queue when its hours begin; once for all who wait."""
        if abs(self._opening - opening) > 1e-3:
            self._opening = opening
            self._schedule.at(opening, self._serve_queue)

    def _answer(self, now: float, chat: Chat, name: str) -> None:
        progress = self._progress.get(chat.contact_id)
        if progress is None or self._flow.queue is None:
            return
        self._join(now, chat, progress, name)
        handling: Delay | None = self._flow.queue.handling_time
        if handling is not None:
            due = now + draw(handling, progress.rng)
            taken = progress.places.get(name)
            self._schedule.at(due, lambda at: self._hang_up(at, chat, name, taken))

    def _hang_up(self, now: float, chat: Chat, name: str, taken: int | None) -> None:
        """Note that the agent of the queue has done with the chat: it ends, unless it has been handed on since."""
        progress = self._progress.get(chat.contact_id)
        if progress is not None and progress.places.get(name) == taken is not None:
            self._chats.end(now, chat, AGENT_LEFT)

    def _seek_bot(self, progress: _Progress) -> None:
        bot = self._flow.bot
        if bot is not None and not progress.served:
            slower = bot.beyond == "slower"  # a slow bot still takes every conversation
            if slower or bot.conversations is None or self._with_bot < bot.conversations:
                progress.served = True
                self._with_bot += 1

    def _refused_by_bot(self, progress: _Progress) -> bool:
        bot = self._flow.bot
        return bot is not None and bot.beyond == "throttled" and progress.phase == "bot" and not progress.served

    def _leave_bot(self, progress: _Progress) -> None:
        self._with_bot -= progress.served
        progress.served = False

    def _bot_delay(self, progress: _Progress, step: Step) -> float | None:
        """How long the bot takes for `step`; None: it says nothing."""
        bot = self._flow.bot
        assert bot is not None
        seconds, kept = draw(bot.delay, progress.rng), progress.rng.random() >= bot.lost
        if not progress.served and bot.beyond == "silent":
            return None
        if step.message is not None and not kept:
            return None
        crowded = bot.conversations is not None and self._with_bot > bot.conversations
        return seconds * bot.slowdown if crowded and bot.beyond == "slower" else seconds

    def _speaker(self, chat: Chat, progress: _Progress, by: str) -> Participant:
        if by:
            known = by in progress.agents or self._flow.bot is None or by != self._flow.bot.name
            return self._conversations.participant(chat, "AGENT" if known else "CUSTOM_BOT", by)
        if progress.agents:
            return self._agent(chat, progress.agents[-1])
        if progress.phase == "bot" and self._flow.bot is not None:
            return self._conversations.participant(chat, "CUSTOM_BOT", self._flow.bot.name)
        return self._conversations.participant(chat, "SYSTEM")

    def _agent(self, chat: Chat, name: str) -> Participant:
        return self._conversations.participant(chat, "AGENT", name)
