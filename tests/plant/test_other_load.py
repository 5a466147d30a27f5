"""A measured feeder on which others draw as well, in closed loop: it stays below its limit, in W and in A."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rampd.daemon import ladder, sitecheck
from rampd.daemon.config import Config
from rampd.ext import codes, views
from tests.closed_loop import ClosedLoop

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PDU = "pdu-001"
LIMIT_W = 800e3
VOLTS = 277.0
PHASE_A = 0.8 * 1200.0
NEAR = 1.004
"""What tracking leaves: the noise of jobs, and the moment between two readings."""


def measured(period_s: float = 1.0) -> Config:
    """The hall of twelve racks, whose first PDU has a meter that shows its phases."""
    config = sitecheck.load(EXAMPLES / "bench-12" / "site.toml")
    change = {"map": "janitza-umg", "rating_a": 1200.0, "period_s": period_s}
    nodes = tuple(node.model_copy(update=change) if node.id == PDU else node for node in config.nodes)
    return config.model_copy(update={"nodes": nodes})


@dataclass
class Fed(ClosedLoop):
    """Others draw at the PDU: `phases_w` of each phase. Its meter shows `shown` of what is drawn, `late_s` ago."""

    config: Config = field(default_factory=measured)
    phases_w: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shown: Callable[[float], float] = float
    late_s: float = 0.0
    most_w: float = 0.0
    most_a: float = 0.0
    most_other_w: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at = [node.id for node in self.plant.spec.nodes].index(PDU)
        self.v = [node.id for node in self.composed.nodes].index(PDU)
        self.point = self.composed.by_id[PDU]
        self.past: list[tuple[float, list[float]]] = []

    def read(self) -> None:
        super().read()
        racks_w = self.plant.node_w[self.at] - self.plant.other_w[self.at]
        self.plant.other_w[self.at] = sum(self.phases_w)
        amps = [(racks_w / 3.0 + other_w) / VOLTS for other_w in self.phases_w]
        self.past.append((racks_w + sum(self.phases_w), amps))
        self.most_w = max(self.most_w, self.past[-1][0])
        self.most_a = max(self.most_a, *amps)
        self.most_other_w = max(self.most_other_w, views.state(self.memory).other_w[self.v])
        every = round(self.point.device.period_s / self.dt_s)
        if self.tick % every or self.point.id in self.silent:
            return
        drawn_w, amps = self.past[max(0, len(self.past) - 1 - round(self.late_s / self.dt_s))]
        self.put(self.point, "power_w", self.shown(drawn_w))
        for k, amp in enumerate(amps):
            self.put(self.point, f"current_l{k + 1}_a", amp)

    def up_and_down(self, low: float = 0.3, seconds: float = 25.0) -> None:
        """Down and up again in steps that the dispatched envelope shapes; the peaks are those of the way up."""
        full_w = self.config.site.max_mw * 1e6
        self.command(low * full_w, ramp_s=2.0)
        self.run(seconds)
        self.most_w = self.most_a = 0.0
        self.command(full_w, ramp_s=2.0)
        self.run(seconds)

    def taken_w(self) -> float:
        return views.outputs(self.out).taken_w[self.v]


@pytest.mark.parametrize("other_w", (50e3, 200e3, 400e3))
def test_the_feeder_stays_below_its_limit(other_w: float) -> None:
    loop = Fed(phases_w=(other_w / 3, other_w / 3, other_w / 3))
    loop.run(30.0)
    for _ in range(2):
        loop.up_and_down()
        assert loop.most_w <= NEAR * LIMIT_W
        # And the racks have what is left, but for what they do not want.
        assert loop.past[-1][0] >= 0.93 * LIMIT_W
        assert loop.taken_w() == pytest.approx(other_w, abs=0.01 * LIMIT_W)
    assert loop.vetoes() == 0


def test_what_comes_on_later_is_made_room_for() -> None:
    loop = Fed()
    loop.run(30.0)
    for other_w in (150e3, 300e3, 450e3):
        loop.phases_w = (other_w / 3,) * 3
        loop.run(15.0)
        loop.most_w = 0.0
        loop.run(10.0)
        assert loop.most_w <= NEAR * LIMIT_W
        assert sum(views.outputs(loop.out).vetoes[k] for k in (codes.VETO_SAFE, codes.VETO_TRIP)) == 0
    loop.phases_w = (0.0, 0.0, 0.0)
    loop.run(90.0)
    assert loop.past[-1][0] >= 0.93 * 792e3


@pytest.mark.parametrize("period_s", (0.2, 1.0, 2.5))
@pytest.mark.parametrize("late_s", (0.0, 1.0))
def test_a_ramp_is_not_taken_for_other_load(late_s: float, period_s: float) -> None:
    loop = Fed(measured(period_s), late_s=late_s)
    loop.run(30.0)
    loop.up_and_down(0.2)
    loop.up_and_down(0.2)
    assert loop.most_other_w <= 0.01 * LIMIT_W
    assert loop.vetoes() == 0


@pytest.mark.parametrize("one_w", (40e3, 120e3))
def test_the_fullest_phase_stays_below_its_limit(one_w: float) -> None:
    loop = Fed(phases_w=(one_w, 0.0, 0.0))
    loop.run(40.0)
    for _ in range(2):
        loop.up_and_down()
        assert loop.most_a <= NEAR * PHASE_A
        assert loop.most_w < LIMIT_W - one_w
    assert max(loop.past[-1][1]) >= 0.93 * PHASE_A


@pytest.mark.parametrize("one_w", (60e3, 120e3, 180e3))
def test_one_phase_that_fills_up_sends_no_rack_to_its_least(one_w: float) -> None:
    """The racks load all phases alike: they fall once, by what the full one needs."""
    loop = Fed()
    loop.run(30.0)
    loop.phases_w = (one_w, 0.0, 0.0)
    loop.run(15.0)
    for _ in range(20):
        loop.run(1.0)
        assert 0.95 * PHASE_A <= max(loop.past[-1][1]) <= 1.01 * PHASE_A
    assert loop.vetoes() == 0


def every_tenth(wild: Callable[[float], float]) -> Callable[[float], float]:
    """Every tenth reading is wild, never two in a row."""
    count = iter(range(10**9))
    return lambda drawn_w: wild(drawn_w) if next(count) % 10 == 9 else drawn_w


LIES: dict[str, Callable[[float], float]] = {
    "three times as much": lambda drawn_w: 3.0 * drawn_w, "half as much again": lambda drawn_w: 1.5 * drawn_w,
    "nothing": lambda drawn_w: 0.0, "its sign": lambda drawn_w: -drawn_w, "a half": lambda drawn_w: 0.5 * drawn_w,
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_one_wild_reading_moves_nobody(lie: str) -> None:
    loop = Fed(phases_w=(60e3, 60e3, 60e3))
    loop.run(40.0)
    stood_w = loop.taken_w()
    loop.shown = every_tenth(LIES[lie])
    for _ in range(60):
        loop.run(1.0)
        assert loop.taken_w() == pytest.approx(stood_w, abs=0.01 * LIMIT_W)
    assert loop.vetoes() == 0


@pytest.mark.parametrize("lie", ("three times as much", "nothing", "its sign", "a half"))
def test_a_meter_that_shows_what_cannot_be_teaches_nothing(lie: str) -> None:
    loop = Fed(phases_w=(60e3, 60e3, 60e3))
    loop.run(40.0)
    loop.shown = LIES[lie]
    for _ in range(2):
        loop.up_and_down(0.5)
        assert loop.most_w <= NEAR * LIMIT_W
    assert loop.past[-1][0] >= 0.93 * LIMIT_W


def frozen() -> Callable[[float], float]:
    """It repeats what it showed first."""
    first: list[float] = []
    return lambda drawn_w: first[0] if first else (first.append(drawn_w) or drawn_w)


@pytest.mark.parametrize(
    ("lie", "name", "turns"),
    [(frozen(), "node_meter_frozen", 1), (lambda drawn_w: 1e-3 * drawn_w, "node_meter_implausible", 1),
     (LIES["a half"], "node_meter_implausible", 3)],
    ids=("frozen", "kilowatts", "a half"),
)  # fmt: skip
def test_a_meter_that_is_wrong_is_named_and_lets_no_more_through(
    lie: Callable[[float], float], name: str, turns: int
) -> None:
    loop = Fed(phases_w=(60e3, 60e3, 60e3))
    loop.run(40.0)
    loop.shown = lie
    for _ in range(turns):
        loop.up_and_down()
    named = [(one.scope, one.line.name) for one in ladder.active(loop.composed, views.outputs(loop.out))]
    assert named == [(PDU, name)]
    known_w = loop.taken_w()
    for _ in range(2):
        loop.up_and_down()
        # Without its meter nothing would be known of the others.
        assert loop.most_w <= NEAR * (LIMIT_W + 180e3 - known_w)
        assert loop.taken_w() >= known_w
    loop.shown = float
    loop.up_and_down()
    loop.up_and_down()
    assert list(ladder.active(loop.composed, views.outputs(loop.out))) == []
    loop.up_and_down()
    assert loop.most_w <= NEAR * LIMIT_W
    assert loop.taken_w() == pytest.approx(180e3, abs=0.02 * LIMIT_W)
    assert loop.vetoes() == 0


@pytest.mark.parametrize("other_w", (0.0, 180e3))
def test_a_meter_that_is_right_is_not_doubted(other_w: float) -> None:
    """Others come and go, and the racks make room for them: what the meter shows moves otherwise than the racks do."""
    loop = Fed(phases_w=(other_w / 3,) * 3)
    loop.run(30.0)
    for turn in range(4):
        loop.up_and_down(0.2)
        loop.phases_w = ((other_w + 90e3 * (turn % 2)) / 3,) * 3
        loop.run(20.0)
        assert list(ladder.active(loop.composed, views.outputs(loop.out))) == []
        assert views.state(loop.memory).doubts[loop.v] == views.watch(loop.memory).doubts[loop.v] == 0


def test_a_meter_that_falls_silent_leaves_what_it_last_said() -> None:
    loop = Fed(phases_w=(60e3, 60e3, 60e3))
    loop.run(40.0)
    stood_w = loop.taken_w()
    loop.silent = {PDU}
    for _ in range(2):
        loop.up_and_down()
        assert loop.most_w <= NEAR * LIMIT_W
        assert loop.taken_w() == pytest.approx(stood_w, abs=0.001 * LIMIT_W)
    assert loop.vetoes() == 0


@pytest.mark.parametrize("silent", (False, True))
def test_a_restart_gives_no_room_away(silent: bool) -> None:
    loop = Fed(phases_w=(60e3, 60e3, 60e3))
    loop.run(40.0)
    loop.command(loop.config.site.max_mw * 1e6, ramp_s=5.0)
    loop.run(20.0)
    out = views.outputs(loop.out)
    before = out.learnt_w[loop.v], out.phase_w[loop.v]
    loop.restart()
    loop.inputs.learnt_w[loop.v], loop.inputs.phase_w[loop.v] = before
    loop.silent = {PDU} if silent else set()
    loop.most_w = 0.0
    loop.run(10.0)
    loop.up_and_down()
    assert loop.most_w <= NEAR * LIMIT_W
    assert loop.past[-1][0] >= 0.93 * LIMIT_W


def test_racks_that_fall_silent_and_come_back_open_no_room() -> None:
    loop = Fed(phases_w=(60e3, 60e3, 60e3))
    loop.run(40.0)
    own = {rack.id for rack in loop.config.racks if rack.node == PDU}
    for silent in (set(sorted(own)[:3]), own):
        loop.silent = silent
        loop.run(20.0)
        loop.silent = set()
        loop.most_w = 0.0
        loop.run(20.0)
        assert loop.most_w <= NEAR * LIMIT_W
    assert loop.taken_w() == pytest.approx(180e3, abs=0.02 * LIMIT_W)


def test_a_step_that_knows_nothing_of_it_is_held_by_the_guard() -> None:
    loop = Fed(phases_w=(60e3, 60e3, 60e3))
    loop.run(40.0)
    state = views.state(loop.memory)
    loop.command(0.3 * loop.config.site.max_mw * 1e6, ramp_s=2.0)
    loop.run(20.0)
    loop.most_w = 0.0
    loop.command(loop.config.site.max_mw * 1e6, ramp_s=2.0)
    for _ in range(400):
        state.learnt_w[loop.v] = state.low_other_w[loop.v] = state.high_other_w[loop.v] = 0.0
        loop.run(loop.dt_s)
        assert state.other_w[loop.v] == 0.0
    assert loop.most_w <= NEAR * LIMIT_W
    assert views.outputs(loop.out).vetoes[codes.VETO_NODE] > 0


def test_racks_that_gave_way_come_back_in_the_normal_envelope_as_well() -> None:
    """Two silent racks below a narrow feeder: others go off for them, and come back although their least is a leap."""
    config = sitecheck.load(EXAMPLES / "bench-12" / "site.toml")
    narrow = {PDU: {"rating_kw": 375.0}}
    nodes = tuple(node.model_copy(update=narrow.get(node.id, {})) for node in config.nodes)
    loop = ClosedLoop(config.model_copy(update={"nodes": nodes}))
    v = [node.id for node in loop.composed.nodes].index(PDU)
    below = range(loop.limits.rack_first[v], loop.limits.rack_first[loop.limits.node_end[v]])

    def drawn_w() -> float:
        out = views.outputs(loop.out)
        return sum(out.setpoint_w[i] for i in below)

    loop.run(40.0)
    stood_w = drawn_w()
    loop.silent = {"gpu-001", "gpu-002"}
    loop.run(20.0)
    assert drawn_w() < 0.5 * stood_w
    loop.silent = set()
    loop.run(60.0)
    assert drawn_w() == pytest.approx(stood_w, rel=0.01)
    assert views.outputs(loop.out).envelope == codes.NORMAL
