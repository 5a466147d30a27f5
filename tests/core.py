"""Small worlds for the core: a few racks, nodes and loops as one configuration, its walls and its memory.

A world is built healthy: the meter shows 800 kW, every rack draws its most, every loop is cool, all of it read now.
What the racks draw need not add up to what the meter shows, unless a test sets `generation_w`.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from rampd.ext import codes, layout, views
from rampd.ext.image import Configuration, InputWall, Memory, OutputWall
from rampd.ext.loop import Loop
from rampd.ext.reasons import TABLE
from tests import interpreted

NS: Final = 1_000_000_000
START_S: Final = 1000.0
PER_LOOP: Final = 5


@dataclass(frozen=True, slots=True)
class Rack:
    """A rack; `node` and `loop` are places in the world's lists, dead times are seconds."""

    min_w: float = 20e3
    max_w: float = 100e3
    node: int = 0
    loop: int = 0
    tier: int = 0
    weight: float = 1.0
    quantum_w: float = 0.0
    up_w_per_s: float = 1e6
    down_w_per_s: float = 1e6
    dead_up_s: float = 0.0
    dead_down_s: float = 0.0
    readback: bool = True
    levels_w: tuple[float, ...] = ()
    feeder: int = 0
    link: int = -1
    slow: bool = False
    on_s: float = 0.0
    off_s: float = 0.0
    wear_s: float = 0.0
    budget_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Node:
    """A point of the tree: parents first, -1 above the root; `phase_a` is the limit of a phase where it is measured."""

    limit_w: float = 1e12
    parent: int = -1
    trip_s: float = 5.0
    measured: bool = False
    phase_a: float = 0.0


@dataclass(frozen=True, slots=True)
class Cooling:
    """A cooling loop's thresholds; `leak` and `dew` say whether it has leak bits and a dew point."""

    warn_c: float = 38.0
    derate_c: float = 40.0
    trip_c: float = 45.0
    return_c: float = 60.0
    min_flow_lpm: float = 100.0
    margin_k: float = 2.0
    leak: bool = True
    dew: bool = True


