"""What `rampd check` says of a site: size, tree, cooling, traffic, and what happens when rampd falls silent."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Final

from rampd.daemon import deadman, gridcheck
from rampd.daemon.config import Config
from rampd.daemon.site import Composed
from rampd.daemon.traffic import traffic
from rampd.drivers.modbus import Pace
from rampd.ext import views

SHOWN: Final = 5
"""Links with pauses that are listed one by one."""


def summary(composed: Composed) -> dict[str, Any]:
    """The site in figures; MW, requests per second."""
    config = composed.config
    limits = views.limits(composed.limits)
    kinds = Counter(rack.kind for rack in composed.racks)
    watts = {kind: sum(r.max_kw for r in composed.racks if r.kind == kind) / 1e3 for kind in kinds}
    racks = [(r, point.map) for r, point in zip(composed.racks, composed.rack_points, strict=True)]
    silent = deadman.worst(racks)
    links = traffic((point.device, point.map) for point in composed.points)
    busiest = max(links.values(), key=lambda link: link.requests_per_s)
    return {
        "site": config.site.id,
        "max_mw": config.site.max_mw,
        "import_limit_mw": config.site.import_limit_mw,
        "default_mw": config.site.default_mw,
        "racks": len(composed.racks),
        "kinds": dict(kinds),
        "it_mw": {kind: round(mw, 3) for kind, mw in watts.items()},
        "floor_mw": round(gridcheck.floor_mw(config), 3),
        "feeders": sum(node.kind == "feeder" for node in composed.nodes),
        "nodes": len(composed.nodes),
        "loops": len(config.loops),
        "loops_with_dew_point": sum(limits.dew_slot[k] >= 0 for k in range(limits.site.loops)),
        "devices": len(composed.points),
        "links": len(links),
        "requests_per_s": round(sum(link.requests_per_s for link in links.values()), 1),
        "busiest_link": {"address": busiest.address, "requests_per_s": round(busiest.requests_per_s, 1)},
        "paced_links": [str(link) for link in links.values() if link.pace != Pace(link.pace.in_flight)],
        "lead_s": round(composed.lead_s, 2),
        "five_second_mw": {
            "down": round(_within(composed, up=False), 3),
            "up": round(_within(composed, up=True), 3),
        },
        "normal_mw_per_min": {
            "down": round(60 * gridcheck.normal_mw_per_s(config, up=False), 4),
            "up": round(60 * gridcheck.normal_mw_per_s(config, up=True), 4),
        },
        "members": len(config.members),
        "never_written": [
            rack.id
            for rack, point in zip(composed.racks, composed.rack_points, strict=True)
            if point.map.policy is not None and point.map.policy.storage == "nvm"
        ],
        "without_dead_man": list(silent.holding),
        "without_dead_man_mw": round(silent.held_mw, 3),
        "max_deadman_mw": config.site.max_deadman_mw,
        "dead_man_falls_mw": round(silent.falls_mw, 3),
        "dead_man_rises_mw": round(silent.rises_mw, 3),
        "dead_man_s": config.control.deadman_s,
        "dead_man_last_s": max(deadman.times_s(config, racks).values(), default=None),
    }


def _within(composed: Composed, *, up: bool) -> float:
    """MW that the racks can move within five seconds by their own figures, dispatched envelope included."""
    total_kw = 0.0
    for rack in composed.racks:
        slope, dead_s = (rack.up_kw_per_s, rack.dead_up_s) if up else (rack.down_kw_per_s, rack.dead_down_s)
        total_kw += min(rack.max_kw - rack.min_kw, slope * max(0.0, 5.0 - dead_s))
    return min(total_kw / 1e3, gridcheck.dispatched_mw_per_s(composed.config, up=up) * 5.0)


def _normal(config: Config) -> str:
    """The ramp without a dispatch, and the swing of the load that leaves none of it."""
    up, down = (60 * gridcheck.normal_mw_per_s(config, up=up) for up in (True, False))
    text = f"{up:.3g} MW/min up, {down:.3g} MW/min down at most"
    least = [(min(one.up_mw, one.down_mw), one.s) for one in config.normal.window]
    return text + "".join(f"; none while the load itself swings by {mw:g} MW in {s:g} s" for mw, s in least)


def _leaning(config: Config) -> str:
    """What a default below the least of the racks hangs on."""
    need_mw, default_mw = gridcheck.floor_mw(config), config.site.default_mw
    if default_mw >= need_mw:
        return ""
    return f" only while {need_mw - default_mw:g} MW are generated behind the meter; without, {need_mw:g} MW"


def lines(composed: Composed) -> list[str]:
    """The summary for people."""
    s = summary(composed)
    kinds = ", ".join(f"{n} {kind} ({s['it_mw'][kind]:g} MW)" for kind, n in s["kinds"].items())
    holding = s["without_dead_man"]
    barred = s["never_written"]
    most_mw = s["max_deadman_mw"]
    limit = "which nothing limits: set max_deadman_mw" if most_mw is None else f"of {most_mw:g} MW allowed"
    silent = (
        f"all racks fall back, one after the other, after {s['dead_man_s']} to {s['dead_man_last_s']} s, "
        f"by {s['dead_man_falls_mw']:g} MW at most, or rise by "
        f"{s['dead_man_rises_mw']:g} MW"
        if not holding
        else f"{len(holding)} racks hold for ever ({s['without_dead_man_mw']:g} MW, {limit}): {', '.join(holding[:5])}"
        f"{', ...' if len(holding) > 5 else ''}"
    )
    return [
        f"{s['site']}: {s['max_mw']:g} MW at 100 %, import limit {s['import_limit_mw']:g} MW, "
        f"default {s['default_mw']:g} MW{_leaning(composed.config)}",
        f"  racks      {s['racks']}: {kinds}; least {s['floor_mw']:g} MW",
        f"  tree       {s['feeders']} feeders, {s['nodes']} nodes",
        *_tree(composed),
        f"  cooling    {s['loops']} loops, {s['loops_with_dew_point'] or 'none'} with a dew point",
        f"  devices    {s['devices']} on {s['links']} links, {s['requests_per_s']:g} requests/s; "
        f"busiest {s['busiest_link']['address']} with {s['busiest_link']['requests_per_s']:g}/s",
        *[f"    {link}" for link in s["paced_links"][:SHOWN]],
        *([f"    ... and {more} more links with pauses"] if (more := len(s["paced_links"]) - SHOWN) > 0 else []),
        *([f"  members    {s['members']} BMCs and miners"] if s["members"] else []),
        *([f"  read only  {', '.join(barred)}: their limits wear a memory out"] if barred else []),
        f"  in 5 s     {s['five_second_mw']['down']:g} MW down, {s['five_second_mw']['up']:g} MW up, "
        "by the racks' own figures",
        f"  normal     {_normal(composed.config)}",
        f"  if silent  {silent}",
    ]


def _tree(composed: Composed) -> list[str]:
    """One line per main and feeder: its limit and the racks below."""
    parents = {node.id: node.parent for node in composed.nodes}
    load: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for rack in composed.racks:
        name = rack.node
        while name:
            load[name] += math.ceil(rack.max_kw)
            count[name] += 1
            name = parents[name]
    return [
        f"    {node.id:<12} limit {node.rating_kw * node.derating / 1e3:8.3f} MW, {count[node.id]:4d} racks of "
        f"{load[node.id] / 1e3:8.3f} MW"
        for node in composed.nodes
        if node.kind in ("main", "feeder")
    ]
