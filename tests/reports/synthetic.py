"""Writes run directories for tests: a service with a token bucket and a chat quota, simulated apart from our code."""

import heapq
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

BEGAN = 1_795_000_000.0
INSTANCE = "11111111-2222-3333-4444-555555555555"

_TEXT = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        ("operation", _TEXT),
        ("scheduled", pa.float64()),
        ("sent", pa.float64()),
        ("received", pa.float64()),
        ("outcome", _TEXT),
        ("status", pa.int16()),
        ("error_code", _TEXT),
        ("worker", _TEXT),
        ("contact_id", pa.string()),
        ("content_types", _TEXT),
        ("attribute_bytes", pa.int32()),
        ("attribute_count", pa.int32()),
        ("message_bytes", pa.int32()),
        ("duration_minutes", pa.int32()),
        ("request_id", pa.string()),
        ("kind", _TEXT),
    ]
)

_ANSWERS = {
    "started": (200, None, ""),
    "tps_throttled": (429, "TooManyRequestsException", "Too Many Requests"),
    "active_chat_limit": (429, "LimitExceededException", "Active chat quota exceeded"),
    "unclassified_429": (429, "PeculiarException", "Come back <later>"),
    "service_error": (500, "InternalServiceException", "Internal error"),
}


@dataclass(frozen=True)
class Scenario:
    """A run against a service with these limits: rates in 1/s, times in s, `hold` the length of every chat."""

    rate: float = 5.0
    burst: int = 8
    quota: int = 30
    offered: float = 8.0
    seconds: float = 20.0
    hold: float = 1000.0
    faults: float = 0.0
    oddities: int = 0
    lateness: float = 0.0005
    seed: int = 1


def simulate(scenario: Scenario) -> list[dict[str, Any]]:
    """The attempts of one run, as rows of schema 1, in the order in which they were sent."""
    draw = random.Random(scenario.seed)
    rows: list[dict[str, Any]] = []
    tokens, filled, now = float(scenario.burst), BEGAN, BEGAN
    ends: list[tuple[float, str]] = []
    open_chats: set[str] = set()

    def stop(at: float, contact: str) -> None:
        open_chats.discard(contact)
        row = attempt("StopContact", at, at + 0.0002, at + 0.006 + draw.random() * 0.002, "ok", 200, None, contact)
        rows.append(row)

    while True:
        now += draw.expovariate(scenario.offered)
        if now > BEGAN + scenario.seconds:
            break
        while ends and ends[0][0] <= now:
            stop(*heapq.heappop(ends))
        tokens, filled = min(scenario.burst, tokens + (now - filled) * scenario.rate), now
        if draw.random() < scenario.faults:
            outcome = "service_error"
        elif len(rows) < scenario.oddities:
            outcome = "unclassified_429"
        elif tokens < 1:
            outcome = "tps_throttled"
        else:
            tokens -= 1
            outcome = "active_chat_limit" if len(open_chats) >= scenario.quota else "started"
        contact = None
        if outcome == "started":
            contact = f"contact-{len(rows):06d}"
            open_chats.add(contact)
            heapq.heappush(ends, (now + scenario.hold, contact))
        sent = now - draw.random() * 0.001
        status, code, _ = _ANSWERS[outcome]
        row = attempt(
            "StartChatContact",
            sent - scenario.lateness * draw.random() * 2,
            sent,
            now + 0.004 + draw.random() * 0.004 + (0.02 if outcome == "started" else 0.0),
            outcome,
            status,
            code,
            contact,
        )
        row |= _variety(draw, len(rows))
        rows.append(row)
    at = BEGAN + scenario.seconds + 0.5
    while ends:
        _, contact_id = heapq.heappop(ends)
        stop(at, contact_id)
        at += 0.11
    return rows


def _variety(draw: random.Random, number: int) -> dict[str, Any]:
    size = draw.choice([0, 0, 120, 700, 3000, 12_000, 32_700])
    rich = draw.random() < 0.4
    return {
        "content_types": "text/plain,text/markdown" if rich else "text/plain",
        "attribute_bytes": size,
        "attribute_count": 0 if size == 0 else 1 + size // 200,
        "message_bytes": 0 if number % 3 else 40,
        "duration_minutes": 0 if number % 4 else 60,
        "kind": "rich" if rich else "plain",
    }


