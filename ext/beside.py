# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""What stands beside the reference: primary frequency response, as far as the site's own limits leave room for it.

The droop asks for as much as the frequency is off; with the reference it leads no lower than the site's least, which
generation behind the meter needs, and no higher than the import limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.codes import ESTOP, SITE_IMPORT, SITE_MINIMUM
if TYPE_CHECKING:
    from rampd.ext.views import Limits, State


def droop(limits: Limits, away_hz: float) -> float:
    """Primary frequency response in W of purchase: beyond the deadband, full at the droop (BAL-001-TRE)."""
    site = limits.site
    if site.droop <= 0.0:
        return 0.0
    span_hz = site.nominal_hz * site.droop - site.deadband_hz
    if away_hz < -site.deadband_hz:
        return max(-1.0, (away_hz + site.deadband_hz) / span_hz) * site.max_w
    if away_hz > site.deadband_hz:
        return min(1.0, (away_hz - site.deadband_hz) / span_hz) * site.max_w
    return 0.0


def given(limits: Limits, state: State, at_w: float) -> float:
    """What the site's limits leave of the response around a reference; one beyond a limit already goes no farther."""
    site = limits.site
    least_w = min(0.0, site.min_w - at_w)
    most_w = max(0.0, site.import_w - at_w)
    return min(max(state.droop_w, least_w), most_w)


def respond(limits: Limits, state: State) -> None:
    """The response of this tick beside its reference, none during a stop; says which limit holds it."""
    state.response_w = 0.0
    if state.verb == ESTOP:
        return
    state.response_w = given(limits, state, state.reference_w)
    if state.response_w > state.droop_w:
        state.site_why = SITE_MINIMUM
    elif state.response_w < state.droop_w:
        state.site_why = SITE_IMPORT
