"""Command payloads: what is taken, and what is refused with which words."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rampd.daemon import messages
from rampd.daemon.arbitrate import Mode
from rampd.daemon.messages import (
    KNOWN,
    LARGEST,
    LARGEST_PLAIN,
    VERBS,
    Command,
    Interval,
    ModeChange,
    Planned,
    RackUse,
    Rejected,
    Schedule,
    Stop,
    ack,
    parse,
    stamp,
)
from tests.payloads import ISSUED, SOUND, payload, set_point, slot


@pytest.mark.parametrize(
    "fields", [{"power_w": 8.0e6}, {"by_w": -2e6}, {"percent": 40}, {"percent": 0}, {"power_w": 0}]
)
def test_a_set_point_names_one_power(fields: dict[str, float]) -> None:
    command = set_point(**fields)
    ((name, value),) = fields.items()
    assert getattr(command, name) == value
    assert command.issued_at == ISSUED
    assert command.expires_at - command.issued_at == timedelta(seconds=30)


def test_all_that_a_command_may_say() -> None:
    full = payload(
        percent=40, ramp_s=5, shape="s-curve", lease_s=900, envelope="normal", best_effort=True, reply_to="over/there",
        who="grid", reason="r",
        interval={"start": "2026-05-04T14:00:00+02:00", "end": "2026-05-04T13:00:00Z"},
    )  # fmt: skip
    command = parse("setpoint", full)
    assert isinstance(command, Command)
    assert command.interval is not None
    assert command.interval.start == ISSUED
    assert (command.ramp_s, command.lease_s, command.envelope, command.best_effort) == (5, 900, "normal", True)
    assert command.shape == "s-curve"
    assert (command.reply_to, command.who, command.reason) == ("over/there", "grid", "r")


def test_what_is_not_said_has_the_contracts_defaults() -> None:
    command = set_point(percent=40)
    assert (command.envelope, command.shape, command.best_effort) == ("dispatched", "linear", False)
    assert (command.lease_s, command.ramp_s) == (None, None)


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in ("setpoint", "estop")])
def test_the_other_verbs_take_no_power(verb: str) -> None:
    assert parse(verb, payload()).id == "a-1"
    for name in ("power_w", "by_w", "percent"):
        with pytest.raises(Rejected, match=f"{verb} takes no {name}") as refused:
            parse(verb, payload(**{name: 1}))
        assert (refused.value.code, refused.value.command_id) == ("malformed", "a-1")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "exactly one of power_w, by_w and percent, not none"),
        ({"power_w": 1, "percent": 1}, "not power_w and percent"),
        ({"percent": -1}, "percent: "),
        ({"percent": 100.1}, "percent: "),
        ({"power_w": "much"}, "power_w: "),
        ({"power_w": [1]}, "power_w: "),
        ({"power_w": 1, "id": None}, "id: "),
        ({"power_w": 1, "id": ""}, "id: "),
        ({"power_w": 1, "id": "x" * 65}, "id: "),
        ({"power_w": 1, "id": "a/b"}, "id: "),
        ({"power_w": 1, "id": "a\n"}, "id: "),
        ({"power_w": 1, "id": 7}, "id: "),
        ({"power_w": 1, "issued_at": None}, "issued_at: "),
        ({"power_w": 1, "expires_at": None}, "expires_at: "),
        ({"power_w": 1, "issued_at": "2026-05-04T12:00:00"}, "issued_at: "),
        ({"power_w": 1, "issued_at": "yesterday"}, "issued_at: "),
        ({"power_w": 1, "expires_at": "2026-05-04T12:00:00Z"}, "expires_at must lie after issued_at"),
        ({"power_w": 1, "ramp_s": 0}, "ramp_s: "),
        ({"power_w": 1, "ramp_s": -5}, "ramp_s: "),
        ({"power_w": 1, "ramp_s": 1e6}, "ramp_s: "),
        ({"power_w": 1, "ramp_w_per_s": 0}, "ramp_w_per_s: "),
        ({"power_w": 1, "ramp_s": 5, "ramp_w_per_s": 5}, "not both"),
        ({"power_w": 1, "lease_s": 0}, "lease_s: "),
        ({"power_w": 1, "envelope": "emergency"}, "envelope: "),
        ({"power_w": 1, "shape": "s"}, "shape: "),
        ({"power_w": 1, "interval": {"begin": "2026-05-04T12:00:00Z"}}, "interval.begin: "),
        ({"power_w": 1, "interval": {"start": "2026-05-04T12:00:00"}}, "interval.start: "),
        ({"power_w": 1, "reply_to": ""}, "reply_to: "),
        ({"power_w": 1, "reply_to": "a/#"}, "reply_to: "),
        ({"power_w": 1, "reply_to": "a/+/b"}, "reply_to: "),
        ({"power_w": 1, "reply_to": "$SYS/a"}, "reply_to: "),
        ({"power_w": 1, "reply_to": "a\0b"}, "reply_to: "),
        ({"power_w": 1, "reply_to": "x" * 257}, "reply_to: "),
        ({"power_w": 1, "reply_to": "rampd/v1/hall/cmd/setpoint"}, "reply_to: "),
        ({"power_w": 1, "reason": "x" * 513}, "reason: "),
        ({"power_w": 1, "who": "x" * 129}, "who: "),
        ({"power_w": 1, "speed": 3}, "speed: "),
    ],
)
def test_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(Rejected, match=re.escape(words)) as refused:
        parse("setpoint", payload(**fields))
    assert refused.value.code == "malformed"
    sound_id = fields.get("id", "a-1") == "a-1"
    assert refused.value.command_id == ("a-1" if sound_id else "invalid")


@pytest.mark.parametrize(
    ("fields", "command_id", "ignored"),
    [
        ({}, "a-1", ""),
        ({"percent": 0}, "a-1", "percent: "),
        ({"power_w": True, "lease_s": -1, "interval": 5, "mode": "hand", "command_id": "b"}, "a-1", "power_w: "),
        ({"issued_at": None, "expires_at": None}, "a-1", "issued_at: "),
        ({"issued_at": 1777896000, "expires_at": "tomorrow"}, "a-1", "issued_at: "),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "a-1", "expires_at must lie after"),
        ({"who": 7, "reason": ["fire"], "reply_to": "a/#"}, "a-1", "reply_to: "),
        ({"reason": "x" * 20000}, "a-1", "reason: "),
        ({"reason": "\ud800"}, "a-1", "reason: "),
        ({"\ud800": 1}, "a-1", "payload: "),
        ({"x": 10**4000}, "a-1", "x: "),
        ({"id": 7}, None, "id: "),
        ({"id": "a/b"}, None, "id: "),
        ({"id": None}, None, "id: "),
    ],
)
def test_a_stop_is_a_stop_whatever_stands_beside_it(
    fields: dict[str, Any], command_id: str | None, ignored: str
) -> None:
    stop = parse("estop", payload(**fields))
    assert isinstance(stop, Stop)
    assert stop.id == command_id or (command_id is None and re.fullmatch("stop-[0-9a-f]{12}", stop.id))
    assert ignored in stop.ignored
    assert bool(stop.ignored) == bool(ignored)
    assert len(stop.ignored) <= messages.LONGEST_REMARK


def test_what_is_legible_of_a_stop_counts() -> None:
    stop = parse("estop", payload(who="operator:ann", reason="smoke", reply_to="over/there", percent=0, issued_at=0))
    assert (stop.id, stop.who, stop.reason, stop.reply_to) == ("a-1", "operator:ann", "smoke", "over/there")
    stop = parse("estop", payload(who=True, reason="smoke", ignored="x", expires_at=5))
    assert (stop.id, stop.who, stop.reason) == ("a-1", "", "smoke")


@pytest.mark.parametrize(
    ("data", "command_id"),
    [
        (b"{}", None),
        (b'\xef\xbb\xbf{"id": "a"}', "a"),
        (b'{"id": "a", "reason": "\xdcberlast"}', "a"),
        (b'{"id": "a", "reason": "two\nlines"}', "a"),
        (b'{"id": "a", "id": "b"}', "b"),
        (b'{"id": "a", "n": ' + b"9" * 5000 + b"}", "a"),
    ],
)
def test_an_object_that_others_would_be_refused_for_is_a_stop(data: bytes, command_id: str | None) -> None:
    stop = parse("estop", data)
    assert isinstance(stop, Stop)
    assert stop.id == command_id or (command_id is None and re.fullmatch("stop-[0-9a-f]{12}", stop.id))
    assert stop.ignored


@given(st.dictionaries(
    st.sampled_from([*SOUND, "who", "reason", "reply_to", "percent"]) | st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    ),
))  # fmt: skip
def test_every_object_is_a_stop(fields: dict[str, Any]) -> None:
    assert isinstance(parse("estop", json.dumps(fields).encode()), Stop)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"null", b"[]", b'"x"', b"[" * 5000, b'{"a":' * 9000, b"{}" + b" " * LARGEST]
)
def test_what_is_no_object_is_no_stop(data: bytes) -> None:
    with pytest.raises(Rejected) as refused:
        parse("estop", data)
    assert (refused.value.code, refused.value.command_id) == ("malformed", "invalid")


@pytest.mark.parametrize(
    ("verb", "double"),
    [
        ("setpoint", '"percent": 10, "percent": 90'),
        ("setpoint", '"percent": 10, "id": "a-1"'),
        ("setpoint", '"percent": 10, "percent": 10'),
        ("setpoint", '"percent": 10, "interval": {"end": "2026-05-04T12:01:00Z", "end": "2026-05-04T13:00:00Z"}'),
        ("schedule", '"intervals": [], "intervals": []'),
        ("mode", '"mode": "remote", "mode": "hand"'),
    ],
)
def test_what_is_said_twice_is_not_chosen_from(verb: str, double: str) -> None:
    with pytest.raises(Rejected, match="stands there twice") as refused:
        parse(verb, payload()[:-1] + f", {double}}}".encode())
    assert (refused.value.code, refused.value.command_id) == ("malformed", "a-1")


def test_a_schedule() -> None:
    intervals = [slot("13:00", "14:00", power_w=8e6, ramp_s=60, shape="s-curve"), slot("14:00", "15:30", percent=40)]
    found = parse("schedule", payload(intervals=intervals))
    assert isinstance(found, Schedule)
    assert [(one.power_w, one.percent, one.envelope) for one in found.intervals] == [
        (8e6, None, "normal"), (None, 40, "normal"),
    ]  # fmt: skip
    assert parse("schedule", payload(intervals=[])).id == "a-1"


@pytest.mark.parametrize(
    ("verb", "fields", "words"),
    [
        ("schedule", {}, "intervals: "),
        ("schedule", {"intervals": [slot("13:00", "13:00")]}, "end must lie after start"),
        ("schedule", {"intervals": [slot("14:00", "13:00")]}, "end must lie after start"),
        (
            "schedule",
            {"intervals": [slot("13:00", "14:00", power_w=1, percent=1)]},
            "exactly one of power_w and percent",
        ),
        ("schedule", {"intervals": [slot("13:00", "14:00", ramp_s=5)]}, "exactly one of power_w"),
        ("schedule", {"intervals": [slot("13:00", "14:00", by_w=1)]}, "intervals.0.by_w: "),
        ("schedule", {"intervals": [slot("13:00", "14:00", percent=101)]}, "intervals.0.percent: "),
        ("schedule", {"intervals": [slot("13:00", "14:00", percent=1, ramp_s=1, ramp_w_per_s=1)]}, "not both"),
        (
            "schedule",
            {"intervals": [slot("13:00", "14:00"), slot("13:59", "15:00")]},
            "overlap or are out of order at 20",
        ),
        (
            "schedule",
            {"intervals": [slot("15:00", "16:00"), slot("13:00", "14:00")]},
            "overlap or are out of order at 20",
        ),
        ("schedule", {"intervals": [{"start": "2026-05-04T13:00:00", "end": "2026-05-04T14:00:00Z"}]}, "start: "),
        ("schedule", {"intervals": [], "percent": 40}, "percent: "),
        ("mode", {}, "mode: "),
        ("mode", {"mode": "manual"}, "mode: "),
        ("mode", {"mode": "hand", "lease_s": 0}, "lease_s: "),
        ("mode", {"mode": "hand", "percent": 1}, "percent: "),
    ],
)
def test_schedules_and_modes_refused(verb: str, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(Rejected, match=re.escape(words)) as refused:
        parse(verb, payload(**fields))
    assert (refused.value.code, refused.value.command_id) == ("malformed", "a-1")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"\xff\xfe",
        b"[" * 5000,
        b'{"a":' * 3000,
        b'{"power_w": ' + b"9" * 5000 + b"}",
        b'{"id": "a-1"',
        b'{"power_w": NaN}',
        b'{"power_w": 1e999}',
    ],
)
def test_what_is_no_command_at_all(data: bytes) -> None:
    with pytest.raises(Rejected) as refused:
        parse("setpoint", data)
    assert (refused.value.code, refused.value.command_id) == ("malformed", "invalid")


@pytest.mark.parametrize(("verb", "most"), [("setpoint", LARGEST_PLAIN), ("schedule", LARGEST)])
def test_too_large(verb: str, most: int) -> None:
    with pytest.raises(Rejected, match=f"{most} at most") as refused:
        parse(verb, payload(power_w=1) + b" " * most)
    assert refused.value.code == "malformed"


@pytest.mark.parametrize("verb", ["dance", "", "setpoint/x", "rack", "rack/", "rack/a/b", "SETPOINT"])
def test_an_unknown_verb_is_answered_to_its_sender(verb: str) -> None:
    with pytest.raises(Rejected, match="known: setpoint") as refused:
        parse(verb, payload(power_w=1))
    assert (refused.value.code, refused.value.command_id) == ("unsupported", "a-1")


@given(st.binary(max_size=200) | st.text(max_size=80).map(str.encode) | st.dictionaries(
    st.sampled_from([*SOUND, "power_w", "percent", "lease_s", "interval", "reply_to", "envelope", "intervals", "mode"]),
    st.none() | st.booleans() | st.floats() | st.text(max_size=20) | st.lists(st.integers(), max_size=3),
).map(lambda fields: json.dumps(fields).encode()))  # fmt: skip
def test_no_payload_does_anything_but_be_taken_or_refused(data: bytes) -> None:
    for verb in (*KNOWN, "dance"):
        try:
            command = parse(verb, data)
        except Rejected as refused:
            assert refused.code in ("malformed", "unsupported")
            assert re.fullmatch(messages.ID, refused.command_id)
        else:
            assert re.fullmatch(messages.ID, command.id)


def test_an_acknowledgement_has_the_contracts_keys() -> None:
    made = ack("a-1", "partial", code="short", message="0.1 MW short", power_w=None)
    assert set(made) == {"id", "at", "stage", "code", "message", "power_w"}
    assert (made["stage"], made["code"], made["power_w"]) == ("partial", "short", None)
    assert ack("a-1", "received", power_w=1.0)["code"] == "ok"


def test_stamps_are_rfc_3339_in_utc() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stamp())
    assert abs((datetime.fromisoformat(stamp()) - datetime.now(UTC)).total_seconds()) < 5


def test_no_character_that_a_broker_closes_a_connection_over_is_answered_on() -> None:
    """MQTT 5, 1.5.4 and 4.7.1: controls, surrogates and non-characters of all planes, and wildcards."""
    refused = {c for c in range(sys.maxunicode + 1) if not messages.may_answer_on(f"a{chr(c)}b")}
    controls = {*range(0x20), *range(0x7F, 0xA0)}
    nowhere = {*range(0xD800, 0xE000), *range(0xFDD0, 0xFDF0)}
    last = {plane << 16 | low for plane in range(17) for low in (0xFFFE, 0xFFFF)}
    assert refused == controls | nowhere | last | {ord("+"), ord("#")}


@pytest.mark.parametrize(
    ("topic", "good"),
    [
        ("grid/answers", True),
        ("rampd/v1/hall/ack/office", True),
        ("rampd/v1/hall2/state", True),
        ("rampd/v1", True),
        ("/rampd/v1/hall/state", True),
        ("rampd/v1/hall", False),
        ("rampd/v1/hall/", False),
        ("rampd/v1/hall/ack", False),
        ("rampd/v1/hall/state", False),
        ("rampd/v1/hall/status", False),
        ("rampd/v1/hall/event/mode", False),
        ("rampd/v1/hall/over/there", False),
        ("rampd/v1/hall/cmd/estop", False),
        ("rampd/v1/hall2/cmd/estop", False),
        ("", False),
        ("x" * 65536, False),
    ],
)
def test_no_answer_is_taken_for_something_that_the_site_says(topic: str, good: bool) -> None:
    assert messages.may_answer_on(topic, "rampd/v1/hall") is good


def test_the_page_on_commands_names_all_of_them() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
    words = set(re.findall(r"`([^`\s]+)`", page))
    for model in (Command, Schedule, Planned, ModeChange, RackUse, Interval):
        assert words >= set(model.model_fields), model.__name__
    assert words >= {f"cmd/{verb}" for verb in KNOWN}
    assert words >= {str(mode) for mode in Mode}
