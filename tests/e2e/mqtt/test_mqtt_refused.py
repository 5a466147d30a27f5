"""What a site refuses, each with its reason, and that nothing moves by it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.bus import Client, after, envelope
from tests.hall import Hall
from tests.mqtt import said, stand
from tests.waits import until

# Every case: verb, payload, the code, and a word that the message must have.

REFUSED: dict[str, tuple[str, Callable[[], dict[str, Any] | bytes], str, str]] = {
    "expired": ("setpoint", lambda: envelope(percent=50, issued_at=after(-9), expires_at=after(-1)), "expired", "ago"),
    "ends before it begins": ("setpoint", lambda: envelope(percent=50, expires_at=after(-9)), "malformed", "expires"),
    "issued in the future": (
        "setpoint", lambda: envelope(percent=50, issued_at=after(120), expires_at=after(150)), "clock", "future"
    ),
    "no issued_at": ("setpoint", lambda: envelope(percent=50, issued_at=None), "malformed", "issued_at"),
    "a time without zone": (
        "setpoint", lambda: envelope(percent=50, issued_at="2026-01-01T00:00:00"), "malformed", "issued_at"
    ),
    "no id": ("setpoint", lambda: envelope(percent=50, id=None), "malformed", "id"),
    "an id with a topic's characters": ("setpoint", lambda: envelope(percent=50, id="a/#"), "malformed", "id"),
    "no JSON": ("setpoint", lambda: b"60 %, please", "malformed", "JSON"),
    "half of a JSON": ("setpoint", lambda: json.dumps(envelope(percent=50)).encode()[:-1], "malformed", "JSON"),
    "an array": ("setpoint", lambda: b"[1]", "malformed", "object"),
    "nothing": ("setpoint", lambda: b"", "malformed", "JSON"),
    "deep nesting": ("setpoint", lambda: b"[" * 10000, "malformed", "payload"),
    "unknown key": ("setpoint", lambda: envelope(percent=50, pace=1), "malformed", "pace"),
    "two powers": ("setpoint", lambda: envelope(percent=50, power_w=5e5), "malformed", "exactly one"),
    "no power": ("setpoint", envelope, "malformed", "exactly one"),
    "hold with a power": ("hold", lambda: envelope(percent=50), "malformed", "percent"),
    "power above the site": ("setpoint", lambda: envelope(power_w=9e6), "limit", "outside"),
    "power below the site": ("setpoint", lambda: envelope(power_w=-1.0), "limit", "outside"),
    "below what racks need": ("setpoint", lambda: envelope(percent=5), "unreachable", "best_effort"),
    "percent 101": ("setpoint", lambda: envelope(percent=101), "malformed", "percent"),
    "a yes for a number": ("setpoint", lambda: envelope(percent=True), "malformed", "percent"),
    "seconds for a time": ("setpoint", lambda: envelope(percent=50, issued_at=time.time()), "malformed", "issued_at"),
    "no number": ("setpoint", lambda: envelope(power_w=math.nan), "malformed", ""),
    "endless": ("setpoint", lambda: envelope(power_w=math.inf), "malformed", ""),
    "a lease too long": ("setpoint", lambda: envelope(percent=50, lease_s=20000), "lease", "14400"),
    "a lease of nothing": ("setpoint", lambda: envelope(percent=50, lease_s=0), "malformed", "lease_s"),
    "two ramps": ("setpoint", lambda: envelope(percent=50, ramp_s=5, ramp_w_per_s=1e5), "malformed", "ramp"),
    "an emergency envelope": ("setpoint", lambda: envelope(percent=50, envelope="emergency"), "malformed", "envelope"),
    "an interval that is over": (
        "setpoint", lambda: envelope(percent=50, interval={"start": after(-9), "end": after(-5)}), "expired", "interval"
    ),
    "too large": ("setpoint", lambda: envelope(percent=50, reason="x" * 20000), "malformed", "bytes"),
    "a long reason": ("setpoint", lambda: envelope(percent=50, reason="x" * 600), "malformed", "reason"),
    "an unknown verb": ("dance", envelope, "unsupported", "known"),
    "reset without a stop": ("reset", envelope, "nothing", "reset"),
    "an answer to a command topic": (
        "setpoint", lambda: envelope(percent=50, reply_to="rampd/v1/hall/cmd/release"), "malformed", "reply_to"
    ),
    "an answer in the place of the state": (
        "setpoint", lambda: envelope(percent=50, reply_to="rampd/v1/hall/state"), "malformed", "reply_to"
    ),
    "an answer to a wildcard": ("setpoint", lambda: envelope(percent=50, reply_to="over/#"), "malformed", "reply_to"),
}  # fmt: skip


@pytest.fixture(scope="module")
def refusals(hall: Hall, bus: Client) -> dict[str, dict[str, Any]]:
    """Sends all cases while the site stands at 80 %; for each its last answer and what changed by it."""
    bus.command("release")
    stand(hall, bus)
    live = bus.command("setpoint", percent=80, ramp_s=2)
    bus.until_stage(live, "started", 5)
    until(lambda: bus.state["reference_w"] == bus.state["requested_w"], 20, "the reference is at 80 %")
    before = bus.next_state()
    assert before["command_id"] == live
    found: dict[str, dict[str, Any]] = {}
    for name, (verb, make, _, _) in REFUSED.items():
        payload = make()
        given = payload.get("id") if isinstance(payload, dict) else None
        # What cannot be told by its id is answered under "invalid".
        known = isinstance(given, str) and "#" not in given and name != "too large"
        topic = f"ack/{given if known else 'invalid'}"
        since_s = time.monotonic()
        bus.publish(f"cmd/{verb}", payload if isinstance(payload, bytes) else json.dumps(payload))
        until(
            lambda topic=topic, at=since_s: said(bus, topic, at) in ("rejected", "reached"), 5, f"an answer to {name}"
        )
        found[name] = bus.of(topic, since_s)[-1].payload
    again = bus.command("setpoint", percent=50, id=live)
    until(lambda: bus.stages(again)[-1] == "rejected", 5, "an answer to the repeated id")
    found["repeated id"] = bus.acks(again)[-1]
    state = bus.next_state()
    changed = {key for key in ("command_id", "requested_w", "reference_w", "mode") if state[key] != before[key]}
    assert changed == set(), "a refused command changed something"
    return found


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_command_says_why(refusals: dict[str, dict[str, Any]], name: str) -> None:
    _, _, code, word = REFUSED[name]
    ack = refusals[name]
    assert (ack["stage"], ack["code"]) == ("rejected", code), ack
    assert word in ack["message"], ack


def test_a_repeated_id_is_refused(refusals: dict[str, dict[str, Any]]) -> None:
    ack = refusals["repeated id"]
    assert (ack["stage"], ack["code"]) == ("rejected", "repeated")
    assert "handled already" in ack["message"]


def test_a_command_that_waited_at_the_broker_is_refused(hall: Hall, bus: Client) -> None:
    assert [(ack["stage"], ack["code"]) for ack in bus.acks("retained")][:1] == [("rejected", "retained")]
    assert all(state["requested_w"] != 0.5 * hall.config.site.max_mw * 1e6 for state in bus.states())
    bus.publish("cmd/setpoint", b"", retain=True)


def test_no_limit_was_broken(hall: Hall) -> None:
    assert hall.limits_broken() == []
