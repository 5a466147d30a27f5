"""Prometheus metrics from the newest snapshot: per-device families by ext.expose, site-wide ones beside them.

Nothing is counted twice: the scrape reads what the loop, the links and the desk already keep. A stale value has no
series; `rampd_device_up 0` stays.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, Histogram, disable_created_metrics
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from rampd.daemon.site import Point
from rampd.daemon.sitemetrics import SiteCollector, Sources
from rampd.ext import codes, views
from rampd.ext.expose import Series

RACK_STATES: Final = ("available", "stale", "unresponsive", "manual", "locked")
ANSWER_KINDS: Final = ("mean", "slowest", "deadline")


def label(text: str) -> str:
    """A label value, escaped as the text format wants it."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


@dataclass
class Family:
    """A gauge with one series per row of `labels`; `read` fills values and marks in the same order."""

    name: str
    help: str
    labels: list[str]
    read: Callable[[array[float], bytearray], None]
    series: Series = field(init=False)
    values: array[float] = field(init=False)
    shown: bytearray = field(init=False)

    def __post_init__(self) -> None:
        self.series = Series([f"{self.name}{{{row}}} ".encode() for row in self.labels])
        self.values = array("d", bytes(8 * len(self.labels)))
        self.shown = bytearray(len(self.labels))

    def render(self) -> bytes:
        """The family with its head."""
        self.read(self.values, self.shown)
        head = f"# HELP {self.name} {self.help}\n# TYPE {self.name} gauge\n"
        return head.encode() + self.series.render(self.values, self.shown)


