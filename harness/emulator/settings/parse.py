"""Reads the emulator's settings from text: `key=value,key=value`, with quotes around values that hold commas."""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

from harness.emulator.settings.documented import LIMITS, Limit
from harness.emulator.settings.settings import NAMES, OwnLatency, Settings
from harness.emulator.settings.values import (
    SettingsError,
    choice,
    finite_duration,
    finite_number,
    number,
    short,
)

_PARSERS = {item.name: item.metadata["parse"] for item in fields(Settings) if item.metadata}
_QUOTED = re.compile(r"""\s*("((?:[^"\\]|\\.)*)"|'([^']*)')\s*(?:,|\Z)""", re.DOTALL)


def parse_settings(*specs: str, start: Settings | None = None) -> Settings:
    """Read settings from `specs`, each `key=value,key=value`, over those of `start` (the defaults).

    A value that holds a comma stands in quotes: `greeting="Hello, friend"`. Raises SettingsError, one line, for a key
    that does not exist, a value that does not fit, or values that contradict each other.
    """
    base = start or Settings()
    values: dict[str, Any] = {}
    limits: dict[str, Limit] = dict(base.limits)
    given: dict[str, dict[str, float]] = {}
    for key, text in (pair for spec in specs for pair in _pairs(spec)):
        operation, dot, aspect = key.partition(".")
        try:
            if key in _PARSERS:
                values[key] = _PARSERS[key](text)
            elif not dot or operation not in limits:
                raise SettingsError(_no_setting(key, limits))
            elif aspect in ("latency", "latency_sigma"):
                read = finite_duration if aspect == "latency" else finite_number(5)
                given.setdefault(operation, {})[aspect] = read(text)
            elif operation == "StartChatContact" and aspect in ("rate", "burst"):
                values[aspect] = number(text)
            else:
                limits[operation] = _limit(limits[operation], aspect, text)
        except SettingsError as error:
            raise (
                error if str(error).startswith("no setting") else SettingsError(f"{key}={short(text)}: {error}")
            ) from None
    settings = replace(base, **values, limits=limits)
    return _checked(replace(settings, latencies=_latencies(settings.latencies, given)))


def _pairs(spec: str) -> Iterator[tuple[str, str]]:
    """Return the keys and values of `spec`, quotes taken off. Raises SettingsError for what is not key=value."""
    at = 0
    while at < len(spec):
        comma = spec.find(",", at) % (len(spec) + 1)
        equals = spec.find("=", at, comma)
        if equals < 0:
            piece = spec[at:comma].strip()
            if piece:
                raise SettingsError(f"{short(piece)!r} is not key=value; put a value that holds commas in quotes")
            at = comma + 1
            continue
        key = spec[at:equals].strip()
        quoted = _QUOTED.match(spec, equals + 1)
        if quoted is not None:
            double, single = quoted.group(2), quoted.group(3)
            yield key, single if double is None else re.sub(r"\\(.)", r"\1", double)
            at = quoted.end()
            continue
        text = spec[equals + 1 : comma].strip()
        if text[:1] in ('"', "'"):
            raise SettingsError(f"{short(key)}={short(text)}: the quote at the start of the value has no end")
        yield key, text
        at = comma + 1


def _no_setting(key: str, limits: Mapping[str, Limit]) -> str:
    near = difflib.get_close_matches(key, (*NAMES, *(f"{name}.rate" for name in limits)), 1)
    hint = f"; did you mean {near[0]!r}?" if near else "; --list-settings lists them"
    return f"no setting {short(key)!r}{hint}"


def _latencies(known: Mapping[str, OwnLatency], given: Mapping[str, Mapping[str, float]]) -> dict[str, OwnLatency]:
    latencies = dict(known)
    for operation, aspects in given.items():
        before = latencies.get(operation, OwnLatency(None, None))
        latencies[operation] = OwnLatency(
            aspects.get("latency", before.median), aspects.get("latency_sigma", before.sigma)
        )
    return latencies


def _limit(limit: Limit, aspect: str, text: str) -> Limit:
    if aspect == "rate":
        return Limit(number(text), limit.burst, limit.scope)
    if aspect == "burst":
        return Limit(limit.rate, number(text), limit.scope)
    if aspect == "scope" and limit.scope == "account":
        raise SettingsError("Amazon Connect's own operations are documented to share one bucket an account")
    if aspect == "scope":
        return Limit(
            limit.rate, limit.burst, "account" if choice("account", "instance")(text) == "account" else "instance"
        )
    raise SettingsError("an operation has .rate, .burst and .scope")


def _checked(settings: Settings) -> Settings:
    _check_limiter(settings)
    _check_nodes(settings)
    _check_behaviour(settings)
    return settings


def _check_limiter(settings: Settings) -> None:
    if settings.limiter != "token_bucket" and settings.window * settings.rate / max(settings.shards, 1) < 1:
        raise SettingsError(
            f"rate={settings.rate:g} with window={settings.window:g} admits less than one call a window; raise window"
        )
    if settings.limiter == "token_bucket" and 0 < settings.burst < settings.shards:
        if settings.burst < 1:
            raise SettingsError(f"burst={settings.burst:g} never admits a call; use 1 or more")
        raise SettingsError(
            f"burst={settings.burst:g} over shards={settings.shards} leaves no whole token; lower shards"
        )


def _check_nodes(settings: Settings) -> None:
    for name in ("shards", "instances", "nodes"):
        if getattr(settings, name) < 1:
            raise SettingsError(f"{name}=0: wants 1 or more")
    if settings.nodes > 1 and (settings.limiter != "token_bucket" or settings.shards > 1):
        raise SettingsError("nodes are token buckets: leave out limiter and shards, or nodes")
    if settings.nodes > 1 and not settings.sync:
        raise SettingsError("sync=0: wants a duration above 0, such as 100ms")


def _check_behaviour(settings: Settings) -> None:
    faults = settings.fault_500 + settings.fault_503 + settings.fault_reset + settings.fault_stall
    if faults + settings.fault_garbage > 1:
        raise SettingsError("the fault_* probabilities add up to more than 1")
    if settings.slow_share and not settings.slow_length:
        raise SettingsError("slow_length=0: wants a duration above 0, such as 1s")
    for name in ("arrival_timeout", "websocket_drop", "websocket_half_open", "websocket_lifetime", "websocket_idle"):
        if not getattr(settings, name):
            never = "" if name == "arrival_timeout" else ", or never"
            raise SettingsError(f"{name}=0: wants a duration above 0, such as 30s{never}")
    if settings.fault_operations != "all":
        _check_operations("fault_operations", settings.fault_operations, ", or all")
    if settings.shared:
        _check_operations("shared", settings.shared)


def _check_operations(name: str, joined: str, also: str = "") -> None:
    for operation in joined.split("+"):
        if operation not in LIMITS:
            raise SettingsError(f"{name}={short(operation)}: wants {', '.join(LIMITS)}{also}")
