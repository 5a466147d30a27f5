"""Any order of commands, silences, faults and restarts: what no path may lead to, tick by tick, on the compiled core.

Six racks on two feeders and two loops, three of them on one link, draw what they are given. Lease ends may not raise.
Every reason of the failsafe table ends as its line says, on any path: `Ledger` keeps by itself when its condition was
last so. RAMPD_LONG=1 tries ten times as many paths.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from rampd.ext import codes, views
from rampd.ext.reasons import NONE, TABLE, Line
from tests.core import NS, Cooling, Node, Rack, World, world

PATHS = 300 if os.environ.get("RAMPD_LONG") == "1" else 30
RACKS = 6
SLACK_W = 1.0
LOOP_ZONE = 4
ZONES = {"site": (0,), "feeder": (1, 2), "feeder, link": (1, 2, 3), "loop": (4, 5)}
BELOW = {0: range(6), 1: range(3), 2: range(3, 6), 3: range(3), 4: range(3), 5: range(3, 6)}
EPS_S = 1e-6


class Ledger:
    """When the condition of each line was last so, judged from the image alone, and when an operator last reset.

    A condition that cannot be read counts as it was.
    """

    def __init__(self, made: World) -> None:
        self.made = made
        self.last_s: dict[tuple[str, int], float] = {}
        self.reset_s: dict[tuple[str, int], float] = {}
        self.acted: set[tuple[str, int]] = set()
        self.lost: dict[int, int] = {}  # racks of a zone that were stale a tick before
        self.racks_w = 0.0
        self.frozen_w: float | None = None  # what a frozen meter has shown all the time
        self.started = False

    def fresh(self, slot: int, stale_s: float) -> bool:
        inputs = self.made.inputs
        return inputs.quality[slot] == codes.GOOD and self.made.now_ns - inputs.at_ns[slot] <= stale_s * NS

    def site(self, name: str) -> bool | None:
        """Whether a condition of the site is so; None where the image does not say."""
        made, site, value = self.made, self.made.limits.site, self.made.inputs.value
        if name == "meter_lost":
            return bool(made.state.started) and not self.fresh(site.power_slot, 2.0)
        if name == "meter_implausible":
            # It compares with what the racks showed a tick before.
            racks = [made.limits.power_slot[i] for i in range(RACKS)]
            before_w, self.racks_w = self.racks_w, sum(value[slot] for slot in racks if self.fresh(slot, 5.0))
            told = self.fresh(site.power_slot, 2.0) and not made.state.fault_hold
            short = min(before_w, self.racks_w) - value[site.power_slot] > 0.5 * site.freeze_w + 1.0
            return told and short if (name, 0) in self.acted else None
        if name == "meter_frozen":
            return value[site.power_slot] == self.frozen_w
        if name == "import":
            # It may act without that: where the target was cut to the limit, or the racks alone are above it.
            return (made.state.meter_good and value[site.power_slot] > site.import_w) or None
        if name == "fault":
            slots = [made.limits.voltage_slot[k] for k in range(3)]
            return any(self.fresh(slot, 2.0) and not 7200.0 <= value[slot] <= 8800.0 for slot in slots)
        if name == "under_frequency":
            # In a fault the frequency says nothing.
            low = value[site.frequency_slot] <= 59.7
            seen = self.fresh(site.frequency_slot, 2.0)
            return None if made.state.fault_hold else low if seen else (name, 0) in self.acted
        if name == "frequency_lost":
            # Said from the tick after the first reading of the meter on.
            started, self.started = self.started, bool(made.state.started)
            return started and self.started and not self.fresh(site.frequency_slot, 2.0)
        return made.inputs.command.verb == codes.ESTOP if name == "estop" else None

    def loop(self, name: str, k: int) -> bool | None:
        """Whether a condition of a loop is so."""
        limits, value = self.made.limits, self.made.inputs.value
        supply, flow, leak = limits.supply_slot[k], limits.flow_slot[k], limits.leak_slot[k]
        if name == "leak":
            return value[leak] != 0.0 if self.made.inputs.quality[leak] == codes.GOOD else None
        if name == "condensation":
            dew = limits.dew_slot[k]
            seen = self.fresh(supply, 10.0) and self.fresh(dew, 10.0)
            return value[supply] < value[dew] + limits.margin_k[k] if seen else (name, LOOP_ZONE + k) in self.acted
        seen = self.fresh(supply, 10.0) and self.fresh(flow, 10.0)
        if not seen:
            waits = ("cdu_never", LOOP_ZONE + k) in self.acted or name == "cdu_never"
            return not waits if name == "cdu_stale" else (name, LOOP_ZONE + k) in self.acted or None
        celsius = {"supply_warn": limits.warn_c, "supply_derate": limits.derate_c, "supply_trip": limits.trip_c}
        if name in celsius:
            return value[supply] >= celsius[name][k]
        part = {"low_flow": 1.0, "no_flow": 0.1}
        return value[flow] < part[name] * limits.min_flow_lpm[k] if name in part else False

    def check(self, out: views.Outputs) -> None:
        """What acts must act while its condition is so, and may end only as its line says."""
        now_s, meter_w = self.made.now_s, self.made.inputs.value[self.made.limits.site.power_slot]
        if meter_w != self.frozen_w:
            self.frozen_w = None
        for line in TABLE:
            for zone in ZONES.get(line.scope, ()):
                key = (line.name, zone)
                acts = bool(out.zone_reasons[zone] & 1 << line.reason)
                self.one(line, key, self.so(line.name, zone), acts, now_s)
                if acts and key not in self.acted:
                    self.acted.add(key)
                    self.frozen_w = meter_w if line.name == "meter_frozen" else self.frozen_w
                elif acts:
                    continue
                else:
                    self.acted.discard(key)

    def so(self, name: str, zone: int) -> bool | None:
        if zone >= LOOP_ZONE:
            return self.loop(name, zone - LOOP_ZONE)
        if zone == 0:
            return self.site(name)
        if name != "common_loss":
            return None
        lost = sum(self.made.state.stale[i] and self.made.state.known[i] for i in BELOW[zone])
        # It acts one tick after it is counted.
        before, self.lost[zone] = self.lost.get(zone, 0), lost
        return min(before, lost) >= 3 if (name, zone) in self.acted else None

    def one(self, line: Line, key: tuple[str, int], so: bool | None, acts: bool, now_s: float) -> None:
        if so:
            self.last_s[key] = now_s
            self.reset_s.pop(key, None)
            assert acts or key[0] == "cdu_stale", f"{key} is so and does not act"
        if key in self.acted and not acts:
            since_s = now_s - self.last_s.get(key, float("-inf"))
            assert since_s >= line.clear_s - 0.05 - EPS_S, f"{key} ended after {since_s} s"
            assert not line.latches or key in self.reset_s, f"{key} ended without a reset"

    def reset(self) -> None:
        """An operator's reset, which counts for what is not so."""
        for key in self.acted:
            self.reset_s[key] = self.made.now_s


