"""Where the purchase goes in the coming fifteen seconds, as far as it is known. kW, kW/s; racks follow at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from rampd.ext import codes
from tests import interpreted
from tests.core import World, world

DT = 0.05


def hall(**kw: float) -> World:
    """1 MW, of which the racks can do 200 to 950 kW and draw 800, the reference. Powers of `State` by their names."""
    made = world(import_w=1000e3)
    made.limits.site.bridge_ticks = 0
    state = made.state
    state.started = state.meter_good = 1
    state.envelope = codes.DISPATCHED
    powers = {"reference": 800.0, "model": 800.0, "least": 200.0, "most": 950.0} | kw
    powers.setdefault("heading", powers["reference"])
    for name, power_kw in powers.items():
        setattr(state, f"{name}_w", 1e3 * power_kw)
    return made


def drifting(made: World, kw: Callable[[float], float]) -> None:
    """The rest of the load in the last seconds, as a function of how long ago that was."""
    state, slots = made.state, int(codes.WINDOW_SLOTS)
    state.noise_at = 1000
    for back in range(slots):
        k = (state.noise_at - back) % slots
        state.noise_low_w[k], state.noise_high_w[k] = 1e3 * kw(back) - 2e3, 1e3 * kw(back) + 2e3


def foreseen(made: World) -> float:
    interpreted.foresee.foresee(made.limits, made.state, DT)
    return made.state.coming_w_per_s / 1e3


RAMP = {"heading": 200.0, "pace": 10.0 * DT}
FULL = {"reference": 1000.0, "model": 940.0, "most": 940.0}
COMING: dict[str, tuple[dict[str, float], dict[str, int], float, float]] = {
    # powers; what else holds; how the rest of the load drifts in kW/s -> kW/s
    "at rest":                       ({}, {}, 0.0, 0.0),
    "a ramp goes on":                (RAMP, {}, 0.0, -10.0),
    "no farther than it is heading": ({"heading": 830.0, "pace": 10.0 * DT}, {}, 0.0, 2.0),
    "one that is held":              (RAMP | {"pace": 0.0}, {}, 0.0, 0.0),
    "set points that are under way": ({"model": 815.0}, {}, 0.0, -1.0),
    "and a ramp beside them":        (RAMP | {"model": 815.0}, {}, 0.0, -11.0),
    "regulation to its signal":      ({"signal": 45.0}, {"regulating": 1}, 0.0, 3.0),
    "and from where it is":          ({"regulation": -15.0, "model": 785.0}, {"regulating": 1}, 0.0, 1.0),
    "not beyond the most":           ({"signal": 300.0, "most": 860.0}, {"regulating": 1}, 0.0, 4.0),
    "not up without a meter":        ({"signal": 30.0}, {"regulating": 1, "meter_good": 0}, 0.0, 0.0),
    "what ended, at a normal pace":  ({"regulation": -300.0, "model": 500.0}, {}, 0.0, 10.0),
    "less what the reference does":  (RAMP | {"regulation": 300.0, "model": 1100.0, "most": 1200.0}, {}, 0.0, -10.0),
    "response that stands":          ({"droop": -30.0, "model": 770.0}, {}, 0.0, 0.0),
    "response that is owed":         ({"droop": -30.0}, {}, 0.0, -2.0),
    "racks make up for the rest":    ({}, {}, 4.0, 0.0),
    "but not at their least":        ({"reference": 100.0, "model": 200.0}, {}, 4.0, 4.0),
    "nor at their most":             ({"reference": 990.0, "model": 950.0}, {}, -4.0, -4.0),
    "as far as they cannot":         ({"reference": 230.0, "model": 230.0}, {}, 4.0, 2.0),
    "the import limit ends it":      ({"reference": 1000.0, "model": 970.0, "most": 970.0}, {}, 4.0, 2.0),
    "below the peaks of the load":   (FULL | {"surge": 45.0}, {}, 4.0, 1.0),
    "above it, down to it":          (FULL | {"model": 970.0, "surge": 60.0}, {}, 0.0, -2.0),
    "no drift without a meter":      ({"reference": 100.0, "model": 200.0}, {"meter_good": 0}, 4.0, 0.0),
    "no faster than they may rise":  ({"model": 500.0}, {"envelope": codes.NORMAL}, 0.0, 12.0),
    "steps that nobody can take":    ({"model": 806.0, "grain": 10.0}, {}, 0.0, 0.0),
    "those that somebody can":       ({"model": 806.0, "grain": 9.0}, {}, 0.0, -0.4),
    "a stop, to the least":          (RAMP, {"verb": codes.ESTOP}, 0.0, -40.0),
    "a fault holds everything":      (RAMP | {"model": 815.0}, {"fault_hold": 1}, 0.0, 0.0),
    "but a stop":                    (RAMP, {"fault_hold": 1, "verb": codes.ESTOP}, 0.0, -40.0),
    "nothing behind the breaker":    ({"model": 0.0}, {"parted": 1, "verb": codes.ESTOP}, 0.0, 0.0),
    "racks not looked at yet":       ({"reference": 100.0, "least": 0.0, "most": 0.0}, {}, 4.0, -140.0 / 3.0),
}  # fmt: skip


@pytest.mark.parametrize("row", COMING.values(), ids=COMING.keys())
def test_where_the_purchase_goes(row: tuple[dict[str, float], dict[str, int], float, float]) -> None:
    powers, also, drift_kw, expected = row
    made = hall(**powers)
    for name, value in also.items():
        setattr(made.state, name, value)
    drifting(made, lambda ago: -drift_kw * ago)
    assert foreseen(made) == pytest.approx(expected, abs=1e-9)


def test_racks_follow_as_late_as_they_are_known_to() -> None:
    """A ramp that is ahead of them by as much goes on in full; at its end what they are behind by is left."""
    made = hall(reference=790.0, heading=200.0, pace=10.0 * DT)
    made.limits.site.bridge_ticks = round(1.0 / DT)
    assert foreseen(made) == pytest.approx(-10.0)
    made.state.heading_w = made.state.reference_w
    assert foreseen(made) == pytest.approx(-10.0 / 15.0)


DRIFTS = {
    # the rest of the load, seconds ago -> how it goes on, in kW/s
    "it stands":            (lambda ago: 50.0, 0.0),
    "it rises":             (lambda ago: 50.0 - 3.0 * ago, 3.0),
    "it falls":             (lambda ago: 50.0 + 3.0 * ago, -3.0),
    "faster and faster":    (lambda ago: 0.1 * (15.0 - ago) ** 2, 1.3),
    "slower and slower":    (lambda ago: -0.1 * ago**2, 0.5),
    "it has stopped":       (lambda ago: -3.0 * max(0.0, ago - 7.0), 0.0),
    "it has begun":         (lambda ago: 3.0 * max(0.0, 5.0 - ago), 0.0),
    "a step just now":      (lambda ago: 50.0 if ago < 1 else 0.0, 0.0),
    "a step before":        (lambda ago: 50.0 if ago < 6 else 0.0, 0.0),
    "a step long ago":      (lambda ago: 50.0 if ago < 14 else 0.0, 0.0),
    "one wild reading":     (lambda ago: 900.0 if ago == 5 else 0.0, 0.0),
    "it swings":            (lambda ago: 50.0 * math.sin(ago), 0.0),
    "it rises and swings":  (lambda ago: 50.0 - 3.0 * ago + 20.0 * (ago % 3), 3.0),
}  # fmt: skip


@pytest.mark.parametrize("row", DRIFTS.values(), ids=DRIFTS.keys())
def test_how_the_rest_of_the_load_goes_on(row: tuple[Callable[[float], float], float]) -> None:
    kw, expected = row
    made = world()
    drifting(made, kw)
    assert interpreted.foresee.drift(made.state) / 1e3 == pytest.approx(expected, abs=1e-9)


LEFT = {
    # window in s, how long ago the reference moved by 200 of its 300 kW -> what of 150 kW is left in fifteen seconds
    "it still counts":           (60.0, 20.0, 100.0),
    "it will be over by then":   (60.0, 62.0, 150.0),
    "three seconds before then": (60.0, 50.0, 129.0),
    "a window as long as that":  (15.0, 6.0, 150.0),
}  # fmt: skip


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("row", LEFT.values(), ids=LEFT.keys())
def test_what_the_windows_leave(row: tuple[float, float, float], up: bool) -> None:
    window_s, ago_s, expected = row
    made = world(windows=[(window_s, codes.NORMAL, 300e3, 300e3), (60.0, codes.DISPATCHED, 1e3, 1e3)])
    state = made.state
    state.envelope, state.reference_w = codes.NORMAL, 500e3
    for tick in range(1200):
        if tick == 1200 - round(10 * ago_s):
            state.reference_w += 200e3 if up else -200e3
        state.now_ns = tick * 10**8 + 1
        interpreted.window.note(made.limits, state, state.now_ns)
    assert interpreted.window.leave(made.limits, state, 150e3, 15.0, up) / 1e3 == pytest.approx(expected)
    assert interpreted.window.leave(made.limits, state, 150e3, 15.0, not up) == 150e3


MOVES: dict[str, dict[str, Any]] = {
    "a ramp":                  {"ramp_s": 40.0},
    "a rate":                  {"rate_w_per_s": 7e3},
    "as fast as it may":       {},
    "in the normal envelope":  {"envelope": codes.NORMAL},
    "an s-curve":              {"ramp_s": 40.0, "shape": codes.S_CURVE},
    "one that its limit slows": {"ramp_s": 40.0, "shape": codes.S_CURVE, "envelope": codes.NORMAL},
    "as its window leaves":    {"envelope": codes.NORMAL, "before_kw": 950.0},
    "to the cap of a return":  {"rate_w_per_s": 4e3, "returning": 1, "to_kw": 900.0, "from_kw": 500.0},
}  # fmt: skip


@pytest.mark.parametrize("row", MOVES.values(), ids=MOVES.keys())
def test_what_is_foreseen_is_what_the_reference_does(row: dict[str, Any]) -> None:
    """At every quarter of a second of it, until it stands: within a hundredth of the way."""
    row = dict(row)
    made = world(windows=[(60.0, codes.NORMAL, 200e3, 200e3)], normal_up=5e3, normal_down=5e3, return_up=3e3)
    state = made.state
    state.started = state.meter_good = 1
    from_kw, to_kw = row.pop("from_kw", 800.0), row.pop("to_kw", 500.0)
    state.reference_w = 1e3 * row.pop("before_kw", from_kw)
    interpreted.window.note(made.limits, state, made.now_ns)
    made.now_s += 10.0
    state.reference_w = state.goal_w = state.meter_w = from_kw * 1e3
    made.command(codes.TRACK, to_kw * 1e3, envelope=row.pop("envelope", codes.DISPATCHED),
                 rate_w_per_s=row.pop("rate_w_per_s", 0.0), ramp_s=row.pop("ramp_s", 0.0))  # fmt: skip
    made.inputs.command.shape = row.pop("shape", codes.LINEAR)
    returning = row.pop("returning", 0)
    if returning:
        made.inputs.command.resumed = 1
        state.returning, state.return_cap_w = 1, 560e3
    assert not row
    seen, said = [], []
    for _ in range(round(80.0 / DT)):
        made.now_s += DT
        state.now_ns = made.now_ns
        interpreted.ramp.follow(made.inputs, made.limits, state, made.now_ns, DT)
        seen.append(state.reference_w)
        said.append(interpreted.foresee.moves(made.limits, state, 15.0, DT))
    ahead = round(15.0 / DT)
    assert abs(seen[-1] - seen[0]) >= 50e3
    for k in range(0, len(seen) - ahead, 5):
        assert said[k] == pytest.approx(seen[k + ahead] - seen[k], abs=0.01 * abs(seen[-1] - from_kw * 1e3)), k * DT


def test_no_rise_is_foreseen_without_a_meter() -> None:
    """Nor does a slow rack begin with one: the reference stays where it is."""
    made = hall(heading=800.0)
    state = made.state
    state.goal_w, state.meter_good, state.blind_ns = 800e3, 0, made.now_ns
    made.command(codes.TRACK, 900e3, rate_w_per_s=10e3)
    interpreted.ramp.follow(made.inputs, made.limits, state, made.now_ns, DT)
    assert (state.reference_w, state.heading_w, state.pace_w) == (800e3, 900e3, 0.0)
    assert foreseen(made) == 0.0


def test_without_a_meter_for_long_nobody_begins_before_its_time() -> None:
    """On the way to the default the reference leads: who makes room for slow racks could not rise again."""
    made = hall(heading=800.0)
    state = made.state
    made.limits.site.default_w = 770e3
    state.goal_w, state.meter_good, state.blind_ns = 800e3, 0, made.now_ns
    made.command(codes.TRACK, 900e3)
    made.now_s += 90.0
    interpreted.ramp.follow(made.inputs, made.limits, state, made.now_ns, DT)
    assert 770e3 < state.reference_w < 800e3
    assert state.heading_w == 800e3
    assert foreseen(made) == pytest.approx(0.0, abs=1e-3)
