"""Load that went by itself: what is told of it, how soon and how often; by racks and by the meter. MW of 100."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from rampd.daemon.drops import CREST_S, LAG_S, SETTLED_S, Drop, Drops
from rampd.ext import codes, views
from tests.core import world

MW = 1e6


class Site:
    """A site that shows what it is told, looked at ten times a second."""

    def __init__(self) -> None:
        self.wall = world().out
        self.out = views.outputs(self.wall)
        self.out.meter_good = 1
        self.show(power=100.0, total=100.0, reference=100.0)
        self.drops = Drops(100.0 * MW)
        self.now_s = 0.0

    def show(self, **mw: float) -> None:
        for name, value in mw.items():
            setattr(self.out, f"{name}_w", value * MW)

    def run(self, seconds: float, **mw: Callable[[float], float]) -> list[tuple[float, Drop]]:
        """What is told, and after how many seconds; values by the time since the start of this run."""
        found = []
        for k in range(1, round(10 * seconds) + 1):
            self.now_s = round(self.now_s + 0.1, 3)
            self.show(**{name: value(0.1 * k) for name, value in mw.items()})
            if (drop := self.drops.look(self.out, self.now_s)) is not None:
                found.append((round(0.1 * k, 3), drop))
        return found


@pytest.fixture
def site() -> Site:
    made = Site()
    assert made.run(SETTLED_S + 1.0) == []
    return made


def read(*fell: tuple[float, float]) -> Callable[[float], float]:
    """What racks have fallen by that are read twice a second, each fall (when, MW) within half a second."""
    return lambda at_s: sum(mw * min(1.0, max(0.0, (at_s - then_s) / 0.5)) for then_s, mw in fell)


@pytest.mark.parametrize("mw", [5.0, 7.0, 20.0, 60.0])
def test_racks_tell_within_a_second_and_all_of_it(site: Site, mw: float) -> None:
    ((at_s, drop),) = site.run(30.0, fell=read((1.0, mw)))
    assert 1.5 <= at_s <= 1.9
    assert drop.fell_w == pytest.approx(mw * MW)
    assert drop.within_s == pytest.approx(at_s - 1.0, abs=0.11)
    assert drop.by == "racks"


NOTHING = {
    "too little":          read((1.0, 4.9)),
    "too slow":            lambda at_s: 2.0 * at_s,
    "back at once":        lambda at_s: 8.0 * (1.0 <= at_s < 1.15),
    "one rack after the other": lambda at_s: 4.0 * (at_s // 4.0),
    "some of many":        lambda at_s: 20.0 + 1.2 * math.sin(at_s) + 1.2 * math.sin(7.3 * at_s),
    "less and less":       lambda at_s: 30.0 - at_s,
}  # fmt: skip


@pytest.mark.parametrize("fell", NOTHING.values(), ids=NOTHING.keys())
def test_what_is_no_drop(site: Site, fell: Callable[[float], float]) -> None:
    site.show(fell=fell(0.0))
    site.run(SETTLED_S + 1.0)
    site.drops = Drops(100.0 * MW)
    site.run(SETTLED_S + 1.0)
    assert site.run(30.0, fell=fell) == []


def test_what_goes_on_falling_is_the_same_thing(site: Site) -> None:
    """Racks that are read now and then."""
    found = site.run(60.0, fell=lambda at_s: min(60.0, 6.0 * at_s))
    assert [drop.by for _, drop in found] == ["racks"]
    assert found[0][0] <= 2.6


def test_a_second_crash_is_a_second_event(site: Site) -> None:
    found = site.run(200.0, fell=read((1.0, 7.0), (60.0, -7.0), (100.0, 7.0)))
    assert [at_s // 10.0 for at_s, _ in found] == [0, 10]


def test_another_crash_beside_one_that_stays_is_an_event(site: Site) -> None:
    found = site.run(100.0, fell=read((1.0, 7.0), (20.0, 9.0)))
    assert [round(drop.fell_w / MW) for _, drop in found] == [7, 9]


def swinging(at_s: float) -> float:
    """Racks that take their first swings for falls, fewer of them in each."""
    return 9.0 * (at_s % 3.0 > 1.5) * max(0.0, 1.0 - at_s / 40.0)


def test_a_job_that_begins_to_swing_is_one_event_at_most(site: Site) -> None:
    assert len(site.run(60.0, fell=swinging)) == 1


def test_its_crash_is_one_once_it_is_known(site: Site) -> None:
    site.run(60.0, fell=swinging)
    site.run(30.0)
    assert len(site.run(10.0, fell=read((1.0, 7.0)))) == 1


@pytest.mark.parametrize("by_meter", [False, True])
def test_the_meter_does_not_tell_it_again(site: Site, by_meter: bool) -> None:
    """Whatever the meter shows of it, and when."""
    for late_s in (0.0, 1.0, 3.0, 5.0):
        drops = read((1.0, 0.0 if by_meter else 8.0))
        found = site.run(60.0, fell=drops, power=lambda at_s, late_s=late_s: 100.0 - 8.0 * (at_s > 1.0 + late_s))
        assert [drop.by for _, drop in found] == ["meter" if by_meter else "racks"]
        site.show(fell=0.0)
        site.run(60.0, power=lambda _: 100.0)


def test_racks_that_are_read_late_do_not_tell_what_the_meter_told(site: Site) -> None:
    """The fall of the purchase comes at once, that of the racks when they are read at last."""
    found = site.run(60.0, fell=read((8.0, 8.0)), power=lambda at_s: 92.0 if at_s > 1.0 else 100.0)
    assert [(round(at_s), drop.by, drop.fell_w) for at_s, drop in found] == [(7, "meter", 8.0 * MW)]


def test_crests_of_the_meter_are_compared(site: Site) -> None:
    """A job of a tenth of the site, three seconds a step; then it crashes in the middle of one."""
    swing = lambda at_s: 90.0 + 5.0 * math.sin(2.0 * math.pi * at_s / 3.0)  # noqa: E731
    site.drops = Drops(100.0 * MW)
    assert site.run(90.0, power=swing) == []
    ((at_s, drop),) = site.run(60.0, power=lambda _: 84.0)
    assert (drop.fell_w, drop.by) == (pytest.approx(11.0 * MW, rel=0.02), "meter")
    assert at_s <= CREST_S + 3.0


@pytest.mark.parametrize("lag_s", [0.0, 2.0, 5.0, 10.0])
@pytest.mark.parametrize("to", ["reference", "total"])
def test_a_purchase_that_is_led_does_not_drop(site: Site, to: str, lag_s: float) -> None:
    """It follows late where racks do, but within `LAG_S`."""
    assert lag_s < LAG_S
    ramp = lambda at_s: 100.0 - 60.0 * min(1.0, max(0.0, at_s / 2.0))  # noqa: E731
    found = site.run(60.0, **{to: ramp}, power=lambda at_s: ramp(at_s - lag_s))
    assert found == []


@pytest.mark.parametrize("by", ["power", "fell"])
def test_after_a_fault_nothing_is_told_for_a_minute(site: Site, by: str) -> None:
    drop = {"power": lambda at_s: 80.0 if at_s > 1.0 else 100.0, "fell": read((1.0, 20.0))}[by]
    site.out.site_why = codes.SITE_FAULT
    assert site.run(5.0) == []
    site.out.site_why = codes.SITE_REFERENCE
    assert site.run(SETTLED_S - 5.0, **{by: drop}) == []
    site.show(power=100.0, fell=0.0)
    site.run(SETTLED_S + 10.0)
    assert len(site.run(20.0, **{by: drop})) == 1


def test_without_a_meter_racks_tell_all_the_same(site: Site) -> None:
    site.out.meter_good = 0
    ((_, drop),) = site.run(60.0, fell=read((1.0, 8.0)), power=lambda _: 0.0)
    assert drop.by == "racks"
    site.out.meter_good = 1
    assert site.run(SETTLED_S - 1.0, power=lambda at_s: 100.0 - at_s) == [], "what it shows first is where it is"
