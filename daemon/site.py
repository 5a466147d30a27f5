"""The composition root: turns a checked site into devices, slots of the image and limits of the core.

Nothing looks anything up by name afterwards: racks, nodes and loops are indices in the order of `Site`, readings are
slots. Units change here, once, from the operator's to SI.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from rampd.daemon.config import Config
from rampd.daemon.equipment import Device, Node, Rack
from rampd.daemon.sitecheck import device_rows, read_every_s
from rampd.drivers import maps
from rampd.drivers.device import SLOW_FACTOR
from rampd.drivers.maphead import WritePolicy
from rampd.drivers.maps import PHASES, AnyMap, DeviceMap
from rampd.drivers.members import MemberMap
from rampd.ext import codes, layout, views
from rampd.ext.image import Configuration

FAST_S: Final = 2.0  # racks slower than this do not shape a ramp
MOVES_PER_S: Final = 2.0
FREEZE: Final = (
    0.02  # of the site, and 1.5 of its largest rack: what racks must have moved by before a meter is doubted
)
QUIET: Final = 0.012  # of the site: peak to peak in 15 s that is let stand while a command is followed
BRIDGED_S: Final = 1.2  # racks with longer dead times are bridged by the others
MANY: Final = 3  # racks on one address are a link of their own in the failsafe ladder
DAY_NS: Final = 86_400_000_000_000
ENDLESS_NS: Final = 1 << 62
UNSURE: Final = 1.5  # what a rack needs may be half as much again as it was said to be
EFFECT_S: Final = 2.0  # and what reads it may lag by so much, as that of GPUs does
READ: Final[tuple[str, ...]] = (
    "power_w", "frequency_hz", "breaker_state", "voltage_v", "voltage_l1_v", "voltage_l2_v", "voltage_l3_v",
)  # fmt: skip
"""What the core reads of the site meter, where its map has it."""
LAG_S: Final = 2.0  # what meters average over, and what reads the power of GPUs
SETTLE_S: Final = 1.5  # the last part of a ramp belongs to the feedback and to the meter's mean over a second


@dataclass(frozen=True, slots=True)
class Point:
    """One device in the image, or one rack of members: its map, where its values stand, when they are too old."""

    id: str
    kind: str
    device: Device
    map: AnyMap
    slots: dict[str, int]
    stale_s: float

    @property
    def period_s(self) -> float:
        """How often its values are read."""
        return read_every_s(self.device, self.map)

    @property
    def slow(self) -> frozenset[str]:
        """Values that are read seldom."""
        if isinstance(self.map, DeviceMap):
            return frozenset(name for name, value in self.map.values.items() if value.slow)
        return frozenset()


@dataclass(frozen=True, slots=True)
class Composed:
    """A site ready to run. `racks`, `nodes` and `loops` are in the order of the image's arrays; `read` has the slots of
    what the core reads of the site meter.

    `power_points` are what measures each rack's power: itself, or the meter that it names; `node_points` what measures
    a node, where one does. `zones` are the scopes of
    the failsafe ladder in the order of the image: the site, feeders, links, loops and nodes; a feeder is a
    node as well.
    """

    config: Config
    points: tuple[Point, ...]
    racks: tuple[Rack, ...]
    nodes: tuple[Node, ...]
    feeders: tuple[str, ...]
    zones: tuple[str, ...]
    rack_points: tuple[Point, ...]
    power_points: tuple[Point, ...]
    loop_points: tuple[Point, ...]
    node_points: tuple[Point | None, ...]
    meter: Point
    read: dict[str, int]
    slots: int
    limits: Configuration
    lead_s: float
    by_id: dict[str, Point] = field(repr=False)


def staleness(config: Config, name: str, kind: str, device: Device, device_map: AnyMap) -> float:
    """Seconds after which a device's readings are too old. Members that tell something new seldom get that long."""
    control = config.control
    if name in (config.site.meter, config.site.second_meter):
        return control.meter_stale_s
    if kind == "cdu":
        return control.loop_stale_s
    if isinstance(device_map, MemberMap):
        return max(control.rack_stale_s, 2.5 * read_every_s(device, device_map))
    return control.rack_stale_s


