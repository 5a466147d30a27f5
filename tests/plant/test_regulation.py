"""A regulation signal beside a set point, in closed loop: followed, silent, in an emergency; in parts of the most."""

from __future__ import annotations

import pytest

from rampd.daemon.closed import ClosedLoop, Reading
from rampd.daemon.config import Normal, Restore
from rampd.daemon.proving import hall
from rampd.ext import codes

LEASE_S = 12.0
NORMAL_MW_PER_MIN = 3.0


@pytest.fixture
def loop() -> ClosedLoop:
    """A hall at 60 % by a schedule: within the normal envelope."""
    config = hall(1, (0.2, 1.0), racks_of=40)
    normal = Normal(up_mw_per_min=NORMAL_MW_PER_MIN, down_mw_per_min=NORMAL_MW_PER_MIN, window=())
    restore = Restore(up_mw_per_min=1.0, stagger_s=0.0)
    made = ClosedLoop(config.model_copy(update={"normal": normal, "restore": restore}), noise=0.0)
    made.run(15.0)
    made.command(part(made, 0.6), ramp_s=5.0)
    made.run(40.0)
    made.command(part(made, 0.6), lease_s=3600.0, envelope=codes.NORMAL)
    made.run(5.0)
    return made


def part(loop: ClosedLoop, of: float) -> float:
    return of * loop.config.site.max_mw * 1e6


def stands(loop: ClosedLoop) -> float:
    """The purchase of the last second."""
    last = loop.poi_w[-round(1 / loop.dt_s) :]
    return sum(last) / len(last) / part(loop, 1.0)


@pytest.mark.parametrize("signal", [0.1, -0.1])
def test_it_is_followed_fast_whatever_the_envelope_of_the_set_point(loop: ClosedLoop, signal: float) -> None:
    loop.signal(part(loop, signal), LEASE_S)
    out = loop.run(4.0)
    assert stands(loop) == pytest.approx(0.6 + signal, abs=0.005)
    assert (out.envelope, out.regulating, out.reference_w) == (codes.NORMAL, 1, pytest.approx(part(loop, 0.6)))
    assert out.regulation_w == pytest.approx(part(loop, signal))
    assert loop.vetoes() == 0


@pytest.mark.parametrize("signal", [0.1, -0.1])
def test_after_silence_it_goes_back_along_the_normal_ramp(loop: ClosedLoop, signal: float) -> None:
    loop.signal(part(loop, signal), LEASE_S)
    loop.run(LEASE_S - 0.5)
    assert stands(loop) == pytest.approx(0.6 + signal, abs=0.005)
    # A tenth of the hall is ten seconds of its normal ramp.
    whole_s = part(loop, 0.1) / (NORMAL_MW_PER_MIN * 1e6 / 60)
    out = loop.run(0.5 + 0.5 * whole_s)
    assert out.regulation_w == pytest.approx(part(loop, 0.5 * signal), rel=0.05)
    assert stands(loop) == pytest.approx(0.6 + 0.5 * signal, abs=0.02)
    out = loop.run(0.5 * whole_s + 5.0)
    assert (out.regulation_w, out.regulating) == (0.0, 0)
    assert stands(loop) == pytest.approx(0.6, abs=0.005)
    assert loop.vetoes() == 0


def test_at_the_racks_floor_nothing_winds_up(loop: ClosedLoop) -> None:
    """At 36 %; the racks' least and the rest of the hall take 30."""
    loop.command(part(loop, 0.36), ramp_s=5.0)
    loop.run(30.0)
    for _ in range(5):
        loop.signal(part(loop, -0.2), LEASE_S)
        out = loop.run(4.0)
    assert out.regulation_w == pytest.approx(out.least_w - part(loop, 0.36), abs=part(loop, 0.002))
    assert out.unmet_w == pytest.approx(part(loop, -0.2) - out.regulation_w, abs=part(loop, 0.002))
    assert (out.site_why, out.regulating) == (codes.SITE_FLOOR, 1)
    floor = stands(loop)
    assert part(loop, floor) == pytest.approx(out.least_w, abs=part(loop, 0.005))
    # Back from beyond it begins at once, and goes no farther than it is asked to.
    began = len(loop.poi_w)
    loop.signal(part(loop, -0.02), LEASE_S)
    out = loop.run(4.0)
    assert out.unmet_w == 0.0
    assert stands(loop) == pytest.approx(0.34, abs=0.005)
    assert max(loop.poi_w[began:]) <= part(loop, 0.35)
    assert loop.vetoes() == 0