@dataclass(slots=True)
class World:
    """One configuration with its walls, its memory and every view of them. `now_s` is the time of the next tick."""

    configuration: Configuration
    wall: InputWall
    out: OutputWall
    memory: Memory
    loop: Loop
    limits: views.Limits
    inputs: views.Inputs
    state: views.State
    watch: views.Watch
    now_s: float = START_S

    @property
    def now_ns(self) -> int:
        return round(self.now_s * NS)

    def put(self, slot: int, value: float, *, age_s: float = 0.0, quality: int = codes.GOOD) -> None:
        """A reading as the decoder leaves it."""
        self.inputs.value[slot] = value
        self.inputs.at_ns[slot] = self.now_ns - round(age_s * NS)
        self.inputs.quality[slot] = quality

    def meter(self, power_w: float, **reading: Any) -> None:
        self.put(self.limits.site.power_slot, power_w, **reading)

    def rack(self, i: int, power_w: float, limit_w: float | None = None, **reading: Any) -> None:
        """Power and read-back of a rack; without a limit, the set point it was given is what it shows."""
        self.put(self.limits.power_slot[i], power_w, **reading)
        if self.limits.limit_slot[i] >= 0:
            shown_w = self.inputs.value[self.limits.limit_slot[i]] if limit_w is None else limit_w
            self.put(self.limits.limit_slot[i], shown_w, **reading)

    def feed(self, v: int, power_w: float, *phases_a: float, **reading: Any) -> None:
        """What a measured node draws, and its phases, one after the other."""
        for k, value in enumerate((power_w, *phases_a)):
            self.put(self.limits.draw_slot[v] + k, value, **reading)

    def cool(
        self, loop: int, *, supply_c: float = 32.0, flow_lpm: float = 2000.0, leak: float = 0.0,
        dew_point_c: float = 12.0, **reading: Any,
    ) -> None:  # fmt: skip
        self.put(self.limits.supply_slot[loop], supply_c, **reading)
        self.put(self.limits.flow_slot[loop], flow_lpm, **reading)
        if self.limits.leak_slot[loop] >= 0:
            self.put(self.limits.leak_slot[loop], leak, **reading)
        if self.limits.dew_slot[loop] >= 0:
            self.put(self.limits.dew_slot[loop], dew_point_c, **reading)

    def command(
        self, verb: int, target_w: float = 0.0, *, envelope: int = codes.DISPATCHED, ramp_s: float = 0.0,
        rate_w_per_s: float = 0.0, lease_s: float = 900.0,
    ) -> None:  # fmt: skip
        """A new command, under the next number."""
        command = self.inputs.command
        command.seq += 1
        command.verb = verb
        command.envelope = envelope
        command.target_w = target_w
        command.ramp_s = ramp_s
        command.rate_w_per_s = rate_w_per_s
        command.expires_ns = self.now_ns + round(lease_s * NS)

    def grid(self, *, hz: float = 60.0, volts: float = 8000.0, closed: float = 1.0, **reading: Any) -> None:
        """Frequency, the voltage of all phases and the breaker; for worlds where they are measured."""
        self.put(self.limits.site.frequency_slot, hz, **reading)
        self.put(self.limits.site.breaker_slot, closed, **reading)
        for k in range(3):
            self.put(self.limits.voltage_slot[k], volts, **reading)

    def refresh(self) -> None:
        """Every reading as it stands, read again now."""
        for slot in range(self.limits.site.slots):
            self.inputs.at_ns[slot] = self.now_ns

    def tick(self, seconds: float = 0.05) -> views.Outputs:
        """One compiled tick after so many seconds; whatever the image holds is published as it stands."""
        self.now_s += seconds
        self.wall.publish(self.now_ns)
        self.loop.tick_at(self.now_ns)
        return views.outputs(self.out)

    def restart(self, away_s: float = 0.0) -> None:
        """A new process: nothing read, no command, and what the daemon keeps of before."""
        out, inputs = views.outputs(self.out), self.inputs
        for zone in range(self.limits.site.zones):
            inputs.latched[zone] = out.zone_latched[zone]
        for v in range(self.limits.site.nodes):
            inputs.learnt_w[v], inputs.phase_w[v] = out.learnt_w[v], out.phase_w[v]
        self.now_s += away_s
        for i in range(self.limits.site.racks):
            free_ns, worn_ns = out.free_ns[i], out.worn_ns[i]
            inputs.free_ns[i], inputs.worn_ns[i] = (at_ns if at_ns > self.now_ns else 0 for at_ns in (free_ns, worn_ns))
        inputs.shedding, inputs.shed_tier = out.shedding, out.shed_tier
        inputs.returning, inputs.return_ns = out.returning, out.return_ns
        inputs.regulated = out.regulated
        emergency = out.shedding or out.returning or out.verb == codes.ESTOP
        inputs.return_cap_w = max(1.0, out.return_cap_w) if emergency else 0.0
        self.memory, self.out = Memory(self.configuration), OutputWall(self.configuration)
        self.loop = Loop(self.configuration, self.wall, self.out, self.memory, -1)
        self.state, self.watch = views.state(self.memory), views.watch(self.memory)
        inputs.command.seq = inputs.command.verb = inputs.command.lost_ns = inputs.command.resumed = 0
        for slot in range(self.limits.site.slots):
            inputs.quality[slot] = codes.NEVER

    def guard(self, *asked_w: float) -> list[float]:
        """What the interpreted guard lets pass now."""
        for i, power_w in enumerate(asked_w):
            self.state.asked_w[i] = power_w
        interpreted.guard.check(
            self.inputs, self.limits, self.watch, self.state.asked_w, self.state.applied_w, self.now_ns
        )
        return self.state.applied_w[: len(asked_w)]

    def vetoes(self) -> dict[str, int]:
        """The guard's vetoes so far, by their names, without those that never were."""
        counts = self.watch.vetoes[: codes.VETOES]
        return {codes.Veto(i).name.removeprefix("VETO_"): n for i, n in enumerate(counts) if n}

    def bytes(self) -> dict[str, bytes]:
        """State and guard memory: scalars and arrays by name, pointers left out."""
        return dump(self.state, self.lengths()) | dump(self.watch, self.lengths())

    def reasons(self, zone: int = 0) -> list[str]:
        """The reasons that act for a zone, by their names: 0 the site, then feeders, links and loops."""
        return [line.name for line in TABLE if self.state.zone_reasons[zone] & 1 << line.reason]

    def loop_zone(self, loop: int) -> int:
        """The zone of a cooling loop."""
        return 1 + self.limits.site.feeders + self.limits.site.links + loop

    def lengths(self) -> dict[str, int]:
        """Elements of every array of State and Watch."""
        site = self.limits.site
        vertices = site.nodes + site.loops + 1
        racks = [
            "asked_w", "applied_w", "cap_w", "edge_w", "edge_tick", "pending_w", "pending_tick",
            "acts_w", "power_w", "demand_w", "lo_w", "hi_w",
            "share_w", "head_w", "floor_w", "reach_w", "ahead_w", "back_w", "end_w", "near_w", "far_w", "low_w",
            "held_w", "lately_w", "held_ns", "bound_ns", "slack_ns", "swings", "odd",
            "news", "next_w", "free_ns", "worn_ns", "seen_ns", "seen_w", "rising", "known", "ours", "fresh", "stale",
            "action", "usual", "bound_why", "why", "last_w", "vetoed", "least_w", "heard_w", "heard_ns",
        ]  # fmt: skip
        racks += [
            "peak_w", "gap_ns", "dead_up_s", "dead_down_s", "up_w_per_s", "down_w_per_s", "bottom_w", "step_w",
            "success", "error_w", "gain", "stood_cap_w", "stood_w", "start_w", "mark_w", "lead_w", "aim_w",
            "pace_w_per_s", "after_w", "before_ns",
            "after_ns", "dead_up", "dead_down", "led_ns", "moved_ns",
            "slow", "excursion", "passed", "lost_w", "sunk_w", "sunk_ns", "trough", "crest",
            "trough_ago", "crest_ago", "cut_w",
        ]  # fmt: skip
        nodes = [
            "used_w", "flow_w", "slope_w", "full_w", "fill", "worst_w", "reserve_w", "late_w", "sum_w", "over_ns",
            "hot_ns", "breach", "tripped", "node_in", "node_out", "node_lost", "served_w",
            "span_at_ns", "read_ns", "read_w", "read_before_w", "weighed_ns", "low_other_w", "high_other_w", "learnt_w",
            "lean_w", "phase_w", "other_w", "taken_w", "told_ns", "told_w", "above", "over", "shut",
            "drawn_ns", "drawn_w", "same_w", "same_least_w", "same_most_w", "same_ns", "false_ns", "steady_w",
            "steady_drawn_w", "ratio", "strange", "doubts", "until_ns",
        ]  # fmt: skip
        loops = [
            "loop_w", "loop_cap_w", "loop_load_w", "loop_more", "loop_flow_w", "loop_slope_w",
            "loop_level", "loop_action",
        ]  # fmt: skip
        zones = ["zone_action", "zone_reasons", "zone_latched", "zone_lost", "zone_burst", "zone_burst_ns"]
        return (
            dict.fromkeys(racks, site.racks)
            | dict.fromkeys(nodes, site.nodes)
            | dict.fromkeys(loops, site.loops)
            | dict.fromkeys(zones, site.zones)
            | {"zone_until_ns": site.zones * codes.REASONS, "reason_racks": int(codes.REASONS)}
            | {"past_w": site.history * site.racks, "past_model_w": site.history, "range_w": site.groups}
            | {"group_part": site.groups, "vetoes": int(codes.VETOES), "tier_spare_w": 2 * site.tiers}
            | {"base_w": int(codes.BASE_SLOTS), "window_at": site.windows, "past_first": site.history}
            | dict.fromkeys(["firm_w", "firm_mean_w", "firm_var", "firm_vague_w"], int(codes.FIRMS))
            | dict.fromkeys(["lump_p", "lump_w"], int(codes.LUMPS))
            | {"coming_w": int(codes.LOOKS)}
            | dict.fromkeys(["arc_left_w", "arc_whole_w"], 2 * (site.racks + vertices))
            | dict.fromkeys(["vertex_cost", "vertex_arc", "way"], vertices)
            | dict.fromkeys(["firm_node_w", "firm_node_var", "firm_node_vague_w"], 2 * codes.FIRMS * site.nodes)
            | dict.fromkeys(["noise_low_w", "noise_high_w", "crest_w"], int(codes.WINDOW_SLOTS))
            | dict.fromkeys(["swing_low_w", "swing_high_w"], int(codes.WINDOW_SLOTS))
            | dict.fromkeys(["most_below_w", "least_below_w"], 2 * site.nodes)
            | {"amps_per_w": 6 * site.nodes}
            | dict.fromkeys(["window_low_w", "window_high_w"], site.windows * codes.WINDOW_SLOTS)
        )


