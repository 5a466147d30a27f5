"""When racks fall back after rampd has died: one after the other, no faster than the site moves by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from rampd.daemon import deadman, gridcheck, sitecheck
from rampd.daemon.config import Config
from rampd.drivers import maps

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def times_s(config: Config) -> dict[str, int]:
    return deadman.times_s(config, [(rack, maps.load(rack.map, config.map_folder)) for rack in config.racks])


def loaded(name: str) -> Config:
    return sitecheck.load(EXAMPLES / name / "site.toml")


@pytest.mark.parametrize("name", ["bench-12", "hall-48mw"])
def test_the_hall_falls_no_faster_than_in_the_normal_envelope(name: str) -> None:
    config = loaded(name)
    found = times_s(config)
    falls_mw = {rack.id: (rack.max_kw - (rack.fallback_kw or rack.min_kw)) / 1e3 for rack in config.racks}
    pace_mw_per_s = gridcheck.normal_mw_per_s(config, up=False)
    last_s = 0
    for at_s in sorted(set(found.values())):
        fallen_mw = sum(falls_mw[rack] for rack, s in found.items() if s <= at_s)
        fallen_mw *= 1.0 + config.site.losses_percent / 100
        # Whole seconds, and whole racks.
        assert fallen_mw <= pace_mw_per_s * (at_s - config.control.deadman_s + 1) + max(falls_mw.values())
        last_s = at_s
    assert min(found.values()) == config.control.deadman_s
    assert last_s <= config.control.deadman_s + sum(falls_mw.values()) * 1.1 / pace_mw_per_s


def test_who_is_shed_first_falls_first() -> None:
    config = loaded("bench-12")
    found = times_s(config)
    tiers = {rack.id: rack.tier for rack in config.racks}
    order = sorted(found, key=lambda rack: found[rack])
    assert [tiers[rack] for rack in order] == sorted(tiers.values(), reverse=True)


def test_a_rack_that_would_rise_waits_as_well() -> None:
    """All but off, those that fall back to something rise to it."""
    config = loaded("bench-12")
    racks = tuple(rack.model_copy(update={"fallback_kw": rack.max_kw}) for rack in config.racks)
    found = times_s(config.model_copy(update={"racks": racks}))
    assert max(found.values()) > 60


def test_a_rack_that_holds_for_ever_has_no_time_and_takes_none() -> None:
    config = loaded("bench-12")
    racks = tuple(rack.model_copy(update={"map": "luxos"} if rack.kind == "asic" else {}) for rack in config.racks)
    found = times_s(config.model_copy(update={"racks": racks}))
    assert set(found) == {rack.id for rack in config.racks if rack.kind == "gpu"}
    assert min(found.values()) == 30


def test_no_rack_waits_for_longer_than_an_hour() -> None:
    config = loaded("hall-48mw")
    slow = config.normal.model_copy(update={"down_mw_per_min": 0.1})
    assert max(times_s(config.model_copy(update={"normal": slow})).values()) == deadman.LONGEST_S


TIMERS = {
    # the timer of a map -> the longest that it takes, s
    '{ at = 4, type = "u16" }': deadman.LONGEST_S,
    '{ at = 4, type = "u16", scale = 0.001 }': 65,
    '{ at = 4, type = "s16", scale = 0.001 }': 32,
    '{ at = 4, type = "u16", scale = 0.01, nan = [0xffff] }': 655,
    '{ at = 4, type = "u16", mask = 0x00ff }': 255,
    '{ at = 4, type = "u16", range = [0, 120] }': 120,
    '{ at = 4, type = "f32" }': deadman.LONGEST_S,
}


@pytest.mark.parametrize("line", TIMERS)
def test_a_timer_is_given_no_more_than_its_register_takes(line: str, tmp_path: Path) -> None:
    text = (Path(maps.__file__).parent / "maps/rack-power.toml").read_text(encoding="utf-8")
    old = next(one for one in text.splitlines() if one.startswith("deadman  "))
    (tmp_path / "timer.toml").write_text(
        text.replace(old, f"deadman = {line}").replace("rack-power", "timer"), encoding="utf-8"
    )
    assert deadman.longest_s(maps.load("timer", tmp_path)) == TIMERS[line]
