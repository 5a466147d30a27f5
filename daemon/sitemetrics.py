"""The site-wide metrics: families with few series, by prometheus-client, read from what the others keep already."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

import rampd
from rampd.daemon import knowledge, ladder
from rampd.daemon.actuate import Actuation
from rampd.daemon.commands import Desk
from rampd.daemon.events import Events
from rampd.daemon.field import Field
from rampd.daemon.recorder import Recorder
from rampd.daemon.site import Composed
from rampd.ext import codes, views

WRITE_STAGES: Final = (
    "sent", "accepted", "latched", "effective", "failed", "ignored", "disobeyed", "foreign", "resplit", "refreshed",
    "programmed",
)  # fmt: skip
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


def histogram(name: str, text: str, bins: list[int], total_s: float) -> HistogramMetricFamily:
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


class SiteCollector(Collector):
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
        response = GaugeMetricFamily(
            "rampd_primary_response_watts",
            "Primary response to frequency: by so much the purchase is to be beside reference and regulation.",
        )
        regulation = GaugeMetricFamily(
            "rampd_regulation_watts", "Regulation: by so much the purchase is to be beside the reference."
        )
        limit = GaugeMetricFamily("rampd_site_limit_watts", "Limits of the site's purchase.", labels=["kind"])
        error = GaugeMetricFamily("rampd_ramp_error_watts", "Meter minus reference, regulation and primary response.")
        if out.started:
            for kind, value in (("requested", out.goal_w), ("reference", out.reference_w), ("applied", out.total_w)):
                setpoint.add_metric([kind], value)
            response.add_metric([], out.response_w)
            regulation.add_metric([], out.regulation_w)
            if out.meter_good:
                error.add_metric([], out.power_w - out.reference_w - out.regulation_w - out.response_w)
        if site.max_deadman_mw is not None:
            limit.add_metric(["deadman"], site.max_deadman_mw * 1e6)
        for kind, mw in (("import", site.import_limit_mw), ("max", site.max_mw), ("min", site.min_mw)):
            limit.add_metric([kind], mw * 1e6)
        yield from (setpoint, regulation, response, limit, error, self._deadman(out))
        yield from knowledge.families(out)
        yield from knowledge.meters(self.s.field.standby)
        frequency = GaugeMetricFamily("rampd_frequency_hertz", "Grid frequency at the site meter.")
        slot = self.s.composed.read.get("frequency_hz")
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
        yield histogram("rampd_tick_late_seconds", "How late a tick began.", late, out.late_sum_ns * 1e-9)
        yield histogram("rampd_tick_seconds", "How long a tick took.", busy, out.busy_sum_ns * 1e-9)
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
        yield histogram("rampd_modbus_request_seconds", "Time to a good Modbus answer.", bins, total_ns * 1e-9)
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