def dump(struct: ctypes.Structure, lengths: dict[str, int]) -> dict[str, bytes]:
    """Every field of a struct as raw bytes; arrays by their lengths."""
    found = {}
    name_of = type(struct).__name__
    for name, kind in type(struct)._fields_:
        value = getattr(struct, name)
        if hasattr(kind, "contents"):
            size = lengths[name] * ctypes.sizeof(kind._type_)
            found[f"{name_of}.{name}"] = ctypes.string_at(ctypes.cast(value, ctypes.c_void_p), size)
        else:
            found[f"{name_of}.{name}"] = bytes(kind(value))
    return found


def put_racks(limits: views.Limits, racks: Sequence[Rack], hz: float) -> None:
    for i, rack in enumerate(racks):
        limits.feeder[i], limits.link[i] = rack.feeder, rack.link
        limits.stale_ns[i] = limits.site.rack_stale_ns
        limits.slow[i] = rack.slow
        for name in ("min_w", "max_w", "up_w_per_s", "down_w_per_s", "weight", "quantum_w", "tier", "node", "loop"):
            getattr(limits, name)[i] = getattr(rack, name)
        limits.dead_up[i] = 1 + round(rack.dead_up_s * hz)
        limits.dead_down[i] = 1 + round(rack.dead_down_s * hz)
        limits.level_first[i + 1] = limits.level_first[i] + len(rack.levels_w)
        for k, level_w in enumerate(rack.levels_w):
            limits.level_w[limits.level_first[i] + k] = level_w
        limits.on_ns[i], limits.off_ns[i] = round(rack.on_s * NS), round(rack.off_s * NS)
        limits.wear_ns[i], limits.budget_ns[i] = round(rack.wear_s * NS), round(rack.budget_s * NS)
        limits.power_slot[i] = 1 + i
        limits.limit_slot[i] = 1 + len(racks) + i if rack.readback else -1


