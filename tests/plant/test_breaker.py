"""The site's breaker opens: racks go down to what is generated behind the meter, and come back as after an emergency.

What the racks draw meanwhile comes from batteries; the meter shows nothing. A hall of 4.9 MW in closed loop.
"""

from __future__ import annotations

import pytest

from rampd.daemon.closed import ClosedLoop, Reading
from rampd.daemon.config import Restore
from rampd.daemon.proving import hall
from rampd.ext import codes, views

RESTORE_MW_PER_MIN = 1.0
CLEAR_S = 10.0


class Site(ClosedLoop):
    """`closed` is what the contact says, `cut` whether the meter shows nothing, `unread` whether neither is read."""

    def __init__(self, generated: float = 0.0) -> None:
        config = hall(1, (0.2, 1.0), racks_of=40)
        full_mw = config.site.max_mw
        site = config.site.model_copy(update={"generation_mw": generated * full_mw})
        restore = Restore(up_mw_per_min=RESTORE_MW_PER_MIN, stagger_s=0.0)
        super().__init__(config.model_copy(update={"site": site, "restore": restore}), noise=0.0)
        # Where the hall's meter shows the frequency this one has the contact.
        grid = self.limits.site
        grid.breaker_slot, grid.frequency_slot = grid.frequency_slot, -1
        self.full_w = full_mw * 1e6
        self.beside_w = (0.05 - generated) * self.full_w
        self.closed, self.cut = True, False
        self.unread = False
        self.meter = self._show
        self.run(15.0)
        self.command((0.95 - generated) * self.full_w, lease_s=3600.0)
        self.run(30.0)

    def _read(self, now_ns: int) -> None:
        super()._read(now_ns)
        if self.tick % 2 == 0 and not self.unread:
            self._put(self.limits.site.breaker_slot, float(self.closed), now_ns)

    def _show(self, power_w: float, now_ns: int) -> Reading | None:
        return None if self.unread else Reading(0.0 if self.cut else power_w + self.beside_w, now_ns)

    def open(self, seconds: float) -> views.Outputs:
        self.closed, self.cut = False, True
        return self.run(seconds)

    def close(self, seconds: float) -> views.Outputs:
        self.closed, self.cut = True, False
        return self.run(seconds)

    @property
    def racks_w(self) -> float:
        return float(self.fleet.power_w.sum())

    @property
    def least_w(self) -> float:
        """What the racks draw at their least, those in steps at their lowest level."""
        return 1.03 * sum(self.limits.min_w[i] for i in range(self.count))


def test_down_at_once_and_slowly_back() -> None:
    site = Site()
    stood_w = site.racks_w
    out = site.open(3.5)
    # A second until it is believed, the slowest racks' second of dead time, their slopes.
    assert out.envelope == codes.EMERGENCY
    assert site.racks_w <= site.least_w < 0.5 * stood_w
    site.open(60.0)
    low_w = site.racks_w
    assert low_w <= site.least_w
    site.close(CLEAR_S - 1.0)
    assert site.racks_w == pytest.approx(low_w, rel=0.01)
    out = site.run(2.0)
    assert (out.envelope, out.returning) == (codes.DISPATCHED, 1)
    site.run(10.0)
    begin_w = site.poi_w[-1]
    site.run(30.0)
    rise_w = 1e6 * RESTORE_MW_PER_MIN * 30.0 / 60.0
    assert site.poi_w[-1] - begin_w == pytest.approx(rise_w, rel=0.1)
    assert site.vetoes() == 0


@pytest.mark.parametrize("generated", [0.45, 0.6])
def test_what_is_generated_may_be_drawn(generated: float) -> None:
    site = Site(generated)
    site.open(8.0)
    assert site.poi_w[-1] + site.beside_w <= 0.0025 * site.full_w
    assert site.poi_w[-1] + site.beside_w >= -0.02 * site.full_w
    site.close(CLEAR_S + 300.0)
    assert site.poi_w[-1] + site.beside_w == pytest.approx((0.95 - generated) * site.full_w, rel=0.01)
    assert site.vetoes() == 0


ALONE = {
    # what the contact says, whether the meter shows nothing, for how long -> whether anything moves
    "the contact":    (False, False, 60.0),
    "for a moment":   (False, True, 0.6),
}  # fmt: skip


@pytest.mark.parametrize("row", ALONE.values(), ids=ALONE.keys())
def test_what_one_of_them_says_moves_nothing(row: tuple[bool, bool, float]) -> None:
    site = Site()
    stood_w = site.racks_w
    site.closed, site.cut, seconds = row
    out = site.run(seconds)
    assert out.envelope != codes.EMERGENCY
    out = site.close(CLEAR_S + 5.0)
    assert (out.envelope, out.returning) == (codes.DISPATCHED, 0)
    assert site.racks_w == pytest.approx(stood_w, rel=0.005)


def test_one_that_opened_stays_so_while_nobody_reads_it() -> None:
    site = Site()
    site.open(3.5)
    site.unread = True
    out = site.run(60.0)
    assert (out.envelope, site.racks_w <= site.least_w) == (codes.EMERGENCY, True)


@pytest.mark.parametrize("opens", [True, False], ids=["while open", "just before"])
def test_a_restart_behind_an_open_breaker_comes_back_from_where_the_racks_stand(opens: bool) -> None:
    """What the meter does not show of the racks is not paid back to them for minutes."""
    site = Site()
    if opens:
        site.open(5.0)
    out = views.outputs(site.out)
    site.inputs.returning, site.inputs.return_ns = out.returning, out.return_ns
    site.inputs.command.resumed = 1
    site.restart()
    site.open(20.0)
    assert site.racks_w <= site.least_w
    site.close(CLEAR_S + 2.0)
    low_w = site.racks_w
    site.run(60.0)
    assert site.racks_w - low_w == pytest.approx(1e6 * RESTORE_MW_PER_MIN, rel=0.15)
    assert site.vetoes() == 0


def test_a_command_that_comes_while_it_is_open_does_not_end_the_return() -> None:
    site = Site()
    site.open(5.0)
    site.command(0.9 * site.full_w, lease_s=3600.0)
    site.open(5.0)
    low_w = site.racks_w
    out = site.close(CLEAR_S + 32.0)
    assert (out.returning, out.goal_w) == (1, pytest.approx(0.9 * site.full_w))
    assert site.racks_w - low_w <= 1e6 * RESTORE_MW_PER_MIN * 40.0 / 60.0
    site.run(300.0)
    assert site.poi_w[-1] + site.beside_w == pytest.approx(0.9 * site.full_w, rel=0.01)
    site.command(0.7 * site.full_w, lease_s=3600.0)
    assert site.run(15.0).returning == 0
    assert site.vetoes() == 0
