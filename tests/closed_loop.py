"""The compiled core against the plant model in simulated time: what the daemon does, without sockets."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from rampd.daemon import simulate
from rampd.daemon.config import Config
from rampd.daemon.site import Composed, Point, compose
from rampd.drivers.sim.plant import Plant
from rampd.drivers.sim.spec import PlantSpec
from rampd.ext import codes, views
from rampd.ext.image import InputWall, Memory, OutputWall
from rampd.ext.loop import Loop

NS = 1_000_000_000
START_S = 1000.0
NOTICED_S = 1.5
"""After this time without effect, actuation calls a rack unresponsive."""


@dataclass(slots=True)
class Sample:
    at_s: float
    poi_w: float
    reference_w: float


@dataclass
class ClosedLoop:
    """One hall in simulated time; `plant_spec` is the physical hall where it differs from the configured one.

    `over_w` is the worst excess of any rack, node and of the site above its limit, at any tick. Racks in `silent` show
    nothing any more, those in `deaf` do not take what is written; `meter_late_s` delays the meter's answers,
    with `meter_frozen` it answers on time and always the same; it shows `meter_gain` times what it measures, in steps
    of `meter_step_w`. `dark` are values of devices that cannot be read, as (device, name).
    """

    config: Config
    seed: int = 1
    plant_spec: PlantSpec | None = None
    meter_late_s: float = 0.0
    meter_frozen: bool = False
    meter_step_w: float = 0.0
    meter_gain: float = 1.0
    composed: Composed = field(init=False)
    samples: list[Sample] = field(default_factory=list)
    over_w: dict[str, float] = field(default_factory=lambda: {"rack": -1e18, "node": -1e18, "site": -1e18})
    silent: set[str] = field(default_factory=set)
    deaf: set[str] = field(default_factory=set)
    dark: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.composed = compose(self.config)
        limits = self.composed.limits
        spec = simulate.spec(self.config).plant if self.plant_spec is None else self.plant_spec
        self.plant = Plant(spec, self.seed)
        self.plant.start(START_S)
        self.wall = InputWall(limits)
        self.inputs = views.inputs(self.wall)
        self.limits = views.limits(limits)
        self.now_s = START_S
        self.dt_s = 1.0 / self.config.control.hz
        self.tick = 0
        self.index = {rack.id: i for i, rack in enumerate(spec.racks)}
        self.loops = {loop.id: i for i, loop in enumerate(spec.loops)}
        self.readings: deque[tuple[float, float]] = deque()
        self.unheard_s: dict[int, float] = {}
        self.restart()

    def restart(self) -> None:
        """The daemon starts anew: empty memory, nothing read, no command; the plant goes on."""
        limits = self.composed.limits
        self.out, self.memory = OutputWall(limits), Memory(limits)
        self.loop = Loop(limits, self.wall, self.out, self.memory, -1)
        for slot in range(self.composed.slots):
            self.inputs.quality[slot] = codes.NEVER
        self.inputs.command.verb = codes.STAND
        self.inputs.command.seq = 0
        self.inputs.shedding = self.inputs.returning = 0
        self.inputs.return_cap_w = self.inputs.held_w = self.inputs.rest_w = 0.0
        self.inputs.doubted = 0
        for i in range(len(self.composed.racks)):
            self.inputs.free_ns[i] = self.inputs.worn_ns[i] = 0
        for v in range(len(self.composed.nodes)):
            self.inputs.learnt_w[v] = self.inputs.phase_w[v] = 0.0
        self.written: list[float] = [-1.0] * len(self.composed.racks)

    def put(self, point: Point, name: str, value: float, at_s: float | None = None) -> None:
        slot = point.slots[name]
        self.inputs.value[slot] = value
        self.inputs.at_ns[slot] = round((self.now_s if at_s is None else at_s) * NS)
        self.inputs.quality[slot] = codes.SENTINEL if (point.id, name) in self.dark else codes.GOOD

    def read(self) -> None:
        """Every device on its own phase of its own period."""
        step_w = self.meter_step_w
        shown_w = self.meter_gain * self.plant.meter_w
        if step_w:
            shown_w = round(shown_w / step_w) * step_w
        self.readings.append((self.now_s, shown_w))
        while len(self.readings) > 1 and self.readings[1][0] <= self.now_s - self.meter_late_s + 1e-6:
            self.readings.popleft()
        for k, point in enumerate(self.composed.points):
            every = max(1, round(point.device.period_s / self.dt_s))
            if (self.tick + k) % every or point.id in self.silent:
                continue
            if point.id == self.composed.meter.id:
                shown_w = self.inputs.value[point.slots["power_w"]] if self.meter_frozen else self.readings[0][1]
                self.put(point, "power_w", shown_w)
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
        """Writes what changed; a rack that does not take it is unresponsive after a while, as actuation sees it."""
        out = views.outputs(self.out)
        for i, rack in enumerate(self.composed.racks):
            if out.active[i] and out.setpoint_w[i] != self.written[i]:
                self.written[i] = out.setpoint_w[i]
                if rack.id not in self.deaf:
                    self.plant.set_limit(self.index[rack.id], out.setpoint_w[i], self.now_s)
                else:
                    self.unheard_s.setdefault(i, self.now_s)
        for i, since_s in self.unheard_s.items():
            if self.now_s - since_s >= NOTICED_S:
                self.inputs.rack_state[i] = codes.UNRESPONSIVE

    def run(self, seconds: float) -> views.Outputs:
        for _ in range(round(seconds / self.dt_s)):
            self.tick += 1
            self.now_s = START_S + self.tick * self.dt_s
            self.plant.step(self.now_s)
            self.read()
            self.wall.publish(round(self.now_s * NS))
            assert self.loop.tick_at(round(self.now_s * NS))
            self.act()
            self.samples.append(Sample(self.now_s, self.plant.poi_w, views.outputs(self.out).reference_w))
            self._note()
        return views.outputs(self.out)

    def _note(self) -> None:
        spec, over_w = self.plant.spec, self.over_w
        racks_w = zip(self.plant.racks.power_w, spec.racks, strict=True)
        over_w["rack"] = max(over_w["rack"], *[power_w - rack.max_w for power_w, rack in racks_w])
        nodes_w = zip(self.plant.node_w, spec.nodes, strict=True)
        over_w["node"] = max(over_w["node"], *[power_w - node.limit_w for power_w, node in nodes_w])
        over_w["site"] = max(over_w["site"], self.plant.poi_w - spec.import_limit_w)

    def command(
        self, target_w: float, *, ramp_s: float = 0.0, lease_s: float = 900.0, verb: int = codes.TRACK,
        envelope: int = codes.DISPATCHED,
    ) -> None:  # fmt: skip
        command = self.inputs.command
        command.seq += 1
        command.verb = verb
        command.envelope = envelope
        command.expires_ns = round((self.now_s + lease_s) * NS)
        command.target_w = target_w
        command.ramp_s = ramp_s
        command.rate_w_per_s = 0.0

    def since(self, at_s: float) -> list[float]:
        """The purchase at every tick after a time."""
        return [sample.poi_w for sample in self.samples if sample.at_s > at_s + 1e-6]

    def mean_w(self, seconds: float) -> float:
        """Mean purchase of the last seconds."""
        count = round(seconds / self.dt_s)
        return sum(sample.poi_w for sample in self.samples[-count:]) / count

    def vetoes(self) -> int:
        """What the guard withheld so far."""
        return sum(views.outputs(self.out).vetoes[: codes.VETOES])

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
            if begin is not None and at_s - begin >= hold_s - 1e-6:
                return begin - since_s
        return None


def hall(config: Config, **changes: float) -> PlantSpec:
    """The configured hall with other racks: `utilisation` and `noise` of the GPU racks, `dead` scales dead times."""
    spec = simulate.spec(config).plant
    dead = changes.pop("dead", 1.0)
    racks = [
        replace(
            rack, dead_up_s=dead * rack.dead_up_s, dead_down_s=dead * rack.dead_down_s,
            **(changes if rack.kind == "gpu" else {}),
        )
        for rack in spec.racks
    ]  # fmt: skip
    return replace(spec, racks=tuple(racks))
