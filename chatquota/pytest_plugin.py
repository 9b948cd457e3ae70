"""pytest fixtures for tests of a chat application: an emulator of Amazon Connect chat, fresh for each test."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from chatquota.emulation import Emulator

_MARK = "connect_emulator"
_OF_THE_PROCESS = ("tls", "time_scale", "port")
_REFUSED_WHILE_RUNNING = 409


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the ini option with the settings of every test's emulator."""
    parser.addini(_MARK, "settings of the emulator of every test, one key=value a line", type="linelist", default=[])


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers", f"{_MARK}(rate=5, flow={{...}}, tls=True, ...): settings of this test's emulator of Amazon Connect"
    )


@pytest.fixture(scope="session")
def connect_emulator_server(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    """Return the emulator that the tests of a session share; use `connect_emulator`, which each test finds empty."""
    with _started(request.config, {}) as service:
        yield service


@pytest.fixture
def connect_emulator(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    """Return an emulator of Amazon Connect chat without any chats, with the settings of the test's markers."""
    settings = marked(request.node.iter_markers(_MARK))
    if not any(name in settings for name in _OF_THE_PROCESS):
        from chatquota.emulation import EmulatorError

        service: Emulator = request.getfixturevalue("connect_emulator_server")
        try:
            service.reset(**settings)
        except EmulatorError as problem:
            if problem.status != _REFUSED_WHILE_RUNNING:
                raise
        else:
            yield service
            return
    with _started(request.config, settings) as service:
        yield service


@pytest.fixture
def connect_emulator_environment(connect_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """Return the same emulator, with the environment set so that every AWS client that the test makes calls it."""
    for name, value in connect_emulator.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    return connect_emulator


def marked(markers: Iterable[pytest.Mark]) -> dict[str, Any]:
    """Return the settings of a test's markers, of which the closest comes first. Raises pytest.UsageError."""
    settings: dict[str, Any] = {}
    for marker in reversed(list(markers)):
        if marker.args:
            raise pytest.UsageError(f"{_MARK}{marker.args!r}: settings have names, as in {_MARK}(rate=5, burst=8)")
        settings |= marker.kwargs
    return settings


def _started(config: pytest.Config, settings: dict[str, Any]) -> Any:
    from chatquota.emulation import EmulatorError, emulator

    given: dict[str, Any] = {}
    for line in config.getini(_MARK):
        name, equals, value = line.partition("=")
        if not equals:
            raise EmulatorError(f"{_MARK} in the pytest configuration: {line!r} is not key=value, such as rate=20")
        given[name.strip()] = value.strip()
    return emulator(**{**given, **settings})
