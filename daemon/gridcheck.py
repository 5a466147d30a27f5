"""What the site owes the grid must fit: steps below the nominal frequency, ramps that end, a default it can hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rampd.daemon.config import Config, Window
from rampd.daemon.filecheck import Places
from rampd.daemon.sitefile import Problem, nth
from rampd.drivers import maps

HEALTHY_HZ: Final = 0.2
"""So far off nominal a healthy grid may stay, the steady limit of Continental Europe and of Great Britain: less is no
emergency. At 49.8 Hz schemes of load with a contract begin to shed.
"""
ROUNDING_HZ: Final = 1e-6
DEAD_HZ: Final = 4.0
"""So far below nominal the generators have left the grid, and the site with them."""
ROOM: Final = 0.9
"""The part of a window that a ramp takes, as the kernel does (ext/window.py)."""
LONGEST_S: Final = 86400.0


def rate_mw_per_s(limit_mw_per_s: float, windows: Sequence[Window], *, up: bool) -> float:
    """The fastest ramp of an envelope, MW/s: its rate, and what its windows leave of a load without any noise."""
    return min([limit_mw_per_s, *(ROOM * (one.up_mw if up else one.down_mw) / one.s for one in windows)])


def normal_mw_per_s(config: Config, *, up: bool) -> float:
    """The fastest ramp while nobody has dispatched the site."""
    normal = config.normal
    return rate_mw_per_s((normal.up_mw_per_min if up else normal.down_mw_per_min) / 60, normal.window, up=up)


def dispatched_mw_per_s(config: Config, *, up: bool) -> float:
    """The fastest ramp of an authorised command."""
    dispatched = config.dispatched
    return rate_mw_per_s(dispatched.up_mw_per_s if up else dispatched.down_mw_per_s, dispatched.window, up=up)


def grid(config: Config, places: Places) -> Iterator[Problem]:
    """Every contradiction between the site's limits and the grid that it hangs on."""
    yield from _under(config, places)
    yield from _unseen(config, places)
    yield from _droop(config, places)
    yield from _default(config, places)
    yield from _ramps(config, places)
    yield from _regulation(config, places)


def _under(config: Config, places: Places) -> Iterator[Problem]:
    """A step sheds in an emergency, not in a healthy grid, and not after the grid is gone."""
    nominal_hz = config.site.nominal_hz
    most_hz, least_hz = nominal_hz - max(config.grid.hold_hz, HEALTHY_HZ), nominal_hz - DEAD_HZ
    for i, step in enumerate(config.under):
        at = places[nth("under", i)]
        if step.hz > most_hz + ROUNDING_HZ:
            message = f"limits contradict: under.hz {step.hz:g} is above {most_hz:g}, where a grid of {nominal_hz} Hz"
            remedy = "lower it, and see that site.nominal_hz and grid.hold_hz are right: racks would be shed for ever"
            yield Problem(*at, f"{message} is healthy", remedy)
        elif step.hz < least_hz:
            message = (
                f"limits contradict: under.hz {step.hz:g} is below {least_hz:g}: a grid of {nominal_hz} Hz is gone"
            )
            yield Problem(*at, f"{message} by then", "raise it, and see that site.nominal_hz is right")
    yield from _shed(config, places)


def _unseen(config: Config, places: Places) -> Iterator[Problem]:
    """What follows the frequency needs a meter that tells it."""
    meter = next(meter for meter in config.meters if meter.id == config.site.meter)
    if "frequency_hz" in maps.load(meter.map, config.map_folder).names:
        return
    why = f"has no effect: map {meter.map} of meter {meter.id} tells no frequency"
    remedy = "add frequency_hz to the map, or take {} out"
    if config.under:
        yield Problem(*places[nth("under", 0)], f"[[under]] {why}", remedy.format("the steps"))
    if config.grid.droop_percent > 0:
        yield Problem(*places["[grid]"], f"droop_percent {why}", remedy.format("droop_percent"))


def _shed(config: Config, places: Places) -> Iterator[Problem]:
    """A step sheds its own tier and higher ones: one above all racks would shed nothing, and count as done."""
    tiers = sorted({rack.tier for rack in config.racks})
    for i, step in enumerate(config.under):
        if step.tier > tiers[-1]:
            message = f"[[under]] has no effect: under.tier {step.tier}, but no rack has that tier or a higher one"
            found = f"{message}, they have {', '.join(map(str, tiers))}"
            yield Problem(*places[nth("under", i)], found, "correct the tier, or give racks that tier in fleet.racks")


def _droop(config: Config, places: Places) -> Iterator[Problem]:
    grid, full_hz = config.grid, config.site.nominal_hz * config.grid.droop_percent / 100
    if 0 < full_hz <= grid.deadband_hz:
        message = f"limits contradict: deadband_hz {grid.deadband_hz:g} leaves nothing of a droop of {full_hz:g} Hz"
        yield Problem(*places["[grid]"], message, "lower grid.deadband_hz or raise grid.droop_percent")


def floor_mw(config: Config) -> float:
    """What the racks need at least."""
    return sum(rack.min_kw for rack in config.racks) / 1000


def _default(config: Config, places: Places) -> Iterator[Problem]:
    """Where the site stands without a command is a power that its racks can be held at, with all that is generated."""
    site, need_mw = config.site, floor_mw(config)
    if site.default_mw < need_mw - site.generation_mw - 1e-9 and need_mw <= site.max_mw:
        less = f", less generation_mw, {need_mw - site.generation_mw:g} MW" if site.generation_mw else ""
        message = (
            f"limits contradict: default_mw {site.default_mw:g} is below what the racks' min_kw add up to, "
            f"{need_mw:g} MW{less}"
        )
        remedy = "raise default_mw, or lower the racks' min_kw; generation_mw says what is supplied behind the meter"
        yield Problem(*places["[site]"], message, remedy)


def _ramps(config: Config, places: Places) -> Iterator[Problem]:
    """The normal ramp covers what the site can go through within a day."""
    top_mw = sum(rack.max_kw for rack in config.racks) / 1000
    least_mw = floor_mw(config) - config.site.generation_mw
    range_mw = min(config.site.max_mw, top_mw) - max(config.site.min_mw, least_mw)
    for up, key in ((True, "up"), (False, "down")):
        mw_per_s = normal_mw_per_s(config, up=up)
        if range_mw > mw_per_s * LONGEST_S:
            message = f"[normal] and its windows leave {60 * mw_per_s:g} MW/min {key}: {range_mw:g} MW take over a day"
            yield Problem(
                *places["[normal]"], message, f"out of reason: are {key}_mw_per_min and {key}_mw given in MW?"
            )


def _regulation(config: Config, places: Places) -> Iterator[Problem]:
    """What regulation offers up and down lies between the site's least and most, at one set point at least."""
    site, offer_mw = config.site, config.grid.regulation_mw
    low_mw = max(site.min_mw, floor_mw(config) - site.generation_mw)
    if offer_mw > 0 and 2 * offer_mw > site.max_mw - low_mw + 1e-9:
        message = (
            f"limits contradict: regulation_mw {offer_mw:g} up and down is more than lies between {low_mw:g} and "
            f"{site.max_mw:g} MW"
        )
        yield Problem(*places["[grid]"], message, f"offer {max(0.0, (site.max_mw - low_mw) / 2):g} MW or less")
