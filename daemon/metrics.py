"""Prometheus metrics from the newest snapshot: site-wide families by prometheus-client, per-device ones by ext.expose.

Nothing is counted twice: the scrape reads what the loop, the links and the desk already keep. A stale value has no
series; `rampd_device_up 0` stays.
"""

from __future__ import annotations

import dataclasses
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Histogram, disable_created_metrics
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

import rampd
from rampd.daemon import knowledge, ladder
from rampd.daemon.actuate import Actuation
from rampd.daemon.commands import Desk
from rampd.daemon.events import Events
from rampd.daemon.field import Field
from rampd.daemon.recorder import Recorder
from rampd.daemon.site import Composed, Point
from rampd.ext import codes, views
from rampd.ext.expose import Series

RACK_STATES: Final = ("available", "stale", "unresponsive", "manual", "locked")
WRITE_STAGES: Final = (
    "sent", "accepted", "latched", "effective", "failed", "ignored", "disobeyed", "foreign", "resplit", "refreshed",
    "programmed",
)  # fmt: skip
ANSWER_KINDS: Final = ("mean", "slowest", "deadline")
LATE_BINS: Final = range(4, 21)


class Broker(Protocol):
    """The broker's side: whether it is there, and what waits for it."""

    connected: bool
    dropped: int
    events: Events

    @property
    def waiting(self) -> int:
        """Acknowledgements that are not out yet."""


@dataclass
class Sources:
    """Where the numbers come from."""

    composed: Composed
    inputs: views.Inputs
    snapshot: Callable[[], views.Outputs]
    field: Field
    actuation: Actuation
    desk: Desk
    bus: Broker
    recorder: Recorder | None = None
    reload_good: bool = True
    loop_block_ns: int = 0
    granted: dict[str, bool] = dataclasses.field(default_factory=dict)


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
        self.registry.register(_SiteCollector(sources))
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


def _histogram(name: str, text: str, bins: list[int], total_s: float) -> HistogramMetricFamily:
    """Cumulative buckets from counts by power of two of microseconds; the ends are folded."""
    first, last = LATE_BINS.start, LATE_BINS.stop
    running = sum(bins[:first])
    buckets: list[tuple[str, float]] = []
    for k in range(first, last):
        running += bins[k]
        buckets.append((repr((1 << k) / 1e6), float(running)))
    buckets.append(("+Inf", float(running + sum(bins[last:]))))
    family = HistogramMetricFamily(name, text)
    family.add_metric([], buckets=buckets, sum_value=total_s)
    return family