def attempt(
    operation: str,
    scheduled: float,
    sent: float,
    received: float,
    outcome: str,
    status: int,
    error_code: str | None,
    contact_id: str | None,
) -> dict[str, Any]:
    """One attempt as a row of schema 1; times in unix seconds."""
    return {
        "operation": operation,
        "scheduled": scheduled,
        "sent": sent,
        "received": received,
        "outcome": outcome,
        "status": status,
        "error_code": error_code,
        "worker": "local",
        "contact_id": contact_id,
        "content_types": None,
        "attribute_bytes": 0,
        "attribute_count": 0,
        "message_bytes": 0,
        "duration_minutes": 0,
        "request_id": f"request-{sent:.6f}",
        "kind": None,
    }


def write_run(path: Path, rows: list[dict[str, Any]], *, files: int = 2, **changes: Any) -> Path:
    """Write a run directory of schema 1 that holds `rows`; `changes` replace entries of run.json (None drops one)."""
    (path / "samples").mkdir(parents=True)
    for number in range(files if rows else 0):
        table = pa.Table.from_pylist(rows[number::files], schema=SCHEMA)
        pq.write_table(table, path / "samples" / f"local-{number}.parquet", row_group_size=200)
    _write_ledger(path / "contacts.local.jsonl", rows)
    manifest = _manifest(path.name, rows) | changes
    for name in [name for name, value in manifest.items() if value is None and name in changes]:
        del manifest[name]
    (path / "run.json").write_text(json.dumps(manifest))
    return path


def _write_ledger(path: Path, rows: list[dict[str, Any]]) -> None:
    lines: list[dict[str, Any]] = [{"ledger": 1, "run_id": path.parent.name, "worker": "local"}]
    for row in rows:
        if row["outcome"] == "started":
            lines.append({"event": "started", "at": row["received"], "contact_id": row["contact_id"]})
        elif row["operation"] == "StopContact":
            ended = {"event": "ended", "at": row["received"], "contact_id": row["contact_id"], "how": "stopped"}
            lines.append(ended)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _manifest(run_id: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    starts = [row for row in rows if row["operation"] == "StartChatContact"]
    started = sum(row["outcome"] == "started" for row in starts)
    last = max((row["received"] for row in rows), default=BEGAN)
    return {
        "schema": 1,
        "run_id": run_id,
        "user_class": "StartChat",
        "status": "finished",
        "ended_by": "run_time",
        "exit_code": 0,
        "started_at": BEGAN,
        "ended_at": last,
        "versions": {"chatquota": "0.1.0", "python": "3.11.7", "locust": "2.47.0", "botocore": "1.44.5"},
        "options": {"starts_per_user": 1.0, "arrivals": "poisson", "hold": "0s", "users": 8},
        "target": {
            "endpoint": "http://127.0.0.1:4000",
            "region": "us-east-1",
            "instance_id": INSTANCE,
            "contact_flow_id": "flow",
            "live": False,
            "emulator": "rate=5,burst=8,active_chats=30",
        },
        "workload": {"source": "built-in", "seed": 1, "kinds": [{"name": "plain", "weight": 3, "invalid": False}]},
        "declared": {
            "tps": {"value": 5, "source": "documented default"},
            "active_chats": {"value": 30, "source": "documented default"},
        },
        "generator": {
            "offered": len(starts),
            "sent": len(starts),
            "dropped": 0,
            "dropped_late": 0,
            "withheld": 0,
            "dropped_by_second": {},
            "samples_recorded": len(rows),
            "samples_lost": 0,
            "offered_per_s": round(len(starts) / max(1.0, last - BEGAN), 3),
            "lateness_ms_p50": 0.5,
            "lateness_ms_p99": 1.0,
            "cpu_percent_max": 12.0,
            "valid": True,
            "reasons": [],
            "processes": [
                {
                    "worker": "local",
                    "offered": len(starts),
                    "sent": len(starts),
                    "dropped": 0,
                    "cpu_percent_mean": 9.0,
                    "cpu_percent_max": 12.0,
                }
            ],
        },
        "answers": _answers(starts),
        "chats": {"started": started, "stopped": started, "already_ended": 0, "left_open": 0, "unanswered": 0},
    }


def _answers(starts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    answers = []
    for outcome, (status, code, message) in _ANSWERS.items():
        of_outcome = [row for row in starts if row["outcome"] == outcome]
        if of_outcome and status != 200:
            answers.append(
                {
                    "operation": "StartChatContact",
                    "outcome": outcome,
                    "status": status,
                    "error_code": code,
                    "message": message,
                    "count": len(of_outcome),
                    "first_at": of_outcome[0]["sent"],
                }
            )
    return answers
