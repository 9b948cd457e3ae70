"""The running emulator as a whole: what its pages may reset, change, and move forward in time."""

from dataclasses import fields

from harness.emulator.api.api import Api
from harness.emulator.http.faults import FaultPlan
from harness.emulator.service.clock import ScaledClock
from harness.emulator.service.state import State
from harness.emulator.settings.parse import parse_settings
from harness.emulator.settings.settings import Settings
from harness.emulator.settings.values import SettingsError

# What the chats, their ids and the open connections are built on: only a new process has others.
_FIXED = frozenset(
    {
        "instances", "instance_id", "region", "account_id", "held", "held_mean", "seed", "arrival_timeout", "max_body",
        "client_token_scope", "access_key_id", "secret_access_key",
    }
)  # fmt: skip


class Control:
    """One emulator: its API with all state, and the faults on the way to it."""

    def __init__(self, settings: Settings, clock: ScaledClock, websocket_base: str) -> None:
        self._start, self._clock, self._websocket_base = settings, clock, websocket_base
        self.api: Api
        self.faults: FaultPlan
        self._install(settings)

    def _install(self, settings: Settings) -> None:
        state = State(settings, self._clock)
        state.websocket_base = self._websocket_base
        self.api, self.faults = Api(state), FaultPlan(settings)

    def reset(self) -> None:
        """Forget every chat, token and count, fill every bucket, and go back to the settings of the start."""
        self.api.state.close()
        self._install(self._start)

    def change(self, spec: str) -> None:
        """Change settings while chats go on; a limiter whose settings change starts afresh. Raises SettingsError."""
        before = self.api.state.settings
        settings = parse_settings(spec, start=before)
        for item in fields(settings):
            if item.name in _FIXED and getattr(settings, item.name) != getattr(before, item.name):
                raise SettingsError(f"{item.name} cannot change while the emulator runs; start another one")
        self.api.state.change(settings)
        counts = self.api.counts
        self.api, self.faults = Api(self.api.state), FaultPlan(settings)
        self.api.counts = counts

    def advance(self, seconds: float) -> None:
        """Let `seconds` of the emulator's time pass at once: chats expire, buckets fill, flows go on."""
        self._clock.advance(seconds)
        self.api.state.advance(self._clock.now())
