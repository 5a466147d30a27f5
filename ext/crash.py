# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""Racks whose load went by itself: a job crashed, or something tripped.

The troughs of a job that swings lie well above what its racks draw once it has crashed. So a rack has fallen when it
reads less than in the last minute or two, and less than its set points allow for certain, by more than a margin each;
what fell is its crest of that time, as far as its cap allows that now, less the reading. What comes back within
fifteen seconds was a swing, and its trough is known from then on; until it has come back it cannot be told from a
crash. Nor can a pause of a job: one that is longer, or comes less than once in a minute or two, is a fall every time.

Troughs and crests are kept in 1/200 of a rack's most, the ones rounded down, the others up: they are looked at with
every reading, and bytes stay near.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from math import floor

    from rampd.ext.codes import SECOND_NS
if TYPE_CHECKING:
    from rampd.ext.views import Limits, State


def age(limits: Limits, state: State) -> None:
    """With a new minute troughs and crests become those of the one before, where there were any."""
    minute = 1 + state.now_ns // (60 * SECOND_NS)
    if minute == state.minute:
        return
    state.minute = minute
    trough = state.trough
    crest = state.crest
    trough_ago = state.trough_ago
    crest_ago = state.crest_ago
    for i in range(limits.site.racks):
        some = trough[i] < 255
        trough_ago[i] = trough[i] if some else trough_ago[i]
        crest_ago[i] = crest[i] if some else crest_ago[i]
        trough[i] = 255
        crest[i] = 0


def forget(state: State, i: int) -> None:
    """A rack that is not read, or in other hands, no longer counts; when it is back it begins anew."""
    state.fell_w -= state.lost_w[i]
    state.lost_w[i] = 0.0
    state.trough[i] = 255
    state.trough_ago[i] = 255
    state.crest[i] = 0
    state.crest_ago[i] = 0


def lower(width_w: float, read_w: float) -> int:
    """A reading as a trough."""
    return int(min(max(200.0 * read_w / width_w, 0.0), 254.0))


def heed(limits: Limits, state: State, i: int, sure_w: float) -> None:
    """Takes the newest reading of a rack into account, that could have been `sure_w` for certain.

    One within trough and crest of this minute changes nothing and need not be told; there are none while it has fallen.
    """
    width_w = limits.max_w[i]
    # A rack in steps draws less than its set point; what it stays below it may be its work as well.
    margin_w = max(0.05 * width_w, 1.2 * max(limits.quantum_w[i], min(state.step_w[i], 0.1 * width_w)))
    read_w = state.seen_w[i]
    if state.lost_w[i] > 0.0:
        fallen(limits, state, i, sure_w, margin_w)
        return
    trough = min(state.trough[i], state.trough_ago[i])
    crest = max(state.crest[i], state.crest_ago[i])
    if trough < 255 and read_w < min(0.005 * trough * width_w, sure_w) - margin_w:
        # Whole watts: their sum stays exact, however many come and go.
        crest_w = min(0.005 * crest * width_w, state.cap_w[i] * state.gain[i])
        state.lost_w[i] = floor(crest_w - max(0.0, read_w))
        state.fell_w += state.lost_w[i]
        state.sunk_w[i] = read_w
        state.sunk_ns[i] = state.now_ns
        state.trough[i] = 255
        state.crest[i] = 0
        state.trough_ago[i] = trough
        state.crest_ago[i] = crest
        return
    part = lower(width_w, read_w)
    state.trough[i] = min(state.trough[i], part)
    state.crest[i] = max(state.crest[i], part + 1)


def fallen(limits: Limits, state: State, i: int, sure_w: float, margin_w: float) -> None:
    """A new reading of a rack that has fallen: it may be up again, have fallen further, or be where it stays.

    It stays where its set point is no longer above it, and where it has been for ten minutes.
    """
    width_w = limits.max_w[i]
    read_w = state.seen_w[i]
    trough = state.trough_ago[i]
    crest = state.crest_ago[i]
    since_ns = state.now_ns - state.sunk_ns[i]
    if read_w >= 0.005 * trough * width_w - 0.5 * margin_w:
        forget(state, i)
        # What it was like before counts as if it had been so until now.
        if since_ns < 15 * SECOND_NS:
            trough = lower(width_w, state.sunk_w[i])
        state.trough[i] = trough
        state.trough_ago[i] = trough
        state.crest[i] = crest
        state.crest_ago[i] = crest
    elif (read_w >= sure_w - 0.5 * margin_w and not state.rising[i]) or since_ns > 600 * SECOND_NS:
        forget(state, i)
    elif read_w < state.sunk_w[i]:
        more_w = floor(max(0.0, state.sunk_w[i]) - max(0.0, read_w))
        state.lost_w[i] += more_w
        state.fell_w += more_w
        state.sunk_w[i] = read_w
