"""Any order of commands, silences, faults and restarts: what no path may lead to, tick by tick, on the compiled core.

Four racks on two feeders and two loops draw what they are given. Lease ends may not raise. RAMPD_LONG=1 tries ten times
as many paths.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from rampd.ext import codes, views
from rampd.ext.image import Memory, OutputWall
from rampd.ext.loop import Loop
from tests.core import NS, Cooling, Node, Rack, world

PATHS = 300 if os.environ.get("RAMPD_LONG") == "1" else 30
RACKS = 4
SLACK_W = 1.0
LADDER = list(codes.Action)


class Paths(RuleBasedStateMachine):
    """The core, a plant that does as it is told, and what was seen in the tick before."""

    @initialize()
    def begin(self) -> None:
        racks = [
            Rack(node=1), Rack(node=1, tier=1), Rack(node=2, loop=1, levels_w=(20e3, 50e3, 100e3), tier=1),
            Rack(node=2, loop=1, quantum_w=10e3, min_w=0.0),
        ]  # fmt: skip
        nodes = [Node(380e3), Node(190e3, 0), Node(195e3, 0)]
        self.made = world(
            racks, nodes, [Cooling(), Cooling()], measured=True, under=[(59.7, 1)], max_w=360e3, default_w=340e3,
            import_w=370e3, min_w=50e3, hold_max_ns=5 * NS, hold_hz=0.05, droop=0.0,
            windows=[(15.0, codes.NORMAL, 80e3, 80e3)], stagger_ns=NS, feedback_s=1.0, return_up=5e3,
        )  # fmt: skip
        self.power_w = [80e3] * RACKS
        self.limit_w = [80e3] * RACKS
        self.silent: set[str] = set()
        self.hz, self.volts, self.supply_c = 60.0, 8000.0, 32.0
        self.before = [80e3] * RACKS
        self.restarted_w: float | None = None
        self.loops = [(codes.ACT_NONE, 0.0)] * 2
        self.reference_w: float | None = None
        self.run(2.0)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.05)):
            self.tick()

    def tick(self) -> None:
        made = self.made
        made.now_s += 0.05
        for i in range(RACKS):
            if "racks" not in self.silent:
                made.rack(i, self.power_w[i] if self.volts > 7000.0 else 0.0, self.limit_w[i])
        if "meter" not in self.silent:
            made.meter(sum(self.power_w) if self.volts > 7000.0 else 0.0)
            made.grid(hz=self.hz, volts=self.volts)
        if "cooling" not in self.silent:
            for k in range(2):
                made.cool(k, supply_c=self.supply_c if k == 0 else 32.0)
        made.wall.publish(made.now_ns)
        assert made.loop.tick_at(made.now_ns)
        out = views.outputs(made.out)
        for i in range(RACKS):
            if out.active[i]:
                self.limit_w[i] = self.power_w[i] = out.setpoint_w[i]
        self.check(out)
        self.before = list(self.limit_w)

    def check(self, out: views.Outputs) -> None:
        state, sum_w = self.made.state, sum(self.limit_w)
        raised = any(a > b + SLACK_W for a, b in zip(self.limit_w, self.before, strict=True))
        assert out.fault == codes.FAULT_NONE
        assert sum(self.power_w[:2]) <= 190e3 + 1e-3
        assert sum(self.power_w[2:]) <= 195e3 + 1e-3
        assert sum_w <= 370e3 + SLACK_W
        if state.fault or not out.meter_good:
            assert not raised
        if out.verb == codes.ESTOP:
            assert not raised
        if out.lapsed and self.reference_w is not None:
            # An expiry never leads to more than there was; after an emergency the way back ends there.
            assert out.reference_w <= self.reference_w + SLACK_W
        elif out.lapsed:
            self.reference_w = out.reference_w
        else:
            self.reference_w = None
        if self.restarted_w is not None and out.seq == 0:
            # To half a step of the rack that moves in steps of 10 kW.
            assert sum_w <= self.restarted_w + 5e3 + SLACK_W
        for k in range(2):
            action, since_s = self.loops[k]
            if out.loop_action[k] < action:
                # Down the ladder only after ten quiet seconds.
                assert self.made.now_s - since_s >= 10.0 - 1e-6
            if out.loop_action[k] != action:
                self.loops[k] = (out.loop_action[k], self.made.now_s)
            assert out.loop_action[k] in LADDER

    @rule(part=st.floats(0.0, 1.2), envelope=st.sampled_from([codes.NORMAL, codes.DISPATCHED]),
          lease_s=st.sampled_from([0.5, 3.0, 900.0]), shape=st.sampled_from(list(codes.Shape)))  # fmt: skip
    def track(self, part: float, envelope: int, lease_s: float, shape: int) -> None:
        self.made.command(codes.TRACK, part * 360e3, envelope=envelope, lease_s=lease_s, ramp_s=2.0)
        self.made.inputs.command.shape = shape
        self.made.inputs.command.lost_ns = 0
        self.restarted_w = None
        self.run(0.5)

    @rule(verb=st.sampled_from([codes.HOLD, codes.ESTOP]))
    def stop(self, verb: int) -> None:
        self.made.command(verb, lease_s=5.0)
        self.restarted_w = None
        self.run(0.5)

    @rule()
    def release(self) -> None:
        self.made.command(codes.STAND)
        self.restarted_w = None
        self.run(0.5)

    @rule(what=st.sampled_from(["meter", "racks", "cooling"]), seconds=st.sampled_from([1.0, 6.0, 12.0]))
    def silence(self, what: str, seconds: float) -> None:
        self.silent.add(what)
        self.run(seconds)
        self.silent.discard(what)

    @rule(seconds=st.sampled_from([1.0, 7.0]))
    def channel(self, seconds: float) -> None:
        self.made.inputs.command.lost_ns = self.made.now_ns
        self.run(seconds)
        self.made.inputs.command.lost_ns = 0

    @rule(volts=st.sampled_from([0.0, 6900.0]), seconds=st.sampled_from([0.2, 2.0]))
    def fault(self, volts: float, seconds: float) -> None:
        self.volts = volts
        self.run(seconds)
        self.volts = 8000.0

    @rule(hz=st.sampled_from([59.6, 59.7, 59.9, 60.1]), seconds=st.sampled_from([0.2, 3.0]))
    def frequency(self, hz: float, seconds: float) -> None:
        self.hz = hz
        self.run(seconds)
        self.hz = 60.0

    @rule(supply_c=st.sampled_from([38.5, 41.0, 46.0]), seconds=st.sampled_from([0.5, 4.0]))
    def heat(self, supply_c: float, seconds: float) -> None:
        self.supply_c = supply_c
        self.run(seconds)
        self.supply_c = 32.0

    @rule()
    def restart(self) -> None:
        """A new process: empty memory, no command, readings that are still old."""
        made = self.made
        made.memory, made.out = Memory(made.configuration), OutputWall(made.configuration)
        made.loop = Loop(made.configuration, made.wall, made.out, made.memory, -1)
        made.state, made.watch = views.state(made.memory), views.watch(made.memory)
        made.inputs.command.seq = made.inputs.command.verb = 0
        made.inputs.command.lost_ns = 0
        for slot in range(made.limits.site.slots):
            made.inputs.quality[slot] = codes.NEVER
        self.restarted_w = sum(self.limit_w)
        self.loops = [(codes.ACT_NONE, 0.0)] * 2
        self.reference_w = None
        self.run(1.0)

    @rule(seconds=st.sampled_from([0.5, 3.0, 15.0]))
    def wait(self, seconds: float) -> None:
        self.run(seconds)

    @invariant()
    def finite(self) -> None:
        assert all(0.0 <= w <= 100e3 for w in self.limit_w)


TestPaths = Paths.TestCase
TestPaths.settings = settings(
    max_examples=PATHS, stateful_step_count=25, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