def test_above_what_racks_may_have_nothing_winds_up(loop: ClosedLoop) -> None:
    loop.command(part(loop, 0.97), ramp_s=10.0)
    loop.run(40.0)
    for _ in range(5):
        loop.signal(part(loop, 0.2), LEASE_S)
        out = loop.run(4.0)
    assert out.regulation_w <= min(out.most_w, part(loop, 1.0)) - out.reference_w + part(loop, 0.003)
    assert out.unmet_w > part(loop, 0.15)
    loop.signal(part(loop, -0.1), LEASE_S)
    loop.run(4.0)
    assert stands(loop) == pytest.approx(0.87, abs=0.01)


class Barred(ClosedLoop):
    """A hall whose racks may not rise while it is so: its loops are too warm, or its main node is full."""

    by = ""
    clear_s = 0.0  # how long nothing rises after that

    def bar(self, by: str) -> None:
        if by == "full":
            self.free_w = self.limits.node_w[0]
            self.limits.node_w[0] = sum(self.setpoint_w) * 1.02
        self.by, self.clear_s = by, 9.0 if by == "warm" else 0.0

    def lift(self) -> None:
        if self.by == "full":
            self.limits.node_w[0] = self.free_w
        self.by = ""

    def _put(self, slot: int, value: float, at_ns: int, quality: int = codes.GOOD) -> None:
        for k in range(self.limits.site.loops if self.by == "warm" else 0):
            if slot == self.limits.supply_slot[k]:
                value = self.limits.warn_c[k] + 0.5
        super()._put(slot, value, at_ns, quality)


@pytest.fixture(params=["warm", "full"])
def barred(loop: ClosedLoop, request: pytest.FixtureRequest) -> Barred:
    """As the other, under a schedule that has gone on to 85 % while nothing could rise from 60."""
    made = Barred(loop.config, noise=0.0)
    made.run(15.0)
    made.command(part(made, 0.6), ramp_s=5.0)
    made.run(40.0)
    made.bar(request.param)
    made.run(3.0)
    made.command(part(made, 0.85), lease_s=3600.0, envelope=codes.NORMAL)
    made.run(40.0)
    assert stands(made) == pytest.approx(0.6, abs=0.02)
    return made


@pytest.mark.parametrize("signal", [-0.02, 0.0, 0.02, 0.2])
def test_what_barred_racks_cannot_give_of_a_signal_is_told(barred: Barred, signal: float) -> None:
    for _ in range(4):
        barred.signal(part(barred, signal), LEASE_S)
        out = barred.run(4.0)
    asked = 0.85 + signal
    assert out.unmet_w == pytest.approx(part(barred, asked - stands(barred)), abs=part(barred, 0.006))
    assert max(out.regulation_w, 0.0) == 0.0


@pytest.mark.parametrize("signals", [None, (0.0, 0.0), (-0.02, -0.02), (0.2, 0.02), (0.05, -0.05)])
def test_once_nothing_bars_them_the_set_point_comes_back_along_the_normal_ramp(
    barred: Barred, signals: tuple[float, float] | None
) -> None:
    """A signal has leave for what it moves itself, and for nothing of what the schedule owes."""

    def goes_on(k: int) -> None:
        if signals is not None:
            barred.signal(part(barred, signals[k % 2]), LEASE_S)
        barred.run(4.0)

    for k in range(4):
        goes_on(k)
    first = stands(barred)
    began = len(barred.poi_w)
    barred.lift()
    for k in range(20):
        goes_on(k)
    moved = 0.0 if signals is None else max(0.0, *signals)
    second = round(1 / barred.dt_s)
    for at in range(began + second, len(barred.poi_w), second):
        mean = sum(barred.poi_w[at - second : at]) / second / part(barred, 1.0)
        since_s = max(0.0, (at - began) * barred.dt_s - barred.clear_s)
        ramp = NORMAL_MW_PER_MIN * 1e6 / 60 * since_s / part(barred, 1.0)
        assert mean <= first + ramp + moved + 0.01
    expected = 0.85 + (0.0 if signals is None else signals[1])
    assert stands(barred) == pytest.approx(expected, abs=0.01)
    assert barred.vetoes() == 0


