"""What is under way at a restart goes on after it: racks that rest between changes, a shed, a return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rampd.ext import codes
from rampd.ext.reasons import TABLE
from tests.core import Rack, World, world


class Hall:
    """Racks that draw what they are given, and a meter that shows their sum; `hz` None: it tells no frequency."""

    def __init__(self, made: World) -> None:
        self.made = made
        self.drawn_w = made.limits.max_w[: made.limits.site.racks]
        self.hz: float | None = 60.0

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> float:
        """So long, or until something is so; how many seconds that took."""
        made = self.made
        for tick in range(round(seconds / 0.05)):
            if until():
                return tick * 0.05
            made.refresh()
            for i, power_w in enumerate(self.drawn_w):
                made.rack(i, power_w, power_w)
            made.cool(0)
            made.meter(sum(self.drawn_w))
            if made.limits.site.frequency_slot >= 0:
                made.grid() if self.hz is None else made.grid(hz=self.hz)
                if self.hz is None:
                    made.put(made.limits.site.frequency_slot, 0.0, quality=codes.SENTINEL)
            out = made.tick()
            for i in range(len(self.drawn_w)):
                if out.active[i]:
                    self.drawn_w[i] = out.setpoint_w[i]
        return seconds

    def reach(self, wanted_w: list[float], within_s: float) -> None:
        """Commands what they are to draw, and waits for it."""
        self.command(sum(wanted_w))
        self.run(within_s, lambda: self.drawn_w == wanted_w)
        assert self.drawn_w == wanted_w

    def command(self, target_w: float, *, resumed: bool = False) -> None:
        self.made.command(codes.TRACK, target_w, lease_s=1e5)
        self.made.inputs.command.resumed = resumed


def alone(**times: float) -> Hall:
    """One rack that is on or off."""
    return Hall(world([Rack(min_w=0.0, levels_w=(0.0, 100e3), **times)], max_w=100e3, default_w=100e3, import_w=200e3))


ON, OFF = [100e3], [0.0]
RESTS = {
    # its times, set points one after the other, seconds since the last change, seconds away -> least until the next
    "off for its time":              ({"off_s": 300.0}, [OFF], 60.0, 0.0, 300.0),
    "away for a part of it":         ({"off_s": 300.0}, [OFF], 60.0, 100.0, 300.0),
    "away for all of it":            ({"off_s": 300.0}, [OFF], 60.0, 400.0, 460.0),
    "on for its time":               ({"on_s": 300.0, "off_s": 2.0}, [OFF, ON], 60.0, 5.0, 300.0),
    "a budget that is spent":        ({"wear_s": 100.0, "budget_s": 300.0}, [OFF, ON, OFF], 20.0, 5.0, 99.0),
    "a budget that has room":        ({"wear_s": 100.0, "budget_s": 300.0}, [OFF], 20.0, 5.0, 25.0),
}  # fmt: skip


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "forgotten"])
@pytest.mark.parametrize("row", RESTS.values(), ids=RESTS.keys())
def test_a_rack_rests_over_a_restart_for_as_long_as_without_one(
    row: tuple[dict[str, float], list[list[float]], float, float, float], kept: bool
) -> None:
    times, changes, since_s, away_s, least_s = row
    hall = alone(**times)
    hall.command(100e3)
    hall.run(3.0)
    for wanted in changes:
        hall.reach(wanted, 20.0)
    hall.run(since_s)
    hall.made.restart(away_s)
    if not kept:
        hall.made.inputs.free_ns[0] = hall.made.inputs.worn_ns[0] = 0
        least_s = since_s + away_s
    stood = hall.drawn_w[:]
    hall.command(100e3 - stood[0])
    took_s = since_s + away_s + hall.run(400.0, lambda: hall.drawn_w != stood)
    assert least_s - 0.1 <= took_s <= least_s + 7.0
    # And it rests anew.
    assert "wear_s" in times or rests_s(hall.made) == times.get("on_s" if hall.drawn_w == ON else "off_s", 0.0)


def rests_s(made: World) -> float:
    """How long the rack rests from now on."""
    return (made.state.free_ns[0] - made.now_ns) * 1e-9


def test_a_rack_that_still_falls_at_a_restart_is_not_given_back_what_it_draws() -> None:
    hall = alone(off_s=300.0)
    made = hall.made
    made.inputs.free_ns[0] = made.now_ns + 299_000_000_000
    for drawn_w in (100e3, 60e3, 20e3, 0.0):
        made.refresh()
        made.rack(0, drawn_w, 0.0)
        made.meter(drawn_w)
        out = made.tick()
        assert (out.active[0], out.setpoint_w[0], made.vetoes()) == (1, 0.0, {})


def test_a_budget_over_a_restart_is_the_same_budget() -> None:
    """Three changes; one is spent, then a restart: two are left, and the third waits for what grows again."""
    hall = alone(wear_s=100.0, budget_s=300.0)
    hall.command(100e3)
    hall.run(3.0)
    began_s = hall.made.now_s
    for wanted in (OFF, ON, OFF, ON):
        hall.reach(wanted, 200.0)
        hall.made.restart()
    assert 100.0 <= hall.made.now_s - began_s <= 110.0


def test_safety_does_not_wait_after_a_restart_either_and_is_not_waited_for_again() -> None:
    hall = alone(on_s=300.0, off_s=2.0)
    hall.command(0.0)
    hall.run(10.0)
    hall.command(100e3)
    hall.run(10.0, lambda: hall.drawn_w == ON)
    hall.made.restart()
    hall.run(5.0)
    assert rests_s(hall.made) > 280.0
    hall.made.command(codes.ESTOP)
    hall.run(0.2)
    assert hall.drawn_w == OFF
    # The least time off counts from there.
    assert rests_s(hall.made) <= 2.0
    hall.made.restart()
    assert hall.made.inputs.free_ns[0] - hall.made.now_ns <= 2_000_000_000


@pytest.mark.parametrize("restarts", [False, True], ids=["one process", "restarts"])
def test_what_safety_switched_off_rests_as_well(restarts: bool) -> None:
    hall = alone(off_s=300.0)
    hall.run(3.0)
    hall.made.command(codes.ESTOP)
    hall.run(1.0)
    assert hall.drawn_w == OFF
    if restarts:
        hall.made.restart()
        hall.made.command(codes.ESTOP)
    hall.run(20.0)
    hall.command(100e3)
    assert 278.0 <= hall.run(400.0, lambda: hall.drawn_w == ON) <= 288.0


def grid_hall(**site: Any) -> Hall:
    """Three racks, two of which an under-frequency step calls; on average 240 kW in the minutes before."""
    racks = [Rack(), Rack(tier=1, feeder=1), Rack(tier=2, feeder=2)]
    made = world(racks, measured=True, under=[(59.7, 1)], max_w=300e3, default_w=300e3, import_w=400e3,
                 stagger_ns=5_000_000_000, return_up=1e3, normal_up=50e3, raise_after=1, **site)  # fmt: skip
    hall = Hall(made)
    hall.command(240e3)
    hall.run(200.0)
    hall.command(300e3)
    hall.run(8.0)
    assert sum(hall.drawn_w) == pytest.approx(300e3, rel=0.01)
    return hall


def reasons(hall: Hall) -> set[str]:
    made = hall.made
    zones = range(made.limits.site.zones)
    return {line.name for line in TABLE for zone in zones if made.state.zone_reasons[zone] & 1 << line.reason}


SHEDS = {
    # Hz at the restart and after it -> seconds until the step ends
    "below the step":                ([59.69] * 20, None),
    "above, not yet for its time":   ([59.75] * 20, 10.0),
    "not to be read":                ([None] * 20, None),
    "not to be read, then nominal":  ([None] * 5 + [60.0] * 15, 15.0),
    "below again":                   ([59.75] * 5 + [59.69] + [60.0] * 14, 16.0),
}  # fmt: skip


@pytest.mark.parametrize("row", SHEDS.values(), ids=SHEDS.keys())
def test_a_shed_stays_over_a_restart_until_it_was_seen_clear(row: tuple[list[float | None], float | None]) -> None:
    seen_hz, ends_s = row
    hall = grid_hall()
    hall.hz = 59.69
    hall.run(1.0)
    low = hall.drawn_w[1:]
    assert low == [20e3, 20e3]
    hall.hz = 59.75
    hall.run(6.0)
    hall.made.restart(1.0)
    hall.command(300e3, resumed=True)
    ended_s = None
    for second, hz in enumerate(seen_hz):
        hall.hz = hz
        hall.run(1.0)
        if ended_s is None and not hall.made.state.shedding:
            ended_s = second + 1.0
        if ended_s is None:
            assert hall.drawn_w[1:] == low
    assert ended_s is None if ends_s is None else ended_s == pytest.approx(ends_s, abs=1.0)
    # Then it comes back slowly, and to the mean of the minutes before at most.
    hall.hz = 60.0
    hall.run(12.0, lambda: not hall.made.state.shedding)
    back_s = hall.made.now_s - (ended_s is not None) * (len(seen_hz) - (ended_s or 0.0)) - 1.0
    for _ in range(25):
        hall.run(10.0)
        assert "return" in reasons(hall)
        assert sum(hall.drawn_w) <= 140e3 + 1e3 * (hall.made.now_s - back_s) + 1e3
    assert sum(hall.drawn_w) == pytest.approx(hall.made.state.return_cap_w, rel=0.01)
    assert hall.made.state.return_cap_w == pytest.approx(243e3, rel=0.02)
    assert hall.made.vetoes() == {}


def returning(after_s: float) -> Hall:
    """The same hall, so long on its way back."""
    hall = grid_hall()
    hall.hz = 59.69
    hall.run(1.0)
    hall.hz = 60.0
    hall.run(20.0, lambda: hall.made.state.returning != 0)
    hall.run(after_s)
    return hall


def test_a_return_goes_on_over_restarts_at_its_rate_and_under_its_cap() -> None:
    hall = returning(2.0)
    for _ in range(3):
        stood_w = sum(hall.drawn_w)
        hall.made.restart(1.0)
        hall.command(300e3, resumed=True)
        hall.run(3.0)
        assert sum(hall.drawn_w) <= stood_w + 4e3
        assert "return" in reasons(hall)
    # By feeders: their turns count from where the return began.
    assert "return_turn" not in reasons(hall)
    stood_w = sum(hall.drawn_w)
    hall.run(50.0)
    assert stood_w + 45e3 <= sum(hall.drawn_w) <= stood_w + 51e3
    hall.run(100.0)
    assert sum(hall.drawn_w) == pytest.approx(hall.made.state.return_cap_w, rel=0.01)
    assert hall.made.state.return_cap_w < 250e3
    hall.made.restart(1.0)
    hall.command(300e3, resumed=True)
    hall.run(60.0)
    assert sum(hall.drawn_w) <= 1.01 * hall.made.state.return_cap_w
    # A fresh command ends it.
    hall.command(300e3)
    hall.run(10.0)
    assert sum(hall.drawn_w) == pytest.approx(300e3, rel=0.01)
    hall.made.restart()
    assert (hall.made.inputs.returning, hall.made.inputs.return_cap_w) == (0, 0.0)


def test_the_turns_of_the_feeders_go_on() -> None:
    hall = returning(1.0)
    low = hall.drawn_w[:]
    hall.made.restart(1.0)
    hall.command(300e3, resumed=True)
    hall.run(2.5)
    assert hall.drawn_w[1:] == low[1:]
    assert "return_turn" in reasons(hall)
    hall.run(2.0)
    assert hall.drawn_w[1] > low[1]
    assert hall.drawn_w[2] == low[2]


def test_an_hour_of_the_return_is_an_hour_with_the_time_away() -> None:
    hall = returning(200.0)
    hall.made.restart(3300.0)
    hall.command(300e3, resumed=True)
    hall.run(80.0)
    assert "return" in reasons(hall)
    assert sum(hall.drawn_w) < 250e3
    hall.run(40.0)
    assert "return" not in reasons(hall)
    assert sum(hall.drawn_w) == pytest.approx(300e3, rel=0.01)


def test_the_mean_before_a_stop_is_known_after_a_restart_within_it() -> None:
    hall = grid_hall()
    hall.made.command(codes.ESTOP)
    hall.run(5.0)
    hall.made.restart(1.0)
    hall.made.command(codes.ESTOP)
    hall.run(30.0)
    hall.made.command(codes.STAND)
    hall.run(1.0)
    assert "return" in reasons(hall)
    assert hall.made.state.return_cap_w == pytest.approx(243e3, rel=0.02)


def test_a_step_that_the_site_file_has_no_more_does_not_act() -> None:
    made = world([Rack()], measured=True, max_w=100e3, default_w=100e3, import_w=200e3)
    made.inputs.shedding = 1
    hall = Hall(made)
    hall.command(100e3)
    hall.run(5.0)
    assert (hall.drawn_w, reasons(hall)) == ([100e3], set())