def compose(config: Config) -> Composed:
    """The site's devices, slots and limits."""
    nodes = _preorder(config.nodes)
    order = {node.id: i for i, node in enumerate(nodes)}
    racks = tuple(sorted(config.racks, key=lambda rack: order[rack.node]))
    points = _points(config, racks)
    by_id = {point.id: point for point in points}
    count = sum(len(point.slots) for point in points)
    read = _read(config, by_id, count)
    slots = count + sum(slot >= count for slot in read.values())
    lead_s = _lead(config, racks)
    feeders = _feeders(config, racks)
    links = _links(racks, by_id)
    return Composed(
        config=config, points=points, racks=racks, nodes=nodes, feeders=feeders,
        zones=("site", *dict.fromkeys(feeders), *links, *(loop.id for loop in config.loops),
               *(node.id for node in nodes)),
        rack_points=tuple(by_id[rack.id] for rack in racks),
        power_points=tuple(by_id[rack.power_from or rack.id] for rack in racks),
        loop_points=tuple(by_id[loop.id] for loop in config.loops),
        meter=by_id[config.site.meter], read=read, slots=slots, lead_s=lead_s,
        limits=_limits(config, racks, nodes, by_id, read, slots, lead_s), by_id=by_id,
        node_points=tuple(None if node.map is None else by_id[node.id] for node in nodes),
    )  # fmt: skip


def twin(name: str, slots: Mapping[str, int]) -> str | None:
    """What a meter has for a value that another has, None: nothing. One voltage may stand for that of a phase."""
    if name in slots:
        return name
    near = "voltage_l1_v" if name == "voltage_v" else "voltage_v"
    return near if name.startswith("voltage_") and near in slots else None


def _read(config: Config, by_id: dict[str, Point], count: int) -> dict[str, int]:
    """Where the core reads what the site meter shows: in slots beyond `count` what a second meter may stand in for.

    See `daemon.standby`.
    """
    meter, second = by_id[config.site.meter].slots, config.site.second_meter
    others = {} if second is None else by_id[second].slots
    found = {name: meter[name] for name in READ if name in meter}
    shared = [name for name in found if twin(name, others) is not None]
    return found | {name: count + k for k, name in enumerate(shared)}


def _points(config: Config, racks: tuple[Rack, ...]) -> tuple[Point, ...]:
    """The devices, in the order of the site file, and where in the image the values of each stand.

    The racks' power, which every tick looks at, stands together in their order; then all else device by device.
    """
    rows = [
        (name, kind, device, maps.load(device.map, config.map_folder)) for name, kind, device in device_rows(config)
    ]
    first = dict.fromkeys((rack.power_from or rack.id, "power_w") for rack in racks)
    every = dict.fromkeys((name, value) for name, _, _, device_map in rows for value in device_map.names)
    place = {key: slot for slot, key in enumerate({**first, **every})}
    return tuple(
        Point(
            name, kind, device, device_map, {value: place[name, value] for value in device_map.names},
            staleness(config, name, kind, device, device_map),
        )
        for name, kind, device, device_map in rows
    )  # fmt: skip


