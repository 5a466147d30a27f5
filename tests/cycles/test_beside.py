"""What stands beside the reference, within the site's limits: a least of 300 kW, an import limit of 1100 kW."""

from __future__ import annotations

import pytest

from rampd.ext import codes
from tests import interpreted
from tests.core import world

NOTHING = codes.SITE_REFERENCE
GIVEN = {
    # kW of reference, kW that the droop asks for -> kW of response, what holds it
    "nothing owed":              (800.0, 0.0, 0.0, NOTHING),
    "down, all of it":           (800.0, -200.0, -200.0, NOTHING),
    "just down to the least":    (500.0, -200.0, -200.0, NOTHING),
    "no lower than the least":   (400.0, -200.0, -100.0, codes.SITE_MINIMUM),
    "at the least":              (300.0, -200.0, 0.0, codes.SITE_MINIMUM),
    "below the least already":   (250.0, -200.0, 0.0, codes.SITE_MINIMUM),
    "and up from there":         (250.0, 200.0, 200.0, NOTHING),
    "up, all of it":             (800.0, 300.0, 300.0, NOTHING),
    "no higher than the limit":  (800.0, 300.1, 300.0, codes.SITE_IMPORT),
    "above the limit already":   (1200.0, 100.0, 0.0, codes.SITE_IMPORT),
    "and down from there":       (1200.0, -100.0, -100.0, NOTHING),
}  # fmt: skip


def test_a_stop_has_none() -> None:
    made = world()
    made.state.verb, made.state.droop_w = codes.ESTOP, 100e3
    interpreted.beside.respond(made.limits, made.state)
    assert (made.state.response_w, made.state.site_why) == (0.0, NOTHING)


@pytest.mark.parametrize("row", GIVEN.values(), ids=GIVEN.keys())
def test_the_response_stays_within_the_sites_limits(row: tuple[float, float, float, int]) -> None:
    reference_kw, owed_kw, response_kw, why = row
    made = world(min_w=300e3, import_w=1100e3)
    made.state.reference_w, made.state.droop_w = 1e3 * reference_kw, 1e3 * owed_kw
    interpreted.beside.respond(made.limits, made.state)
    assert made.state.response_w / 1e3 == pytest.approx(response_kw)
    assert made.state.site_why == why
