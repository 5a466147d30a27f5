"""Command payloads: every value is of its kind, and none is guessed at."""

from __future__ import annotations

from typing import Any

import pytest

from rampd.daemon.messages import Rejected, parse
from tests.payloads import ISSUED, payload, set_point, slot

NUMBERS = [True, False, "8e5", "40", [40], {}]
MOMENTS = [
    1777896000, 1777896000000, 1777896000.5, "1777896000", "2026-05-04", "2026-05-04T12:00Z", "2026-05-04 12:00:00Z",
    "2026-05-04T12:00:00", "2026-05-04T12:00:00+0200", "20260504T120000Z", "2026-05-04T12:00:60Z", True,
    "\u0662026-05-04T12:00:00Z",
]  # fmt: skip


OTHER_KINDS: list[tuple[str, dict[str, Any], str, Any]] = [
    *(("setpoint", {}, name, wrong) for name in ("power_w", "by_w", "percent") for wrong in NUMBERS),
    *(("setpoint", {"percent": 1}, name, wrong) for name in ("lease_s", "ramp_s") for wrong in NUMBERS),
    *(("setpoint", {"percent": 1}, "ramp_w_per_s", wrong) for wrong in NUMBERS),
    *(("setpoint", {"percent": 1}, "best_effort", wrong) for wrong in ("on", "true", "no", 1, 0, 1.0, [])),
    *(("setpoint", {"percent": 1}, name, 7) for name in ("who", "reason", "reply_to", "shape", "interval")),
    *(("setpoint", {"percent": 1}, name, wrong) for name in ("issued_at", "expires_at") for wrong in MOMENTS),
    *(("mode", {"mode": "hand"}, "lease_s", wrong) for wrong in NUMBERS),
    *(("rack/r", {"use": "setpoint", "power_w": 5}, "lease_s", wrong) for wrong in NUMBERS),
    *(("rack/r", {"use": "setpoint"}, "power_w", wrong) for wrong in NUMBERS),
    *(("hold", {}, "lease_s", wrong) for wrong in NUMBERS),
    *(("release", {}, "command_id", wrong) for wrong in (7, True, ["a"])),
    ("schedule", {}, "intervals", {"0": {}}),
    ("schedule", {}, "intervals", "none"),
]


@pytest.mark.parametrize(("verb", "beside", "name", "wrong"), OTHER_KINDS)
def test_a_value_of_another_kind_is_never_taken_for_one(
    verb: str, beside: dict[str, Any], name: str, wrong: Any
) -> None:
    """What a sender gets wrong is not guessed at: true is not 1 %, and a number is no time."""
    with pytest.raises(Rejected, match=f"^{name}: ") as refused:
        parse(verb, payload(**beside | {name: wrong}))
    assert (refused.value.code, refused.value.command_id) == ("malformed", "a-1")


@pytest.mark.parametrize("wrong", MOMENTS)
@pytest.mark.parametrize("end", ["start", "end"])
def test_nor_in_an_interval(end: str, wrong: Any) -> None:
    with pytest.raises(Rejected, match=f"^interval.{end}: "):
        parse("hold", payload(interval={end: wrong}))
    with pytest.raises(Rejected, match=rf"^intervals\.0\.{end}: "):
        parse("schedule", payload(intervals=[slot("13:00", "14:00") | {end: wrong}]))


@pytest.mark.parametrize("wrong", NUMBERS)
@pytest.mark.parametrize("name", ["power_w", "percent", "ramp_s", "ramp_w_per_s"])
def test_nor_in_a_schedule(name: str, wrong: Any) -> None:
    beside = {"percent": 50} if name.startswith("ramp") else {}
    with pytest.raises(Rejected, match=rf"^intervals\.0\.{name}: "):
        parse("schedule", payload(intervals=[slot("13:00", "14:00", **beside | {name: wrong})]))


@pytest.mark.parametrize(
    "said", ["2026-05-04T14:00:00+02:00", "2026-05-04t12:00:00z", "2026-05-04T12:00:00.000000000Z"]
)
def test_a_time_as_rfc_3339_has_it(said: str) -> None:
    assert set_point(percent=1, issued_at=said).issued_at == ISSUED