class Paths(RuleBasedStateMachine):
    """The core, a plant that does as it is told, and what was seen in the tick before."""

    @initialize()
    def begin(self) -> None:
        racks = [
            Rack(node=1, link=0), Rack(node=1, tier=1, link=0), Rack(node=1, link=0),
            Rack(node=2, loop=1, feeder=1, levels_w=(20e3, 50e3, 75e3, 100e3), tier=1),
            Rack(node=2, loop=1, feeder=1, quantum_w=10e3, min_w=0.0), Rack(node=2, loop=1, feeder=1),
        ]  # fmt: skip
        nodes = [Node(520e3), Node(275e3, 0), Node(280e3, 0)]
        self.made = world(
            racks, nodes, [Cooling(), Cooling()], measured=True, under=[(59.7, 1)], max_w=500e3, default_w=480e3,
            import_w=510e3, min_w=50e3, hold_max_ns=5 * NS, blind_max_ns=5 * NS, hold_hz=0.05, droop=0.05,
            deadband_hz=0.017, freeze_w=40e3, generation_w=0.0, windows=[(15.0, codes.NORMAL, 100e3, 100e3)],
            stagger_ns=NS, feedback_s=1.0, return_up=5e3,
        )  # fmt: skip
        self.power_w = [75e3] * RACKS
        self.limit_w = [75e3] * RACKS
        self.silent: set[str] = set()
        self.hz, self.volts, self.supply_c, self.flow_lpm, self.leak = 60.0, 8000.0, 32.0, 2000.0, 0.0
        self.dew_point_c = 12.0
        self.stuck_w: float | None = None
        self.shed = False
        self.gain = 1.0
        self.before = [75e3] * RACKS
        self.restarted_w: float | None = None
        self.reference_w: float | None = None
        self.ledger = Ledger(self.made)
        self.run(2.0)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.05)):
            self.tick()

    def tick(self) -> None:
        made = self.made
        made.now_s += 0.05
        for i in range(RACKS):
            if "racks" not in self.silent and not ("feeder" in self.silent and i >= 3):
                made.rack(i, self.power_w[i] if self.volts > 7000.0 else 0.0, self.limit_w[i])
        frequency = made.limits.site.frequency_slot
        if "meter" not in self.silent:
            # To a last bit that noise moves, unless it is stuck.
            shown_w = sum(self.power_w) + 1e-3 * (made.state.tick % 7) if self.volts > 7000.0 else 0.0
            made.meter(self.gain * shown_w if self.stuck_w is None else self.stuck_w)
            made.grid(hz=self.hz, volts=self.volts)
        if "frequency" in self.silent:
            made.put(frequency, 60.0, quality=codes.SENTINEL)
        if "cooling" not in self.silent:
            made.cool(
                0, supply_c=self.supply_c, flow_lpm=self.flow_lpm, leak=self.leak, dew_point_c=self.dew_point_c
            )  # fmt: skip
            made.cool(1)
        made.wall.publish(made.now_ns)
        assert made.loop.tick_at(made.now_ns)
        out = views.outputs(made.out)
        for i in range(RACKS):
            if out.active[i]:
                self.limit_w[i] = self.power_w[i] = out.setpoint_w[i]
        self.check(out)
        self.ledger.check(out)
        self.before = list(self.limit_w)

    def check(self, out: views.Outputs) -> None:
        state, sum_w = self.made.state, sum(self.limit_w)
        raised = any(a > b + SLACK_W for a, b in zip(self.limit_w, self.before, strict=True))
        assert out.fault == codes.FAULT_NONE
        assert sum(self.power_w[:3]) <= 275e3 + 1e-3
        assert sum(self.power_w[3:]) <= 280e3 + 1e-3
        assert sum_w <= 510e3 + SLACK_W
        if state.fault or not out.meter_good:
            assert not raised
        if self.shed and "frequency" in self.silent:
            assert state.shedding, "a step ended unseen"
        self.shed = bool(state.shedding)
        for i in range(RACKS):
            worst = NONE
            for zone, racks in BELOW.items():
                if i in racks:
                    acting = [n for n in TABLE if out.zone_reasons[zone] & 1 << n.reason and not n.steers]
                    worst = max([worst, *(line.action for line in acting)])
            assert out.action[i] >= worst
            if worst >= codes.ACT_NO_RAISE:
                assert self.limit_w[i] <= self.before[i] + SLACK_W
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
            # What is dealt out anew rises before another falls: by 0.4 of the coarsest step, beyond which 0.6 of one of
            # 10 kW may reach, and what is too little to write.
            ahead_w = 0.4 * self.made.limits.site.grain_w + 0.6 * 10e3
            rated_w = sum(self.made.limits.max_w[i] for i in range(RACKS))
            assert sum_w <= self.restarted_w + ahead_w + 0.001 * rated_w + SLACK_W

    @rule(part=st.floats(0.0, 1.2), envelope=st.sampled_from([codes.NORMAL, codes.DISPATCHED]),
          lease_s=st.sampled_from([0.5, 3.0, 900.0]), shape=st.sampled_from(list(codes.Shape)))  # fmt: skip
    def track(self, part: float, envelope: int, lease_s: float, shape: int) -> None:
        self.made.command(codes.TRACK, part * 500e3, envelope=envelope, lease_s=lease_s, ramp_s=2.0)
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

    @rule(what=st.sampled_from(["meter", "frequency", "racks", "feeder", "cooling"]),
          seconds=st.sampled_from([1.0, 6.0, 12.0]))  # fmt: skip
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

    @rule(hz=st.sampled_from([59.6, 59.9, 60.1]), seconds=st.sampled_from([0.2, 3.0, 12.0]))
    def unseen(self, hz: float, seconds: float) -> None:
        """The frequency is off nominal, then it cannot be read, and when it can it is nominal again."""
        self.frequency(hz, 0.2)
        self.silence("frequency", seconds)

    @rule(supply_c=st.sampled_from([38.5, 41.0, 46.0]), seconds=st.sampled_from([0.5, 4.0]))
    def heat(self, supply_c: float, seconds: float) -> None:
        self.supply_c = supply_c
        self.run(seconds)
        self.supply_c = 32.0

    @rule(flow_lpm=st.sampled_from([99.0, 9.0]), seconds=st.sampled_from([0.5, 4.0]))
    def flow(self, flow_lpm: float, seconds: float) -> None:
        self.flow_lpm = flow_lpm
        self.run(seconds)
        self.flow_lpm = 2000.0

    @rule(dew_point_c=st.sampled_from([30.5, 40.0]), seconds=st.sampled_from([0.5, 4.0]))
    def humid(self, dew_point_c: float, seconds: float) -> None:
        self.dew_point_c = dew_point_c
        self.run(seconds)
        self.dew_point_c = 12.0

    @rule(seconds=st.sampled_from([0.1, 4.0]))
    def leaks(self, seconds: float) -> None:
        self.leak = 1.0
        self.run(seconds)
        self.leak = 0.0

    @rule(part=st.sampled_from([0.3, 0.9]))
    def stuck(self, part: float) -> None:
        """The meter shows always the same while the hall is told to move."""
        self.stuck_w = self.made.inputs.value[self.made.limits.site.power_slot]
        self.track(part, codes.DISPATCHED, 900.0, codes.LINEAR)
        self.run(6.0)
        self.stuck_w = None

    @rule(gain=st.sampled_from([-1.0, 0.0, 0.5, 0.9]), part=st.sampled_from([0.3, 0.9]))
    def short(self, gain: float, part: float) -> None:
        """The meter shows too little while the hall is told to move."""
        self.gain = gain
        self.track(part, codes.DISPATCHED, 900.0, codes.LINEAR)
        self.run(6.0)
        self.gain = 1.0

    @rule(i=st.integers(0, RACKS - 1), hands=st.sampled_from([codes.MANUAL, codes.LOCKED, codes.UNRESPONSIVE]),
          seconds=st.sampled_from([0.5, 4.0]))  # fmt: skip
    def other_hands(self, i: int, hands: int, seconds: float) -> None:
        """Somebody else has a rack for a while, and leaves it where it is."""
        self.made.inputs.rack_state[i] = hands
        self.run(seconds)
        self.made.inputs.rack_state[i] = codes.AVAILABLE

    @rule()
    def reset(self) -> None:
        self.made.inputs.command.resets += 1
        self.ledger.reset()
        self.run(0.5)

    @rule()
    def restart(self) -> None:
        """A new process: empty memory, no command, readings that are still old; what must be known was written down."""
        made = self.made
        made.restart()
        self.restarted_w = sum(self.limit_w)
        self.reference_w = None
        # Clear times are not kept: what the new process reads decides, and nobody has seen the end of a step.
        bits = {line.name: 1 << line.reason for line in TABLE}
        self.ledger.acted = {(name, zone) for name, zone in self.ledger.acted if made.inputs.latched[zone] & bits[name]}
        self.ledger.last_s.clear()
        if self.shed:
            self.ledger.acted.add(("under_frequency", 0))
            self.ledger.last_s["under_frequency", 0] = made.now_s
        self.run(1.0)

    @rule(seconds=st.sampled_from([0.5, 3.0, 15.0]))
    def wait(self, seconds: float) -> None:
        self.run(seconds)

    @invariant()
    def finite(self) -> None:
        assert all(0.0 <= w <= 100e3 for w in self.limit_w)


def test_a_loss_may_begin_again_as_its_clear_time_ends() -> None:
    """It is counted in the tick in which it ends, and acts from the next one on."""
    paths = Paths()
    paths.begin()
    paths.silence("racks", 6.0)
    paths.run(5.0)
    paths.silence("racks", 6.0)
    assert [zone for zone in (1, 2, 3) if "common_loss" in paths.made.reasons(zone)]


TestPaths = Paths.TestCase
TestPaths.settings = settings(
    max_examples=PATHS, stateful_step_count=25, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
