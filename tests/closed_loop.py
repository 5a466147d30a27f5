"""The compiled core against the plant model in simulated time: what the daemon does, without sockets."""

from __future__ import annotations

from dataclasses import dataclass, field

from rampd.daemon import simulate
from rampd.daemon.config import Config
from rampd.daemon.site import Composed, Point, compose
from rampd.drivers.sim.plant import Plant
from rampd.ext import codes, views
from rampd.ext.image import InputWall, Memory, OutputWall
from rampd.ext.loop import Loop

NS = 1_000_000_000
START_S = 1000.0


@dataclass
class Sample:
    at_s: float
    poi_w: float
    reference_w: float


@dataclass
class ClosedLoop:
    """One hall in simulated time. `poi` is the plant's true power at every tick."""

    config: Config
    seed: int = 1
    composed: Composed = field(init=False)
    samples: list[Sample] = field(default_factory=list)
    worst_over_w: float = -1e18
    silent: set[str] = field(default_factory=set)
    deaf: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.composed = compose(self.config)
        limits = self.composed.limits
        self.plant = Plant(simulate.spec(self.config).plant, self.seed)
        self.plant.start(START_S)
        self.wall, self.out, self.memory = InputWall(limits), OutputWall(limits), Memory(limits)
        self.loop = Loop(limits, self.wall, self.out, self.memory, -1)
        self.inputs = views.inputs(self.wall)
        self.limits = views.limits(limits)
        self.now_s = START_S
        self.dt_s = 1.0 / self.config.control.hz
        self.tick = 0
        spec = simulate.spec(self.config).plant
        self.index = {rack.id: i for i, rack in enumerate(spec.racks)}
        self.loops = {loop.id: i for i, loop in enumerate(spec.loops)}
        self.written: list[float] = [-1.0] * len(self.composed.racks)

    def put(self, point: Point, name: str, value: float) -> None:
        slot = point.slots[name]
        self.inputs.value[slot] = value
        self.inputs.at_ns[slot] = round(self.now_s * NS)
        self.inputs.quality[slot] = codes.GOOD

    def read(self) -> None:
        """Every device on its own phase of its own period."""
        for k, point in enumerate(self.composed.points):
            every = max(1, round(point.device.period_s / self.dt_s))
            if (self.tick + k) % every or point.id in self.silent:
                continue
            if point.id == self.composed.meter.id:
                self.put(point, "power_w", self.plant.meter_w)
                self.put(point, "frequency_hz", self.plant.frequency_hz)
            elif point.kind == "rack":
                i = self.index[point.id]
                self.put(point, "power_w", self.plant.racks.power_w[i])
                self.put(point, "limit_w", self.plant.racks.limit_w[i])
            elif point.kind == "cdu":
                loop = self.plant.loops[self.loops[point.id]]
                self.put(point, "supply_c", loop.supply_c)
                self.put(point, "return_c", loop.return_c)
                self.put(point, "flow_lpm", loop.flow_lpm)
                self.put(point, "leak_bits", 0.0)

    def act(self) -> None:
        out = views.outputs(self.out)
        for i, rack in enumerate(self.composed.racks):
            if out.active[i] and out.setpoint_w[i] != self.written[i]:
                self.written[i] = out.setpoint_w[i]
                if rack.id not in self.deaf:
                    self.plant.set_limit(self.index[rack.id], out.setpoint_w[i], self.now_s)

    def run(self, seconds: float) -> views.Outputs:
        for _ in range(round(seconds / self.dt_s)):
            self.tick += 1
            self.now_s = START_S + self.tick * self.dt_s
            self.plant.step(self.now_s)
            self.read()
            self.wall.publish(round(self.now_s * NS))
            assert self.loop.tick_at(round(self.now_s * NS))
            self.act()
            out = views.outputs(self.out)
            self.samples.append(Sample(self.now_s, self.plant.poi_w, out.reference_w))
            over = max(p - r.max_w for p, r in zip(self.plant.racks.power_w, self.plant.spec.racks, strict=True))
            self.worst_over_w = max(self.worst_over_w, over, self.plant.poi_w - self.config.site.import_limit_mw * 1e6)
        return views.outputs(self.out)

    def command(self, target_w: float, *, ramp_s: float = 0.0, lease_s: float = 900.0, verb: int = codes.TRACK) -> None:
        command = self.inputs.command
        command.seq += 1
        command.verb = verb
        command.envelope = codes.DISPATCHED
        command.expires_ns = round((self.now_s + lease_s) * NS)
        command.target_w = target_w
        command.ramp_s = ramp_s
        command.rate_w_per_s = 0.0

    def settled_s(self, since_s: float, target_w: float, band_w: float, hold_s: float = 10.0) -> float | None:
        """Seconds after `since_s` from which the mean over a second stays within the band for `hold_s`."""
        width = round(1.0 / self.dt_s)
        points = [s for s in self.samples if s.at_s >= since_s - 1.0]
        means = [
            (points[i].at_s, sum(p.poi_w for p in points[i - width + 1 : i + 1]) / width)
            for i in range(width - 1, len(points))
        ]
        begin: float | None = None
        for at_s, mean_w in means:
            if at_s < since_s:
                continue
            if abs(mean_w - target_w) > band_w:
                begin = None
            elif begin is None:
                begin = at_s
            if begin is not None and at_s - begin >= hold_s:
                return begin - since_s
        return None