@pytest.mark.parametrize(("ramp_s", "wait_s", "fast"), [(5.0, 10.0, True), (600.0, 400.0, False)])
def test_a_dispatched_set_point_has_leave_for_its_own_pace(
    barred: Barred, ramp_s: float, wait_s: float, fast: bool
) -> None:
    """One of ten minutes is no reason to come after in seconds; nor is it slower than what nobody has dispatched."""
    barred.command(part(barred, 0.6), ramp_s=5.0)
    barred.run(10.0)
    barred.command(part(barred, 0.86), ramp_s=ramp_s)
    out = barred.run(wait_s)
    assert out.reference_w >= part(barred, 0.75)
    first, began = stands(barred), len(barred.poi_w)
    barred.lift()
    barred.run(barred.clear_s + 9.0)
    ramp = NORMAL_MW_PER_MIN * 1e6 / 60 * 9.0 / part(barred, 1.0)
    assert (stands(barred) > first + 1.5 * ramp) == fast
    assert fast or max(barred.poi_w[began:]) <= part(barred, first + ramp + 0.01)
    out = barred.run(30.0)
    assert stands(barred) == pytest.approx(out.reference_w / part(barred, 1.0), abs=0.01)


def test_the_set_point_moves_under_it(loop: ClosedLoop) -> None:
    """A signal every four seconds while the schedule goes up by 6 % in a minute of its ramp."""
    loop.command(part(loop, 0.66), lease_s=3600.0, envelope=codes.NORMAL)
    for k in range(10):
        signal = 0.05 if k % 2 else -0.05
        loop.signal(part(loop, signal), LEASE_S)
        out = loop.run(4.0)
        expected = (out.reference_w + part(loop, signal)) / part(loop, 1.0)
        # The ramp is a second and a half ahead of the meter, which is 1.5 %.
        assert stands(loop) == pytest.approx(expected, abs=0.02)
    assert out.reference_w == pytest.approx(part(loop, 0.66))
    assert stands(loop) == pytest.approx(expected, abs=0.005)
    # A hold keeps the set point where it is, and not where regulation has brought the purchase.
    loop.command(0.0, verb=codes.HOLD)
    out = loop.run(4.0)
    assert out.reference_w == pytest.approx(part(loop, 0.66), rel=0.003)
    assert loop.vetoes() == 0


@pytest.mark.parametrize("left_s", [0.0, 0.3])
def test_a_hold_that_ends_it_holds_the_purchase(loop: ClosedLoop, left_s: float) -> None:
    """An operator's: the signal is ended with it, or fell silent just before."""
    loop.signal(part(loop, -0.1), 8.0 - left_s)
    loop.run(8.0)
    loop.inputs.command.regulation_ns = 0
    loop.command(0.0, verb=codes.HOLD)
    out = loop.run(20.0)
    assert (out.regulation_w, out.reference_w) == (0.0, pytest.approx(part(loop, 0.5), rel=0.01))
    assert stands(loop) == pytest.approx(0.5, abs=0.007)


@pytest.mark.parametrize("signal", [0.1, -0.1])
@pytest.mark.parametrize("target", [0.4, 0.75])
def test_a_set_point_that_ends_it_is_there_in_time(loop: ClosedLoop, signal: float, target: float) -> None:
    """An operator's: the purchase goes from where it stands to the set point, and not to what is left beside it."""
    loop.signal(part(loop, signal), 60.0)
    loop.run(8.0)
    loop.inputs.command.regulation_ns = 0
    loop.command(part(loop, target), ramp_s=8.0)
    loop.run(11.0)
    assert stands(loop) == pytest.approx(target, abs=0.01)
    loop.run(5.0)
    assert stands(loop) == pytest.approx(target, abs=0.005)


def test_an_emergency_ends_it_without_a_rise(loop: ClosedLoop) -> None:
    loop.signal(part(loop, -0.1), 600.0)
    loop.run(8.0)
    beside_w = 0.7 * part(loop, 1.0)
    loop.meter = lambda power_w, now_ns: Reading(power_w + beside_w, now_ns)
    out = loop.run(3.0)
    assert (out.envelope, out.regulating) == (codes.EMERGENCY, 0)
    low = stands(loop)
    loop.meter = Reading
    loop.run(9.0)
    assert stands(loop) <= low + 0.002
    out = loop.run(30.0)
    # 1 MW a minute of the way back, and nothing of the signal's own.
    assert (out.returning, out.regulation_w) == (1, 0.0)
    assert stands(loop) <= low + (35.0 / 60.0) * 1e6 / part(loop, 1.0)
    loop.command(part(loop, 0.6), ramp_s=5.0)
    out = loop.run(20.0)
    assert out.regulating
    assert stands(loop) == pytest.approx(0.5, abs=0.01)


def test_a_stop_is_a_stop(loop: ClosedLoop) -> None:
    loop.signal(part(loop, 0.1), 600.0)
    loop.run(8.0)
    loop.command(0.0, verb=codes.ESTOP)
    out = loop.run(5.0)
    assert out.regulation_w == 0.0
    assert loop.poi_w[-1] <= out.least_w + part(loop, 0.01)
