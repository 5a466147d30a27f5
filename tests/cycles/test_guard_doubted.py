"""The guard after a restart, before which the site meter was doubted: it stays so until it has proven itself.

Three racks, everything read every 100 ms; they draw 195 kW, none of it supplied behind the meter. All powers in kW.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rampd.ext import codes
from tests.core import World
from tests.cycles.test_guard_meter import DOWN, P, hall
from tests.guarding import Phase, go

FROZEN, FALSE = 1 << codes.R_METER_FROZEN, 1 << codes.R_METER_IMPLAUSIBLE
RACKS = (75.0, 75.0, 45.0)
UNREAD = P(200, 300.0, RACKS, meter_age_s=2.1)

ROWS = {
    # doubted for, what happens -> whether it is frozen, implausible
    "nothing":                        (0, (P(5, 300.0, RACKS),), (0, 0)),
    "other reasons":                  (1 << codes.R_FAULT, (P(5, 300.0, RACKS),), (0, 0)),
    "it does not move":               (FROZEN, (P(300, 300.0, RACKS),), (1, 0)),
    "its first reading has not":      (FROZEN, (UNREAD, P(300, 300.0, RACKS)), (1, 0)),
    "it moves, not for long":         (FROZEN, (P(5, 300.0, RACKS), P(100, 301.0, RACKS)), (1, 0)),
    "it moves for ten seconds":       (FROZEN, (P(5, 300.0, RACKS), P(101, 301.0, RACKS)), (0, 0)),
    "plausible, not for long":        (FALSE, (P(100, 300.0, RACKS),), (0, 1)),
    "plausible for ten seconds":      (FALSE, (P(101, 300.0, RACKS),), (0, 0)),
    "from its first reading on":      (FALSE, (UNREAD, P(100, 300.0, RACKS)), (0, 1)),
    "ten seconds after that":         (FALSE, (UNREAD, P(101, 300.0, RACKS)), (0, 0)),
    "still short of the racks":       (FALSE, (P(300, 160.0, RACKS),), (0, 1)),
    "both, and it moves":             (FROZEN | FALSE, (P(5, 300.0, RACKS), P(101, 301.0, RACKS)), (0, 0)),
    "both, and it does not":          (FROZEN | FALSE, (P(200, 300.0, RACKS),), (1, 0)),
}  # fmt: skip


def restarted(doubted: int, phases: Sequence[Phase]) -> World:
    made = hall()
    made.limits.site.generation_w = 0.0
    made.inputs.doubted = doubted
    go(made, phases)
    return made


@pytest.mark.parametrize(("doubted", "phases", "found"), ROWS.values(), ids=ROWS.keys())
def test_row(doubted: int, phases: Sequence[Phase], found: tuple[int, int]) -> None:
    made = restarted(doubted, phases)
    assert (made.watch.frozen, made.watch.implausible) == found
    stood_w = made.watch.last_w[2]
    out_w = made.guard(*made.watch.last_w[:2], stood_w + 1e3)[2]
    assert out_w - stood_w == (0.0 if any(found) else 1e3)


def test_what_the_racks_did_before_its_first_reading_is_no_move() -> None:
    made = restarted(0, [P(5, 300.0, meter_age_s=2.1), P(5, 300.0, DOWN, meter_age_s=2.1), P(60, 300.0, DOWN)])
    assert not made.watch.frozen
