"""The client's words: powers, and the envelope of every command."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from rich.console import Console

from rampd.daemon import cli, client, messages, onsite, sitecheck
from rampd.daemon.arbitrate import Source, asked_by
from rampd.daemon.metrics import RACK_STATES


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("8MW", {"power_w": 8e6}),
        ("0.8 MW", {"power_w": 8e5}),
        ("800kW", {"power_w": 8e5}),
        ("500W", {"power_w": 500.0}),
        ("0W", {"power_w": 0.0}),
        ("40%", {"percent": 40.0}),
        ("40.5 %", {"percent": 40.5}),
        (" 40% ", {"percent": 40.0}),
        ("+2MW", {"by_w": 2e6}),
        ("-2MW", {"by_w": -2e6}),
        ("-2.5kW", {"by_w": -2500.0}),
    ],
)
def test_power(text: str, command: dict[str, float]) -> None:
    assert client.power(text) == command


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8",
        "MW",
        "8 mw",
        "8mW",
        "8GW",
        "8,5MW",
        "1e6W",
        "+40%",
        "-40%",
        "--2MW",
        "8MW 9MW",
        ".5MW",
        "nan%",
        "\u0661MW",
        "1_0MW",
    ],
)
def test_what_is_no_power(text: str) -> None:
    with pytest.raises(client.Usage):
        client.power(text)


def test_the_envelope_is_one_that_the_daemon_takes() -> None:
    made = client.envelope("a test", valid_s=20) | {"percent": 40}
    command = messages.parse("setpoint", json.dumps(made).encode())
    assert (command.expires_at - command.issued_at).total_seconds() == pytest.approx(20, abs=0.002)
    assert abs(command.issued_at.timestamp() - datetime.now(UTC).timestamp()) < 5
    assert command.reason == "a test"
    assert "@" in command.who
    assert client.envelope("")["id"] != client.envelope("")["id"]


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(client, "getuser", nobody)
    assert client.envelope("")["who"].split("@")[0].isdigit()


@pytest.mark.parametrize(
    ("words", "fields", "source"),
    [
        ("40%", {"percent": 40}, Source.REMOTE),
        ("8MW --in 5s --lease 15m --operator", {"power_w": 8e6, "ramp_s": 5, "lease_s": 900}, Source.OPERATOR),
        ("-2MW --shape s-curve --best-effort", {"by_w": -2e6, "shape": "s-curve", "best_effort": True}, Source.REMOTE),
    ],
)
def test_the_words_of_rampd_set(words: str, fields: dict[str, Any], source: Source) -> None:
    made = client.set_point(cli.parser().parse_args(["set", *words.split()]))
    command = messages.parse("setpoint", json.dumps(made).encode())
    assert {name: getattr(command, name) for name in fields} == fields
    assert asked_by(command.who) is source


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("+0.2MW", {"power_w": 2e5, "part": None, "lease_s": None}),
        ("-200kW --lease 8s", {"power_w": -2e5, "lease_s": 8.0}),
        ("0W", {"power_w": 0.0}),
        ("-50% --reason agc", {"part": -0.5, "power_w": None, "reason": "agc"}),
        ("100%", {"part": 1.0}),
    ],
)
def test_the_words_of_rampd_regulate(words: str, fields: dict[str, Any]) -> None:
    made = client.signal(cli.parser().parse_args(["regulate", *words.split()]))
    signal = messages.parse("regulation", json.dumps(made).encode())
    assert {name: getattr(signal, name) for name in fields} == fields


@pytest.mark.parametrize("text", ["", "0.5", "-2", "+-2MW", "half"])
def test_what_is_no_regulation(text: str) -> None:
    with pytest.raises(client.Usage, match="write \\+2MW, -500kW, 0W or -50%, with its unit"):
        client.beside_set_point(text)


GOOD: dict[str, Any] = {
    "id": "a", "at": "2026-12-01T06:00:00.000Z", "stage": "reached", "code": "ok", "message": "", "power_w": 4,
}  # fmt: skip


@pytest.mark.parametrize(
    ("payload", "good"),
    [
        (json.dumps(GOOD), True),
        (json.dumps(GOOD | {"power_w": None, "more": 1}).encode(), True),
        (json.dumps(GOOD | {"stage": 7}), False),
        (json.dumps(GOOD | {"power_w": "4"}), False),
        (json.dumps(GOOD | {"power_w": 10**400}), False),
        (json.dumps({name: GOOD[name] for name in GOOD if name != "power_w"}), False),
        (json.dumps({"stage": "reached"}), False),
        (b"hello", False),
        (b"\xff\xfe\x00", False),
        (b"[1]", False),
        (b"[" * 50_000, False),
        (b"", False),
        (7, False),
        (None, False),
    ],
)
def test_what_rampd_says_is_told_from_what_somebody_else_does(payload: Any, good: bool) -> None:
    assert GOOD.keys() == messages.ack("a", "reached", power_w=None).keys()
    message = aiomqtt.Message("rampd/v1/hall/ack/a", payload, 1, False, 1, None)
    if good:
        assert client.said(message, client.ACK)["stage"] == "reached"
    else:
        with pytest.raises(client.Unavailable, match=r"^rampd/v1/hall/ack/a: no answer of this rampd: ") as error:
            client.said(message, client.ACK)
        assert len(str(error.value)) < 400


CONFIG = sitecheck.load(Path(__file__).resolve().parents[2] / "examples" / "bench-12" / "site.toml")
REASON = {"scope": "cdu-1", "reason": "cooling", "action": "derate", "racks": 3, "needs_reset": False}
STATE: dict[str, Any] = (
    dict.fromkeys(("at", "mode", "envelope", "binding", "source", "control", "channel"), "x")
    | dict.fromkeys(("power_w", "reference_w", "regulation_w", "response_w", "requested_w", "min_w", "max_w"), 1e6)
    | {"firm_down_5s_w": 0.0, "firm_up_5s_w": 1, "frequency_hz": 50.0, "command_id": "c-1", "compliant": True}
    | {"racks": dict.fromkeys(RACK_STATES, 12), "failsafe": [REASON]}
)


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({}, True),
        (dict.fromkeys(("power_w", "reference_w", "regulation_w", "response_w", "frequency_hz", "command_id")), True),
        ({"failsafe": [], "more": [1]}, True),
        ({"power_w": "8 MW"}, False),
        ({"frequency_hz": "50"}, False),
        ({"firm_up_5s_w": None}, False),
        ({"min_w": None}, False),
        ({"reference_w": [1]}, False),
        ({"response_w": "-1.2 MW"}, False),
        ({"max_w": 10**400}, False),
        ({"command_id": 7}, False),
        ({"compliant": "yes"}, False),
        ({"failsafe": ["leak"]}, False),
        ({"failsafe": [REASON, {"reason": "x"}]}, False),
        ({"failsafe": [REASON | {"action": 7}]}, False),
        ({"racks": [1]}, False),
        ({"racks": dict.fromkeys(RACK_STATES)}, False),
    ],
)
def test_a_state_is_shown_or_said_to_be_none(changes: dict[str, Any], good: bool) -> None:
    """What passes is read to the end: the table of `rampd status`, and what `rampd qualify --site` objects to."""
    message = aiomqtt.Message("rampd/v1/hall/state", json.dumps(STATE | changes).encode(), 1, False, 1, None)
    if not good:
        with pytest.raises(client.Unavailable, match=r"^rampd/v1/hall/state: no answer of this rampd: "):
            client.said(message, client.STATE)
        return
    found = client.said(message, client.STATE)
    assert client.table(CONFIG, {"state": found, "status": {}}).row_count >= 9
    for calm in ({}, {"mode": "default", "command_id": None, "failsafe": []}):
        assert onsite.objection(CONFIG, onsite.Watch(state=found | calm, status={"state": "online"}), 1e5) != ""


@pytest.mark.parametrize("key", STATE)
def test_a_state_that_lacks_something_is_none(key: str) -> None:
    payload = json.dumps({name: STATE[name] for name in STATE if name != key}).encode()
    with pytest.raises(client.Unavailable):
        client.said(aiomqtt.Message("rampd/v1/hall/state", payload, 1, False, 1, None), client.STATE)


@pytest.mark.parametrize(("response_w", "words"), [(-1.2e6, "1.000 MW, primary response -1.200 MW"), (0.0, "1.000 MW")])
def test_status_says_what_stands_beside_the_reference(response_w: float, words: str) -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(
        client.table(CONFIG, {"state": STATE | {"regulation_w": 0.0, "response_w": response_w}, "status": {}})
    )
    assert f"reference {words}  requested" in console.export_text()