def world(
    racks: Sequence[Rack] = (Rack(),), nodes: Sequence[Node] = (Node(),), loops: Sequence[Cooling] = (Cooling(),), *,
    hz: float = 20.0, measured: bool = False, windows: Sequence[tuple[float, int, float, float]] = (),
    under: Sequence[tuple[float, int]] = (), **site: Any,
) -> World:  # fmt: skip
    """A world of these racks, nodes and loops; `site` overrides scalars of the configuration.

    `measured` adds frequency, voltages and a breaker; `windows` are (seconds, envelope, W up, W down), `under` steps
    (Hz, tier).
    """
    grid_slot = 1 + 2 * len(racks) + PER_LOOP * len(loops)
    tiers = max(rack.tier for rack in racks) + 1
    longest_s = max(max(rack.dead_up_s, rack.dead_down_s) for rack in racks)
    node_slot = grid_slot + 5
    configuration = Configuration(
        slots=node_slot + 4 * sum(node.measured for node in nodes), windows=len(windows), under_steps=len(under),
        racks=len(racks), nodes=len(nodes), loops=len(loops), feeders=max(rack.feeder for rack in racks) + 1,
        links=max(rack.link for rack in racks) + 1, tiers=tiers,
        groups=len(layout.groups([(rack.tier, rack.node, rack.weight) for rack in racks])),
        history=math.ceil((longest_s + 3.0) * hz) + 2, levels=sum(len(rack.levels_w) for rack in racks),
    )  # fmt: skip
    limits = views.limits(configuration)
    scalars: dict[str, Any] = {
        "phases": 1, "period_ns": round(NS / hz), "power_slot": 0,
        "frequency_slot": grid_slot if measured else -1, "breaker_slot": grid_slot + 1 if measured else -1,
        "nominal_v": 8000.0, "nominal_hz": 60.0, "hold_max_ns": 60 * NS, "blind_max_ns": 60 * NS, "return_up": 5e3,
        "swing_limit_w": 0.0, "quiet_w": 1e12, "meter_stale_ns": 2 * NS, "freeze_ns": 2 * NS, "freeze_w": 150e3,
        "generation_w": 1e12, "rack_stale_ns": 5 * NS, "breach_ns": 2 * NS,
        "loop_stale_ns": 10 * NS, "meter_delay_ns": 0, "align_ticks": 2, "after_hold": 0,
        "raise_after": 0, "max_w": 1e6, "min_w": 0.0, "import_w": 1.1e6, "default_w": 1e6, "loss_ratio": 0.0,
        "feedback_s": 1.0, "lead_s": 1.0, "normal_up": 10e3, "normal_down": 10e3, "dispatched_up": 400e3,
        "dispatched_down": 400e3,
    }  # fmt: skip
    for name, value in (scalars | site).items():
        setattr(limits.site, name, value)
    for k in range(3):
        limits.voltage_slot[k] = grid_slot + 2 + k if measured else -1
    for w, (seconds, envelope, up_w, down_w) in enumerate(windows):
        limits.window_ns[w], limits.window_envelope[w] = round(seconds * NS), envelope
        limits.window_up_w[w], limits.window_down_w[w] = up_w, down_w
    for k, (under_hz, tier) in enumerate(under):
        limits.under_hz[k], limits.under_tier[k] = under_hz, tier
    put_racks(limits, racks, hz)
    for v, node in enumerate(nodes):
        limits.node_parent[v] = node.parent
        limits.node_w[v] = node.limit_w
        limits.trip_ns[v] = round(node.trip_s * NS)
        limits.rating_w[v] = node.limit_w / 0.8
        limits.node_a[v] = node.phase_a
        limits.node_stale_ns[v] = 5 * NS
        limits.span_ns[v] = 3 * NS
        limits.draw_slot[v] = node_slot + 4 * limits.site.measured if node.measured else -1
        for k in range(3):
            limits.amps_slot[3 * v + k] = limits.draw_slot[v] + 1 + k if node.measured else -1
        limits.site.measured += node.measured
    layout.arrange(limits)
    for k, cooling in enumerate(loops):
        slot = 1 + 2 * len(racks) + PER_LOOP * k
        # The return is in the image, and no kernel reads it.
        limits.supply_slot[k], limits.flow_slot[k] = slot, slot + 2
        limits.leak_slot[k] = slot + 3 if cooling.leak else -1
        limits.dew_slot[k] = slot + 4 if cooling.dew else -1
        limits.dew_stale_ns[k] = limits.site.loop_stale_ns
        for name in ("warn_c", "derate_c", "trip_c", "return_c", "min_flow_lpm", "margin_k"):
            getattr(limits, name)[k] = getattr(cooling, name)
    wall, out, memory = InputWall(configuration), OutputWall(configuration), Memory(configuration)
    limits.site.slow = sum(rack.slow for rack in racks)
    limits.site.bridge_ticks = round(0.5 * hz)
    made = World(
        configuration, wall, out, memory, Loop(configuration, wall, out, memory, -1), limits, views.inputs(wall),
        views.state(memory), views.watch(memory),
    )  # fmt: skip
    interpreted.identify.begin(limits, made.state)
    made.meter(800e3)
    if measured:
        made.grid()
    for i, rack in enumerate(racks):
        made.rack(i, rack.max_w, rack.max_w)
    for k in range(len(loops)):
        made.cool(k)
    return made
