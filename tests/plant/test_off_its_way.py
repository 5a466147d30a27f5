"""A live command whose purchase something else moved: it is back at its goal when that is over, whatever its rate was.

A site of 2.95 MW with a normal ramp of 1.18 MW/min and 0.3 MW in any 15 s, in closed loop; the goals are parts of it.
"""

from __future__ import annotations

import math

import pytest

from rampd.daemon.closed import ClosedLoop, Reading
from rampd.daemon.config import Under, Window
from rampd.daemon.proving import hall
from rampd.ext import codes


def loop_of(blind_max_s: float = 300.0, default_part: float = 1.0) -> ClosedLoop:
    config = hall(1, racks_of=24)
    site = config.site.model_copy(update={"default_mw": default_part * config.site.max_mw})
    control = config.control.model_copy(update={"hold_max_s": "unlimited", "blind_max_s": blind_max_s})
    normal = config.normal.model_copy(update={"window": (Window(s=15, up_mw=0.3, down_mw=0.3),)})
    sections = {"site": site, "control": control, "normal": normal, "under": (Under(hz=59.5, tier=2),)}
    loop = ClosedLoop(config.model_copy(update=sections))
    loop.run(15.0)
    return loop


def full_w(loop: ClosedLoop) -> float:
    return loop.config.site.max_mw * 1e6


RAMPS = {"as fast as it may": 0.0, "in five seconds": 5.0, "in an hour": 3600.0}


@pytest.mark.parametrize("ramp_s", RAMPS.values(), ids=RAMPS.keys())
def test_the_load_of_an_under_frequency_step_comes_back(ramp_s: float) -> None:
    loop = loop_of()
    loop.command(full_w(loop), ramp_s=ramp_s, lease_s=3600.0)
    loop.run(20.0)
    stood_w = loop.fleet.poi_w
    loop.hz = lambda _: 59.4
    loop.run(10.0)
    assert loop.fleet.poi_w < 0.8 * stood_w
    loop.hz = lambda _: 60.0
    assert loop.run(20.0).reference_w < 0.9 * stood_w
    loop.run(160.0)
    assert loop.fleet.poi_w == pytest.approx(stood_w, rel=0.01)
    assert loop.vetoes() == 0


@pytest.mark.parametrize("ramp_s", RAMPS.values(), ids=RAMPS.keys())
def test_without_a_meter_for_long_the_hall_is_at_its_default(ramp_s: float) -> None:
    loop = loop_of(blind_max_s=10.0, default_part=0.5)
    loop.command(full_w(loop), ramp_s=ramp_s, lease_s=3600.0)
    loop.run(20.0)
    stood_w = loop.fleet.poi_w
    loop.meter = lambda _, __: None
    loop.run(10.0)
    assert loop.fleet.poi_w == pytest.approx(stood_w, rel=0.02)
    loop.run(30.0)
    assert loop.fleet.poi_w == pytest.approx(0.5 * full_w(loop), rel=0.03)
    # Back as fast as normal, not as fast as dispatched.
    loop.meter = Reading
    assert loop.run(20.0).reference_w < 0.8 * full_w(loop)
    loop.run(120.0)
    assert loop.fleet.poi_w == pytest.approx(stood_w, rel=0.02)
    assert loop.vetoes() == 0


def test_a_normal_command_taken_in_noise_is_followed_when_it_is_quiet() -> None:
    loop = loop_of()
    swing_w = 1.2 * loop.limits.window_down_w[0]
    loop.meter = lambda power_w, at_ns: Reading(power_w + 0.5 * swing_w * math.sin(3.14e-9 * at_ns), at_ns)
    loop.run(30.0)
    begin_w = loop.run(0.1).reference_w
    loop.command(0.6 * full_w(loop), envelope=codes.NORMAL, lease_s=3600.0)
    assert loop.run(10.0).reference_w > 0.95 * begin_w
    loop.meter = Reading
    loop.run(120.0)
    assert loop.fleet.poi_w == pytest.approx(0.6 * full_w(loop), rel=0.01)
    assert loop.vetoes() == 0


def test_without_a_meter_the_racks_are_led_by_their_own_sum() -> None:
    """A command down is followed, short of a rack's step that nothing may rise to make up for, and up nothing goes.

    Racks that fail are made up for by those that may fall.
    """
    loop = loop_of()
    loop.command(0.9 * full_w(loop), ramp_s=5.0, lease_s=3600.0)
    loop.run(30.0)
    loop.meter = lambda _, __: None
    step_w = max(rack.max_kw for rack in loop.config.racks) * 1e3
    for part in (0.75, 0.6):
        loop.command(part * full_w(loop), ramp_s=5.0, lease_s=3600.0)
        loop.run(8.0)
        assert -1.1 * step_w <= loop.fleet.poi_w - part * full_w(loop) <= 0.01 * full_w(loop)
    loop.fleet.dead[0] = loop.fleet.dead[1] = True
    loop.command(0.45 * full_w(loop), ramp_s=5.0, lease_s=3600.0)
    loop.run(30.0)
    assert -1.1 * step_w <= loop.fleet.poi_w - 0.45 * full_w(loop) <= 0.01 * full_w(loop)
    stood_w = loop.fleet.poi_w
    loop.command(0.8 * full_w(loop), ramp_s=5.0, lease_s=3600.0)
    for _ in range(30):
        loop.run(1.0)
        assert loop.fleet.poi_w <= 1.01 * stood_w
    assert loop.vetoes() == 0
