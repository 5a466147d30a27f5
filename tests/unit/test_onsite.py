"""When a real hall is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rampd.daemon import sitecheck
from rampd.daemon.onsite import Watch, objection

CONFIG = sitecheck.load(Path(__file__).resolve().parents[2] / "examples" / "bench-12" / "site.toml")
CALM: dict[str, Any] = {
    "mode": "default", "envelope": "normal", "command_id": None, "power_w": 1.46e6, "reference_w": 1.46e6,
    "regulation_w": 0.0, "response_w": 0.0, "compliant": True, "failsafe": [], "min_w": 0.5e6,
}  # fmt: skip


@pytest.mark.parametrize(
    ("status", "changes", "words"),
    [
        ("online", {}, ""),
        ("offline", {}, "rampd is offline"),
        ("online", {"power_w": None}, "does not stand on its reference"),
        ("online", {"reference_w": None}, "does not stand on its reference"),
        ("online", {"compliant": False}, "does not stand on its reference"),
        ("online", {"response_w": -5e3}, "primary response moves the purchase"),
        ("online", {"response_w": None}, ""),
        ("online", {"regulation_w": 5e3}, "a regulation signal moves the purchase"),
        ("online", {"command_id": "c-1"}, "somebody commands the site"),
        ("online", {"mode": "estop"}, "somebody commands the site (mode estop)"),
        ("online", {"failsafe": [{"scope": "cdu-1", "reason": "cooling", "action": "derate"}]}, "cdu-1: cooling"),
        ("online", {"reference_w": 1.2e6}, "does not stand at its default"),
        ("online", {"envelope": "emergency"}, "in an emergency"),
        ("online", {"min_w": 1.45e6}, "no room for 0.073 MW down"),
    ],
)
def test_a_hall_is_stepped_only_when_it_is_calm(status: str, changes: dict[str, Any], words: str) -> None:
    watch = Watch(state=CALM | changes, status={"state": status})
    found = objection(CONFIG, watch, 0.073e6)
    assert words in found
    assert bool(words) == bool(found)


@pytest.mark.parametrize("said", [7, "1.4 MW", None, [], {}, {"v": None}, {"v": "1.4 MW"}, {"v": {}}])
def test_what_is_no_sample_is_none(said: Any) -> None:
    watch = Watch()
    watch.take("tele/site", {"values": {"power_w": said, "reference_w": {"v": 1.46e6}}})
    assert (watch.samples, [w for _, w in watch.references]) == ([], [1.46e6])
