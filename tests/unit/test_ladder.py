"""The ladder as people see it: scopes and counts from a snapshot, one line in the log a change, and resets."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from rampd.daemon import client, halls, ladder, sitecheck
from rampd.daemon.journal import Journal
from rampd.daemon.site import Composed, compose
from rampd.ext import codes, views
from rampd.ext.image import InputWall, Memory, OutputWall
from rampd.ext.loop import Loop

NS = 1_000_000_000


class Core:
    """The compiled core of the twelve-rack example, fed by hand."""

    def __init__(self, folder: Path) -> None:
        site = halls.write(halls.Hall("bench-12", 12), folder)
        racks = folder / "racks.csv"
        # Four racks behind one gateway.
        for i in (9, 10, 11, 12):
            racks.write_text(racks.read_text().replace(f"127.23.0.{i}:1502,1,", f"127.23.0.9:1502,{i},"))
        self.composed: Composed = compose(sitecheck.load(site))
        limits = self.composed.limits
        self.wall, self.outputs = InputWall(limits), OutputWall(limits)
        self.inputs, self.memory = views.inputs(self.wall), Memory(limits)
        self.loop = Loop(limits, self.wall, self.outputs, self.memory, -1)
        self.now_ns = 1000 * NS
        self.old: set[str] = set()
        self.values: dict[tuple[str, str], float] = {}
        self.nodes = {point.id: 360e3 for point in self.composed.node_points if point is not None}

    def run(self, seconds: float) -> views.Outputs:
        sane = {"power_w": 60e3, "limit_w": 60e3, "supply_c": 30.0, "return_c": 40.0, "flow_lpm": 9e3, "leak_bits": 0.0}
        for _ in range(round(seconds / 0.05)):
            self.now_ns += NS // 20
            for point in self.composed.points:
                if point.id in self.old:
                    continue
                for name, slot in point.slots.items():
                    usual = self.nodes.get(point.id, sane.get(name, 0.0)) if name == "power_w" else sane.get(name, 0.0)
                    self.inputs.value[slot] = self.values.get((point.id, name), usual)
                    self.inputs.at_ns[slot] = self.now_ns
                    self.inputs.quality[slot] = codes.GOOD if name in sane else codes.NEVER
            self.inputs.value[self.composed.meter.slots["power_w"]] = 720e3 + self.now_ns % 7
            self.wall.publish(self.now_ns)
            assert self.loop.tick_at(self.now_ns)
        return views.outputs(self.outputs)

    def lines(self, out: views.Outputs) -> list[tuple[str, str, int]]:
        return [(one.scope, one.line.name, one.racks) for one in ladder.active(self.composed, out)]


@pytest.fixture
def core(tmp_path: Path) -> Core:
    made = Core(tmp_path)
    assert made.lines(made.run(3.0)) == []
    return made


def test_zones_are_the_site_feeders_shared_addresses_loops_and_nodes(core: Core) -> None:
    feeders = list(dict.fromkeys(core.composed.feeders))
    loops = [loop.id for loop in core.composed.config.loops]
    nodes = [node.id for node in core.composed.nodes]
    assert core.composed.zones == ("site", *feeders, "127.23.0.9:1502", *loops, *nodes)


def test_racks_are_counted_and_a_common_loss_counts_its_own(core: Core) -> None:
    core.old |= {"gpu-001", "gpu-002"}
    assert core.lines(core.run(6.0)) == [("racks", "stale", 2)]
    # The gateway is gone: four racks are one line.
    core.old |= {rack.id for rack in core.composed.racks if rack.address == "127.23.0.9:1502"}
    assert core.lines(core.run(6.0)) == [("racks", "stale", 2), ("127.23.0.9:1502", "common_loss", 4)]


def test_a_change_is_one_line_in_the_log(core: Core, caplog: pytest.LogCaptureFixture) -> None:
    watch = ladder.Watch(core.composed)
    caplog.set_level(logging.INFO, "rampd.failsafe")
    core.old |= {rack.id for rack in core.composed.racks if rack.address == "127.23.0.9:1502"}
    for _ in range(80):
        watch.tick(core.run(0.1))
    (said,) = caplog.messages
    assert said.startswith("127.23.0.9:1502: common_loss (4 racks): half of its racks")
    core.old.clear()
    for _ in range(110):
        watch.tick(core.run(0.1))
    assert caplog.messages[1:] == ["127.23.0.9:1502: common_loss has ended"]


@pytest.mark.parametrize("readable", [True, False])
def test_what_waits_for_a_reset_is_said_kept_and_restored(core: Core, tmp_path: Path, readable: bool) -> None:
    """Also where the file of what stands cannot be read: the trail knows of it."""
    core.values["gpu-loop-1", "leak_bits"] = 1.0
    core.run(1.0)
    core.values.clear()
    out = core.run(15.0)
    held = ladder.latched(core.composed, out)
    assert held == {"gpu-loop-1": ["leak"]}
    journal = Journal.open(tmp_path / "kept.json")
    journal.latch(held)
    assert journal.dirty
    journal.save()
    journal.latch(held)
    assert not journal.dirty
    if not readable:
        (tmp_path / "kept.json").write_text("{", encoding="utf-8")
    again = Core(tmp_path)
    ladder.restore(again.composed, again.inputs, Journal.open(tmp_path / "kept.json").latched)
    assert again.lines(again.run(15.0)) == [("gpu-loop-1", "leak", 0)]
    again.inputs.command.resets += 1
    # What the loop lost comes back.
    assert [line[1] for line in again.lines(again.run(0.1))] == ["return", "return_turn"]


def test_a_feeder_is_a_node_as_well_and_what_is_latched_says_which(tmp_path: Path) -> None:
    core = Core(tmp_path)
    feeder = core.composed.feeders[0]
    ladder.restore(core.composed, core.inputs, {feeder: ["overload"]})
    out = core.run(3.0)
    assert ladder.latched(core.composed, out) == {feeder: ["overload"]}
    own = [i for i, name in enumerate(core.composed.feeders) if name == feeder]
    assert 0 < len(own) < len(core.composed.racks)
    assert {i for i in range(len(core.composed.racks)) if out.setpoint_w[i] == 0.0} == set(own)
    core.inputs.command.resets += 1
    assert ladder.latched(core.composed, core.run(0.1)) == {}


def test_what_the_site_no_longer_has_is_left_out_and_said(core: Core, caplog: pytest.LogCaptureFixture) -> None:
    ladder.restore(core.composed, core.inputs, {"loop-9": ["leak"], "gpu-loop-1": ["supply_warn"]})
    assert not any(core.inputs.latched[zone] for zone in range(len(core.composed.zones)))
    assert [message.split(":")[0] for message in caplog.messages] == ["loop-9", "gpu-loop-1"]


@pytest.mark.parametrize(
    ("one", "words"),
    [
        ({"scope": "racks", "reason": "stale", "action": "no_raise", "racks": 3, "needs_reset": False},
         "racks: stale (no_raise, 3 racks): its last good power reading is older than rack_stale_s"),
        ({"scope": "l1", "reason": "leak", "action": "safe", "racks": 0, "needs_reset": True},
         "l1: leak (safe): a leak bit is set, however old; needs rampd reset"),
        ({"scope": "site", "reason": "unheard_of", "action": "hold"}, "site: unheard_of (hold)"),
    ],
)  # fmt: skip
def test_status_says_it_in_words(one: dict[str, object], words: str) -> None:
    assert client.failsafe_words(one) == words