def _preorder(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """Parents before children, subtrees in one piece."""
    below: dict[str, list[Node]] = {}
    for node in nodes:
        below.setdefault(node.parent, []).append(node)
    ordered: list[Node] = []
    stack = list(below[""])
    while stack:
        node = stack.pop()
        ordered.append(node)
        stack += reversed(below.get(node.id, []))
    return tuple(ordered)


def _feeders(config: Config, racks: tuple[Rack, ...]) -> tuple[str, ...]:
    """The feeder above each rack."""
    nodes = {node.id: node for node in config.nodes}
    found = []
    for rack in racks:
        node = nodes[rack.node]
        while node.kind != "feeder":
            node = nodes[node.parent]
        found.append(node.id)
    return tuple(found)


def _links(racks: tuple[Rack, ...], by_id: dict[str, Point]) -> list[str]:
    """Addresses through which several racks are read: a gateway, a line."""
    count = Counter(by_id[rack.power_from or rack.id].device.address for rack in racks)
    return [address for address, n in count.items() if address and n >= MANY]


def is_slow(rack: Rack) -> bool:
    """Whether its dead time is too long to follow a reference tick by tick."""
    return max(rack.dead_up_s, rack.dead_down_s) > BRIDGED_S


def loop_s(racks: tuple[Rack, ...]) -> float:
    """Mean time from a set point to the power of the racks that follow tick by tick: half a move, their dead time."""
    fast = [rack for rack in racks if not is_slow(rack)]
    weight = sum(rack.max_kw for rack in fast)
    wait_s = sum(0.5 * (rack.dead_up_s + rack.dead_down_s) * rack.max_kw for rack in fast) / weight if weight else 0.0
    return 0.5 / MOVES_PER_S + wait_s


def fall_s(rack: Rack) -> float:
    """How long it may take from its most to its least."""
    return UNSURE * (rack.max_kw - rack.min_kw) / rack.down_kw_per_s


def wait_s(rack: Rack, policy: WritePolicy, read_s: float) -> float:
    """How long from an accepted limit until a reading must show that the power follows it.

    By the rack's own dead time, or what its map says of the whole fall.
    """
    return max(UNSURE * rack.dead_down_s + read_s + EFFECT_S, policy.effect_s - fall_s(rack))


def _trips(racks: tuple[Rack, ...], nodes: tuple[Node, ...], by_id: dict[str, Point]) -> dict[str, float]:
    """Seconds until a node trips whose racks, sent to their least, draw too much: what the slowest below it needs.

    And what the nodes below need before it, as breakers are graded: what they switch off may be enough.
    """
    own_s = dict.fromkeys((node.id for node in nodes), 0.0)
    below_s = dict(own_s)
    for rack in racks:
        policy = by_id[rack.id].map.policy
        if policy is not None:
            # A write may have gone out just now, and the budget lets the next one wait.
            write_s = 1.0 / policy.writes_per_s + policy.accept_s
            read_s = by_id[rack.power_from or rack.id].period_s
            needs_s = write_s + wait_s(rack, policy, read_s) + fall_s(rack) + read_s
            own_s[rack.node] = max(own_s[rack.node], needs_s)
    for node in reversed(nodes):
        if node.parent:
            own_s[node.parent] = max(own_s[node.parent], own_s[node.id])
            below_s[node.parent] = max(below_s[node.parent], own_s[node.id] + below_s[node.id])
    return {name: own_s[name] + below_s[name] for name in own_s}


def _lead(config: Config, racks: tuple[Rack, ...]) -> float:
    """Seconds from the reference to a settled meter: the slower fast racks, one write interval, the meter, the mean."""
    delays = sorted(
        rack.dead_down_s + 0.3 * (rack.max_kw - rack.min_kw) / rack.down_kw_per_s for rack in racks if not is_slow(rack)
    )
    fast = [delay for delay in delays if delay <= FAST_S] or [FAST_S]
    slowest = fast[int(0.95 * (len(fast) - 1))]
    meter = next(meter for meter in config.meters if meter.id == config.site.meter)
    return slowest + 1.0 / MOVES_PER_S + config.control.meter_delay_s + meter.period_s + SETTLE_S


def _limits(
    config: Config,
    racks: tuple[Rack, ...],
    nodes: tuple[Node, ...],
    by_id: dict[str, Point],
    read: dict[str, int],
    slots: int,
    lead_s: float,
) -> Configuration:
    hz = config.control.hz
    tiers = sorted({rack.tier for rack in racks})
    node_index = {node.id: i for i, node in enumerate(nodes)}
    groups = layout.groups([(tiers.index(rack.tier), node_index[rack.node], rack.weight) for rack in racks])
    loop_index = {loop.id: i for i, loop in enumerate(config.loops)}
    longest_s = max(max(rack.dead_up_s, rack.dead_down_s) for rack in racks)
    feeder_of = _feeders(config, racks)
    feeders = list(dict.fromkeys(feeder_of))
    links = _links(racks, by_id)
    configuration = Configuration(
        slots=slots, racks=len(racks), nodes=len(nodes), loops=len(config.loops), groups=len(groups), tiers=len(tiers),
        # A rack may turn out to answer later than it was said to: by as much again, and a second.
        history=math.ceil((2.0 * longest_s + 1.0 + config.control.meter_stale_s + 1.0) * hz) + 2,
        levels=sum(len(rack.levels_kw) for rack in racks), under_steps=len(config.under),
        windows=len(config.normal.window) + len(config.dispatched.window), feeders=len(feeders), links=len(links),
    )  # fmt: skip
    limits = views.limits(configuration)
    _grid(limits, config, read, tiers)
    _site(limits.site, config, by_id, racks, read["power_w"], lead_s)
    for i, rack in enumerate(racks):
        point = by_id[rack.id]
        limits.min_w[i] = rack.min_kw * 1e3
        limits.max_w[i] = rack.max_kw * 1e3
        limits.up_w_per_s[i] = rack.up_kw_per_s * 1e3
        limits.down_w_per_s[i] = rack.down_kw_per_s * 1e3
        limits.weight[i] = rack.weight
        limits.quantum_w[i] = rack.quantum_kw * 1e3
        # A set point of this tick acts in the next one at the earliest.
        limits.dead_up[i] = 1 + round(rack.dead_up_s * hz)
        limits.dead_down[i] = 1 + round(rack.dead_down_s * hz)
        limits.tier[i] = tiers.index(rack.tier)
        limits.node[i] = node_index[rack.node]
        limits.loop[i] = loop_index[rack.loop]
        limits.slow[i] = is_slow(rack)
        limits.feeder[i] = feeders.index(feeder_of[i])
        address = by_id[rack.power_from or rack.id].device.address
        limits.link[i] = links.index(address) if address in links else -1
        _steps(limits, i, rack)
        limits.stale_ns[i] = round(max(point.stale_s, by_id[rack.power_from or rack.id].stale_s) * 1e9)
        limits.power_slot[i] = by_id[rack.power_from or rack.id].slots["power_w"]
        policy = point.map.policy
        limits.limit_slot[i] = -1 if policy is None else point.slots[policy.readback]
    trips_s = _trips(racks, nodes, by_id)
    for i, node in enumerate(nodes):
        limits.trip_ns[i] = round(trips_s[node.id] * 1e9)
        limits.node_parent[i] = node_index[node.parent] if node.parent else -1
        limits.node_w[i] = node.rating_kw * node.derating * 1e3
        limits.rating_w[i] = node.rating_kw * 1e3
    layout.arrange(limits)
    _measured(limits, nodes, racks, by_id)
    _loops(limits, config, by_id)
    return configuration


def _measured(limits: views.Limits, nodes: tuple[Node, ...], racks: tuple[Rack, ...], by_id: dict[str, Point]) -> None:
    """Where nodes show what they draw, and how long it takes to read all racks below."""
    for i, node in enumerate(nodes):
        point = None if node.map is None else by_id[node.id]
        limits.draw_slot[i] = -1 if point is None else point.slots["power_w"]
        for k, name in enumerate(PHASES):
            limits.amps_slot[3 * i + k] = -1 if point is None else point.slots.get(name, -1)
        if point is None:
            continue
        limits.site.measured += 1
        limits.node_a[i] = (node.rating_a or 0.0) * node.derating
        limits.node_stale_ns[i] = round(point.stale_s * 1e9)
        own = racks[limits.rack_first[i] : limits.rack_first[limits.node_end[i]]]
        read_s = max((by_id[rack.power_from or rack.id].period_s for rack in own), default=0.0)
        limits.span_ns[i] = round((read_s + LAG_S) * 1e9)


def _loops(limits: views.Limits, config: Config, by_id: dict[str, Point]) -> None:
    """What each loop shows, where, and its thresholds."""
    for i, loop in enumerate(config.loops):
        found = by_id[loop.id].slots
        limits.supply_slot[i] = found["supply_c"]
        limits.flow_slot[i] = found["flow_lpm"]
        limits.leak_slot[i] = found.get("leak_bits", -1)
        dew = by_id[loop.dew_point_from or loop.id]
        limits.dew_slot[i] = dew.slots.get("dew_point_c", -1)
        limits.dew_stale_ns[i] = round(dew.stale_s * 1e9) * (SLOW_FACTOR if "dew_point_c" in dew.slow else 1)
        limits.warn_c[i] = loop.warn_c
        limits.derate_c[i] = loop.derate_c
        limits.trip_c[i] = loop.max_supply_c
        limits.return_c[i] = loop.return_max_c
        limits.min_flow_lpm[i] = loop.min_flow_lpm
        limits.margin_k[i] = loop.condensation_margin_k


def _grid(limits: views.Limits, config: Config, slots: dict[str, int], tiers: list[int]) -> None:
    """What the meter shows of the grid, the rolling windows, and the under-frequency steps."""
    site = limits.site
    site.frequency_slot = slots.get("frequency_hz", -1)
    site.breaker_slot = slots.get("breaker_state", -1)
    names = ["voltage_l1_v", "voltage_l2_v", "voltage_l3_v"] if "voltage_l1_v" in slots else ["voltage_v"] * 3
    for k, name in enumerate(names):
        limits.voltage_slot[k] = -1 if config.grid.nominal_v is None else slots.get(name, -1)
    site.nominal_v = config.grid.nominal_v or 1.0
    site.nominal_hz = config.site.nominal_hz
    site.droop = config.grid.droop_percent / 100
    site.deadband_hz = config.grid.deadband_hz
    site.hold_hz = config.grid.hold_hz
    site.swing_limit_w = config.grid.swing_limit_mw * 1e6
    windows = [(codes.NORMAL, window) for window in config.normal.window]
    windows += [(codes.DISPATCHED, window) for window in config.dispatched.window]
    for w, (envelope, window) in enumerate(windows):
        limits.window_ns[w], limits.window_envelope[w] = round(window.s * 1e9), envelope
        limits.window_up_w[w], limits.window_down_w[w] = window.up_mw * 1e6, window.down_mw * 1e6
    for k, step in enumerate(sorted(config.under, key=lambda step: -step.hz)):
        # From the first tier that is no lower than the step's; none sheds where there is no such tier.
        limits.under_hz[k], limits.under_tier[k] = step.hz, bisect_left(tiers, step.tier)


def _steps(limits: views.Limits, i: int, rack: Rack) -> None:
    """Levels of a rack, its minimum times, and its budget of changes: a day's, spent as it likes."""
    first = limits.level_first[i]
    limits.level_first[i + 1] = first + len(rack.levels_kw)
    for k, level_kw in enumerate(rack.levels_kw):
        limits.level_w[first + k] = level_kw * 1e3
    limits.on_ns[i] = round(rack.min_on_s * 1e9)
    limits.off_ns[i] = round(rack.min_off_s * 1e9)
    if rack.changes_per_day > 0:
        limits.budget_ns[i] = DAY_NS
        limits.wear_ns[i] = round(DAY_NS / rack.changes_per_day)


def _site(
    site: views.Site, config: Config, by_id: dict[str, Point], racks: tuple[Rack, ...], power_slot: int, lead_s: float
) -> None:
    control = config.control
    meter = by_id[config.site.meter]
    device = meter.device
    period_ns = round(1e9 / control.hz)
    weight = sum(rack.max_kw for rack in racks)
    delay_s = sum(min(rack.dead_down_s, FAST_S) * rack.max_kw for rack in racks) / weight
    site.phases = max(1, round(control.hz / MOVES_PER_S))
    site.period_ns = period_ns
    followers = [rack.dead_down_s for rack in racks if not is_slow(rack)]
    site.slow = len(racks) - len(followers)
    # A set point waits for half a move, and for the dead time of the rack that is to make up for others.
    wait_s = 0.5 / MOVES_PER_S + sum(followers) / max(1, len(followers))
    site.bridge_ticks = round(wait_s * control.hz)
    site.power_slot = power_slot
    site.meter_stale_ns = round(control.meter_stale_s * 1e9)
    site.freeze_ns = site.meter_stale_ns + round(control.meter_delay_s * 1e9)
    site.freeze_w = max(FREEZE * config.site.max_mw * 1e6, 1.5e3 * max(rack.max_kw for rack in racks))
    site.rack_stale_ns = round(max(by_id[rack.id].stale_s for rack in racks) * 1e9)
    # What was told to fall shows that after its dead time and its next reading; who was not read yet, once it was.
    site.breach_ns = site.rack_stale_ns + round((2.0 + max(rack.dead_down_s for rack in racks)) * 1e9)
    site.loop_stale_ns = round(control.loop_stale_s * 1e9)
    site.meter_delay_ns = round(control.meter_delay_s * 1e9)
    site.align_ticks = max(1, round((0.5 * delay_s + 0.3) * control.hz))
    site.hold_max_ns = ENDLESS_NS if control.hold_max_s == "unlimited" else round(control.hold_max_s * 1e9)
    site.blind_max_ns = round(control.blind_max_s * 1e9)
    site.stagger_ns = round(config.restore.stagger_s * 1e9)
    site.return_up = config.restore.up_mw_per_min * 1e6 / 60
    site.after_hold = config.lease.after == "hold"
    site.raise_after = config.lease.raise_after
    site.max_w = config.site.max_mw * 1e6
    site.min_w = config.site.min_mw * 1e6
    site.import_w = config.site.import_limit_mw * 1e6
    site.default_w = config.site.default_mw * 1e6
    site.generation_w = config.site.generation_mw * 1e6
    site.loss_ratio = config.site.losses_percent / 100
    # No faster than the loop's own delay: twice as fast goes unstable where dead times are not as configured.
    site.feedback_s = max(control.feedback_s, loop_s(racks) + control.meter_delay_s + 0.5 * device.period_s)
    site.quiet_w = QUIET * site.max_w
    site.lead_s = lead_s
    site.normal_up = config.normal.up_mw_per_min * 1e6 / 60
    site.normal_down = config.normal.down_mw_per_min * 1e6 / 60
    site.dispatched_up = config.dispatched.up_mw_per_s * 1e6
    site.dispatched_down = config.dispatched.down_mw_per_s * 1e6
