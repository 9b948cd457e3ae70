"""The running emulator as a whole: what its pages may reset, change, and move forward in time."""

from dataclasses import fields

from harness.emulator.api.api import Api
from harness.emulator.http.faults import FaultPlan
from harness.emulator.http.sink import Sink
from harness.emulator.service.clock import ScaledClock
from harness.emulator.service.state import State
from harness.emulator.settings.parse import parse_settings
from harness.emulator.settings.settings import Settings
from harness.emulator.settings.values import SettingsError

# What every client was told at the start, or what the server was built on: only a new process has others.
_FIXED = frozenset(
    {
        "instance_id", "contact_flow_id", "region", "account_id", "access_key_id", "secret_access_key",
        "arrival_timeout", "max_body",
    }
)  # fmt: skip
# What the chats and their ids are built on: only a reset changes these.
_FROM_THE_START = frozenset({"instances", "held", "held_mean", "seed", "client_token_scope", "unconnected_counts"})


class FixedSetting(SettingsError):
    """A setting that cannot change now."""

    status = 409


class Control:
    """One emulator: its API with all state, and the faults on the way to it."""

    def __init__(self, settings: Settings, clock: ScaledClock, websocket_base: str) -> None:
        self._start, self._clock, self._websocket_base = settings, clock, websocket_base
        self._sink = Sink()
        self.api: Api
        self.faults: FaultPlan
        self._install(settings)

    def _install(self, settings: Settings) -> None:
        state = State(settings, self._clock)
        state.websocket_base = self._websocket_base
        state.conversations.publish = lambda topic, chat, item: self._sink.publish(state.settings, topic, chat, item)
        self.api, self.faults = Api(state), FaultPlan(settings)

    def reset(self, spec: str = "") -> None:
        """Forget every chat, token and count, and go back to the settings of the start, changed as `spec` says.

        Raises SettingsError, and then nothing is forgotten.
        """
        settings = parse_settings(spec, start=self._start)
        _refuse_changes(self._start, settings, _FIXED, "start another emulator")
        self.api.state.close()
        self._clock.restart()
        self._install(settings)

    def change(self, spec: str) -> None:
        """Change settings while chats go on; a limiter whose settings change starts afresh. Raises SettingsError."""
        before = self.api.state.settings
        settings = parse_settings(spec, start=before)
        _refuse_changes(before, settings, _FIXED, "start another emulator")
        _refuse_changes(before, settings, _FROM_THE_START, "give it to a reset")
        self.api.state.change(settings)
        counts = self.api.counts
        self.api, self.faults = Api(self.api.state), FaultPlan(settings)
        self.api.counts = counts

    def advance(self, seconds: float) -> None:
        """Let `seconds` of the emulator's time pass at once: chats expire, buckets fill, flows go on."""
        self._clock.advance(seconds)
        self.api.state.advance(self._clock.now())


def _refuse_changes(before: Settings, after: Settings, names: frozenset[str], instead: str) -> None:
    for item in fields(after):
        if item.name in names and getattr(after, item.name) != getattr(before, item.name):
            raise FixedSetting(f"{item.name} cannot change while the emulator runs; {instead}")
