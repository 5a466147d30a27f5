"""Payloads of commands as a sender writes them, sound but for what a test says."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from rampd.daemon.messages import Command, parse

ISSUED = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
SOUND: dict[str, Any] = {
    "id": "a-1",
    "issued_at": "2026-05-04T12:00:00Z",
    "expires_at": "2026-05-04T12:00:30+00:00",
}


def payload(**fields: Any) -> bytes:
    made = SOUND | fields
    return json.dumps({key: value for key, value in made.items() if value is not None}).encode()


def set_point(**fields: Any) -> Command:
    found = parse("setpoint", payload(**fields))
    assert isinstance(found, Command)
    return found


def slot(start: str, end: str, **fields: Any) -> dict[str, Any]:
    return {"start": f"2026-05-04T{start}:00Z", "end": f"2026-05-04T{end}:00Z"} | (fields or {"percent": 50})