class _SiteCollector(Collector):
    """Families with few series."""

    def __init__(self, sources: Sources) -> None:
        self.s = sources

    def describe(self) -> Iterable[Metric]:
        """Nothing to check for doubles: this collector owns its registry."""
        return []

    def collect(self) -> Iterable[Metric]:
        """All site-wide families from one snapshot."""
        out = self.s.snapshot()
        yield InfoMetricFamily("rampd_build", "Version of rampd.", value={"version": rampd.__version__})
        yield from self._power(out)
        yield from self._loop(out)
        yield from self._field()
        yield from self._desk()

    def _power(self, out: views.Outputs) -> Iterator[Metric]:
        site = self.s.composed.config.site
        power = GaugeMetricFamily("rampd_site_power_watts", "Grid purchase at the site meter.")
        if out.meter_good:
            power.add_metric([], out.power_w)
        yield power
        setpoint = GaugeMetricFamily(
            "rampd_site_setpoint_watts", "Site set points: commanded, ramped, given to the racks.", labels=["kind"]
        )
        limit = GaugeMetricFamily("rampd_site_limit_watts", "Limits of the site's purchase.", labels=["kind"])
        error = GaugeMetricFamily("rampd_ramp_error_watts", "Meter minus reference.")
        if out.started:
            for kind, value in (("requested", out.goal_w), ("reference", out.reference_w), ("applied", out.total_w)):
                setpoint.add_metric([kind], value)
            if out.meter_good:
                error.add_metric([], out.power_w - out.reference_w)
        if site.max_deadman_mw is not None:
            limit.add_metric(["deadman"], site.max_deadman_mw * 1e6)
        for kind, mw in (("import", site.import_limit_mw), ("max", site.max_mw), ("min", site.min_mw)):
            limit.add_metric([kind], mw * 1e6)
        yield from (setpoint, limit, error, self._deadman(out))
        yield from knowledge.families(out)
        frequency = GaugeMetricFamily("rampd_frequency_hertz", "Grid frequency at the site meter.")
        slot = self.s.composed.meter.slots.get("frequency_hz")
        stale_ns = round(self.s.composed.config.control.meter_stale_s * 1e9)
        if (
            slot is not None
            and self.s.inputs.quality[slot] == codes.GOOD
            and time.monotonic_ns() - self.s.inputs.at_ns[slot] <= stale_ns
        ):
            frequency.add_metric([], self.s.inputs.value[slot])
        yield frequency

    def _deadman(self, out: views.Outputs) -> Metric:
        """Racks whose dead-man does not read back as programmed hold, whatever their map says."""
        holding = set(self.s.actuation.unarmed())
        held_w = sum(
            out.setpoint_w[i] for i, rack in enumerate(self.s.composed.racks) if out.active[i] and rack.id in holding
        )
        return GaugeMetricFamily(
            "rampd_deadman_watts", "Limits that racks would hold for ever if rampd died now.", value=held_w
        )

    def _loop(self, out: views.Outputs) -> Iterator[Metric]:
        late = [out.late_bins[k] for k in range(32)]
        busy = [out.busy_bins[k] for k in range(32)]
        yield _histogram("rampd_tick_late_seconds", "How late a tick began.", late, out.late_sum_ns * 1e-9)
        yield _histogram("rampd_tick_seconds", "How long a tick took.", busy, out.busy_sum_ns * 1e-9)
        yield CounterMetricFamily("rampd_ticks_skipped", "Control periods missed.", value=out.skipped)
        yield CounterMetricFamily(
            "rampd_polls_skipped", "Turns of the poll wheel missed.", value=self.s.field.wheel.skipped
        )
        block = GaugeMetricFamily(
            "rampd_event_loop_block_seconds",
            "Longest recent stall of the event loop.",
            value=self.s.loop_block_ns * 1e-9,
        )
        yield block
        granted = GaugeMetricFamily(
            "rampd_realtime_granted", "1 for what the kernel grants the control thread.", labels=["what"]
        )
        for what, good in self.s.granted.items():
            granted.add_metric([what], good)
        yield granted
        vetoes = CounterMetricFamily("rampd_guard_vetoes", "Set points that the guard withheld.", labels=["reason"])
        for veto in codes.Veto:
            if veto is not codes.Veto.VETOES:
                vetoes.add_metric([veto.name.removeprefix("VETO_").lower()], out.vetoes[veto])
        yield vetoes
        yield self._failsafe(out)
        recorder = self.s.recorder
        yield CounterMetricFamily(
            "rampd_recording_bytes", "Written to recordings.", value=0 if recorder is None else recorder.bytes_written
        )
        yield CounterMetricFamily(
            "rampd_recording_dropped",
            "Ticks that stand in no recording though they should.",
            value=0 if recorder is None else recorder.dropped,
        )

    def _failsafe(self, out: views.Outputs) -> Metric:
        family = GaugeMetricFamily(
            "rampd_failsafe_active",
            "Failsafe reasons that act, as steps of the ladder.",
            labels=["scope", "reason"],
        )
        for one in ladder.active(self.s.composed, out):
            family.add_metric([one.scope, one.line.name], one.line.action)
        return family

    def _field(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "rampd_modbus_requests", "Modbus requests by outcome.", labels=["link", "function", "result"]
        )
        pause = GaugeMetricFamily(
            "rampd_link_pause_seconds", "Pause that a link keeps between requests and after a connect.",
            labels=["link", "kind"],
        )  # fmt: skip
        at_once = GaugeMetricFamily("rampd_link_in_flight", "Requests a link may have under way.", labels=["link"])
        bins = [0] * 32
        total_ns = 0
        for endpoint in self.s.field.endpoints.values():
            for (function, result), count in endpoint.link.counters().items():
                if count or result == "ok":
                    requests.add_metric([endpoint.name, function, result], count)
            pause.add_metric([endpoint.name, "gap"], endpoint.pace.gap_s)
            pause.add_metric([endpoint.name, "connect"], endpoint.pace.connect_delay_s)
            at_once.add_metric([endpoint.name], endpoint.pace.in_flight)
            found, spent_ns = endpoint.link.latency()
            bins = [a + b for a, b in zip(bins, found, strict=True)]
            total_ns += spent_ns
        yield from (requests, pause, at_once)
        yield _histogram("rampd_modbus_request_seconds", "Time to a good Modbus answer.", bins, total_ns * 1e-9)
        writes = CounterMetricFamily("rampd_writes", "Rack set points by stage of delivery.", labels=["stage"])
        for stage in WRITE_STAGES:
            writes.add_metric([stage], self.s.actuation.stages[stage])
        yield writes
        yield from self._members()

    def _members(self) -> Iterator[Metric]:
        members = GaugeMetricFamily("rampd_members", "BMCs or miners of a rack by state.", labels=["rack", "state"])
        calls = CounterMetricFamily("rampd_member_calls", "Calls to BMCs or miners by outcome.", labels=["result"])
        results: Counter[str] = Counter()
        for rack in self.s.field.member_racks:
            members.add_metric([rack.id, "up"], rack.members_up)
            members.add_metric([rack.id, "down"], len(rack.posts) - rack.members_up)
            results.update(rack.counts)
        for result, count in sorted(results.items()):
            calls.add_metric([result], count)
        yield from (members, calls)

    def _desk(self) -> Iterator[Metric]:
        commands = CounterMetricFamily(
            "rampd_commands", "Commands by verb, stage and code.", labels=["verb", "stage", "code"]
        )
        for (verb, stage, code), count in self.s.desk.answers.counts.items():
            commands.add_metric([verb, stage, code], count)
        yield commands
        yield GaugeMetricFamily("rampd_mqtt_connected", "1 while connected to the broker.", value=self.s.bus.connected)
        yield GaugeMetricFamily(
            "rampd_channel_lost_seconds",
            "How long the command channel has been silent, 0 while it is not lost.",
            value=self.s.desk.channel.lost_s(time.monotonic_ns()),
        )
        bus = self.s.bus
        yield GaugeMetricFamily("rampd_events_pending", "Events kept for the broker.", value=bus.events.count)
        yield CounterMetricFamily(
            "rampd_events_dropped", "Events that were lost because too many waited.", value=bus.events.dropped
        )
        yield GaugeMetricFamily("rampd_acks_pending", "Acknowledgements that wait for the broker.", value=bus.waiting)
        yield CounterMetricFamily("rampd_acks_dropped", "Acknowledgements that nobody got.", value=bus.dropped)
        journal = self.s.desk.journal
        yield GaugeMetricFamily(
            "rampd_state_writable", "0 while a restart would forget what holds, a stop too.", value=journal.writable
        )
        yield CounterMetricFamily(
            "rampd_state_writes_failed", "Writes that the state directory did not take.", value=journal.failures
        )
        yield GaugeMetricFamily(
            "rampd_config_last_reload_successful", "1 when the last reload was good.", value=self.s.reload_good
        )