class Exposition:
    """Renders /metrics in the text format or OpenMetrics."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.registry.register(SiteCollector(sources))
        self.families = list(_families(sources))
        ramp = Histogram(
            "rampd_ramp_duration_seconds", "Time from a set point to its meter reading.", registry=self.registry,
            buckets=(1.0, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0, 300.0, 900.0),
        )  # fmt: skip
        sources.desk.observe = ramp.observe

    def render(self, *, as_openmetrics: bool = False) -> bytes:
        """The whole exposition."""
        rest = b"".join(family.render() for family in self.families)
        if not as_openmetrics:
            return generate_latest(self.registry) + rest
        head: bytes = openmetrics.generate_latest(self.registry)  # type: ignore[no-untyped-call]
        return head.removesuffix(b"# EOF\n") + rest + b"# EOF\n"


def _families(sources: Sources) -> Iterator[Family]:
    """The families with a series per rack, loop or device."""
    composed = sources.composed
    racks = [
        f'rack="{label(r.id)}",kind="{r.kind}",feeder="{label(f)}",loop="{label(r.loop)}"'
        for r, f in zip(composed.racks, composed.feeders, strict=True)
    ]
    yield Family(
        "rampd_rack_power_watts", "Measured power of a rack.", racks, _slots(sources, composed.power_points, "power_w")
    )
    by_rack = [f'rack="{label(r.id)}"' for r in composed.racks]
    yield Family(
        "rampd_rack_setpoint_watts", "Power limit in force for a rack.", by_rack, lambda v, s: _setpoints(sources, v, s)
    )
    states = [f'rack="{label(r.id)}",state="{state}"' for r in composed.racks for state in RACK_STATES]
    yield Family(
        "rampd_rack_state",
        "1 for the state a rack is in, 0 for the others.",
        states,
        lambda v, s: _states(sources, v, s),
    )
    loops = [f'loop="{label(loop.id)}"' for loop in composed.config.loops]
    points = composed.loop_points
    yield Family(
        "rampd_loop_supply_celsius", "Coolant temperature to the racks.", loops, _slots(sources, points, "supply_c")
    )
    yield Family(
        "rampd_loop_return_celsius", "Coolant temperature from the racks.", loops, _slots(sources, points, "return_c")
    )
    yield Family(
        "rampd_loop_flow_liters_per_second",
        "Coolant flow of a loop.",
        loops,
        _slots(sources, points, "flow_lpm", 1 / 60),
    )
    nodes = [(v, point) for v, point in enumerate(composed.node_points) if point is not None]
    by_node = [f'node="{label(point.id)}"' for _, point in nodes]
    yield Family(
        "rampd_node_power_watts",
        "Measured power of a node.",
        by_node,
        _slots(sources, [p for _, p in nodes], "power_w"),
    )
    yield Family(
        "rampd_node_room_watts", "What the racks below a measured node may draw: its limit less what others draw.",
        by_node, lambda v, s: _rooms(sources, [node for node, _ in nodes], v, s),
    )  # fmt: skip
    ids = [device.id for device in sources.field.devices] + [rack.id for rack in sources.field.member_racks]
    devices = [f'device="{label(name)}"' for name in ids]
    yield Family("rampd_device_up", "1 while a device answers.", devices, lambda v, s: _up(sources, v, s))
    yield Family(
        "rampd_sample_age_seconds",
        "Age of the oldest fast reading of a device.",
        devices,
        lambda v, s: _ages(sources, v, s),
    )
    answers = [f'device="{label(d.id)}",kind="{kind}"' for d in sources.field.devices for kind in ANSWER_KINDS]
    yield Family(
        "rampd_device_answer_seconds", "How long a Modbus device takes to answer, and how long it may.", answers,
        lambda v, s: _answers(sources, v, s),
    )  # fmt: skip


def _slots(
    sources: Sources, points: Iterable[Point], name: str, factor: float = 1.0
) -> Callable[[array[float], bytearray], None]:
    """Readings, shown while they are good and fresh."""
    rows = [(point.slots[name], round(point.stale_s * 1e9)) for point in points]
    inputs = sources.inputs

    def read(values: array[float], shown: bytearray) -> None:
        now_ns = time.monotonic_ns()
        for i, (slot, stale_ns) in enumerate(rows):
            values[i] = inputs.value[slot] * factor
            shown[i] = inputs.quality[slot] == codes.GOOD and now_ns - inputs.at_ns[slot] <= stale_ns

    return read


def _setpoints(sources: Sources, values: array[float], shown: bytearray) -> None:
    out = sources.snapshot()
    for i in range(len(values)):
        values[i] = out.setpoint_w[i]
        shown[i] = out.active[i]


def _rooms(sources: Sources, nodes: Iterable[int], values: array[float], shown: bytearray) -> None:
    out, limits = sources.snapshot(), views.limits(sources.composed.limits)
    for i, v in enumerate(nodes):
        values[i] = max(0.0, limits.node_w[v] - out.taken_w[v])
        shown[i] = out.started


def rack_state(out: views.Outputs, inputs: views.Inputs, i: int) -> str:
    """The one word for what a rack is."""
    state = inputs.rack_state[i]
    if state == codes.UNRESPONSIVE:
        return "unresponsive"
    if state == codes.MANUAL:
        return "manual"
    if state == codes.LOCKED:
        return "locked"
    return "available" if out.active[i] and not out.stale[i] else "stale"


def _states(sources: Sources, values: array[float], shown: bytearray) -> None:
    out = sources.snapshot()
    for i in range(len(sources.composed.racks)):
        found = rack_state(out, sources.inputs, i)
        for k, state in enumerate(RACK_STATES):
            values[i * len(RACK_STATES) + k] = found == state
            shown[i * len(RACK_STATES) + k] = 1


def _up(sources: Sources, values: array[float], shown: bytearray) -> None:
    for i, (_, up) in enumerate(sources.field.up()):
        values[i] = up
        shown[i] = 1


def _answers(sources: Sources, values: array[float], shown: bytearray) -> None:
    """Mean and slowest of the last answers, once there was one, and the deadline."""
    for i, device in enumerate(sources.field.devices):
        unit = device.unit
        for k, ns in enumerate((unit.answer_ns, unit.slowest_ns, round(device.map.timeout_s * 1e9))):
            values[i * len(ANSWER_KINDS) + k] = ns * 1e-9
            shown[i * len(ANSWER_KINDS) + k] = ns > 0


def _ages(sources: Sources, values: array[float], shown: bytearray) -> None:
    now_ns = time.monotonic_ns()
    ids = [device.id for device in sources.field.devices] + [rack.id for rack in sources.field.member_racks]
    for i, name in enumerate(ids):
        point = sources.composed.by_id[name]
        fast = [slot for value, slot in point.slots.items() if value not in point.slow]
        at_ns = min(sources.inputs.at_ns[slot] for slot in fast)
        values[i] = (now_ns - at_ns) * 1e-9
        shown[i] = at_ns > 0
