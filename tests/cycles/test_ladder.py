"""The failsafe table, line by line: a condition, what it does, how long it stays, and whether an operator must reset.

Twelve racks: six on feeder 0, of which four share a link, six on feeder 1; a loop each. At 20 Hz, compiled as in the
daemon and interpreted beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from rampd.ext import codes, views
from rampd.ext.image import Memory
from rampd.ext.reasons import NONE, TABLE
from tests.core import NS, Cooling, Rack, World, dump, world
from tests.property.test_same_bits import interpret

Given = Callable[[World], object]
Loss = tuple[list[list[int]], list[str], list[str], list[str], int]
RACKS = 12
FEEDER, LINK = 1, 3
LINES = {line.name: line for line in TABLE}


def hall() -> World:
    racks = [
        Rack(feeder=int(i >= 6), loop=int(i >= 6), tier=int(i % 2 == 1), link=0 if i < 4 else -1) for i in range(RACKS)
    ]
    made = world(
        racks, loops=[Cooling(), Cooling()], measured=True, under=[(59.7, 1)], max_w=1.4e6, import_w=1.5e6,
        default_w=1.3e6, stagger_ns=2 * NS, dispatched_up=10e6, dispatched_down=10e6, normal_up=1e6, feedback_s=0.5,
    )  # fmt: skip
    made.meter(1.25e6)
    return made


@dataclass
class Play:
    """The compiled core and, beside it, the interpreted one; `lines` are the reasons that acted in the last tick."""

    made: World

    def __post_init__(self) -> None:
        self.memory = Memory(self.made.configuration)

    def run(self, seconds: float, given: Given = lambda _: None) -> None:
        for _ in range(round(seconds / 0.05)):
            self.made.now_s += 0.05
            self.made.refresh()
            given(self.made)
            self.made.tick(0.0)
            assert interpret(self.made, self.memory) == codes.FAULT_NONE
        compiled, lengths = self.made.bytes(), self.made.lengths()
        for name, raw in (dump(views.state(self.memory), lengths) | dump(views.watch(self.memory), lengths)).items():
            assert raw == compiled[name], name

    def zone(self, name: str) -> list[str]:
        zones = {"site": 0, "feeder 0": FEEDER, "feeder 1": FEEDER + 1, "link": LINK, "loop 0": 4, "loop 1": 5}
        return self.made.reasons(zones[name])

    def actions(self) -> list[int]:
        return list(self.made.state.action[:RACKS])

    def reset(self) -> None:
        self.made.inputs.command.resets += 1


@pytest.fixture
def play() -> Play:
    found = Play(hall())
    found.run(12.0)
    assert found.actions() == [NONE] * RACKS
    assert not any(found.zone(name) for name in ("site", "feeder 0", "feeder 1", "link", "loop 0", "loop 1"))
    return found


def only(*racks: int) -> Given:
    """These racks were read long ago."""
    return lambda w: [w.rack(i, 100e3, age_s=60.0) for i in racks]


def command(verb: int, **fields: int) -> Given:
    def so(made: World) -> None:
        made.inputs.command.verb = verb
        for name, value in fields.items():
            setattr(made.inputs.command, name, value)

    return so


ZONES = {
    # reason: where it acts; the condition; which racks it acts on
    "meter_lost":      ("site", lambda w: w.meter(1.25e6, age_s=3.0), range(12)),
    "fault":           ("site", lambda w: w.grid(volts=7000.0), range(12)),
    "frequency_lost":  ("site", lambda w: w.put(w.limits.site.frequency_slot, 60.0, quality=codes.RANGE), range(12)),
    "under_frequency": ("site", lambda w: w.grid(hz=59.7), range(12)),
    "channel":         ("site", command(codes.HOLD, lost_ns=1, seq=1), ()),
    "estop":           ("site", command(codes.ESTOP, seq=2), ()),
    "common_loss":     ("feeder 1", only(6, 7, 8), range(6, 12)),
    "cdu_stale":       ("loop 1", lambda w: w.cool(1, age_s=11.0), range(6, 12)),
    "supply_warn":     ("loop 0", lambda w: w.cool(0, supply_c=38.0), range(6)),
    "supply_derate":   ("loop 0", lambda w: w.cool(0, supply_c=40.0), range(6)),
    "supply_trip":     ("loop 0", lambda w: w.cool(0, supply_c=45.0), range(6)),
    "low_flow":        ("loop 1", lambda w: w.cool(1, flow_lpm=99.0), range(6, 12)),
    "no_flow":         ("loop 1", lambda w: w.cool(1, flow_lpm=9.0), range(6, 12)),
    "condensation":    ("loop 0", lambda w: w.cool(0, dew_point_c=30.1), range(6)),
    "leak":            ("loop 1", lambda w: w.cool(1, leak=1.0), range(6, 12)),
}  # fmt: skip
"""`meter_frozen` has test_freeze.py, the way back test_the_return_is_in_turns."""


def end(made: World) -> None:
    """The conditions that are no readings end as well."""
    made.inputs.command.lost_ns = 0
    made.inputs.command.verb = codes.STAND
    made.grid()
    made.cool(0)
    made.cool(1)


@pytest.mark.parametrize(("name", "row"), ZONES.items(), ids=ZONES.keys())
def test_a_reason_acts_at_once_and_ends_as_its_line_says(play: Play, name: str, row: tuple[str, Given, range]) -> None:
    zone, given, racks = row
    line = LINES[name]
    # What was lost is counted in one tick and acts in the next.
    play.run(0.1, given)
    assert name in play.zone(zone)
    step = NONE if line.steers else line.action
    acting = [i for i in range(RACKS) if play.actions()[i] >= max(step, codes.ACT_NO_RAISE)]
    assert acting == list(racks)
    if line.clear_s > 0.1:
        play.run(line.clear_s - 0.1, end)
        assert name in play.zone(zone)
        # Seen again for one tick, the time starts over.
        play.run(0.1, given)
        play.run(line.clear_s - 0.1, end)
        assert name in play.zone(zone)
    play.run(0.2, end)
    assert (name in play.zone(zone)) == line.latches
    if line.latches:
        play.run(30.0, end)
        assert name in play.zone(zone)
        play.reset()
        play.run(0.05, end)
    assert name not in play.zone(zone)


@pytest.mark.parametrize("name", ["supply_trip", "leak"])
def test_a_reset_ends_nothing_that_is_still_so(play: Play, name: str) -> None:
    zone, given, _ = ZONES[name]
    play.run(1.0, given)
    play.reset()
    play.run(1.0, given)
    play.run(30.0, end)
    assert name in play.zone(zone)


def test_a_reset_within_the_clear_time_counts_and_does_not_shorten_it(play: Play) -> None:
    zone, given, _ = ZONES["leak"]
    play.run(1.0, given)
    play.run(3.0, end)
    play.reset()
    play.run(6.8, end)
    assert play.zone(zone) == ["leak"]
    play.run(0.3, end)
    assert play.zone(zone) == []


def test_what_was_latched_before_a_restart_still_is(play: Play) -> None:
    fresh = Play(hall())
    fresh.made.inputs.latched[5] = 1 << codes.R_LEAK
    fresh.run(30.0)
    assert fresh.zone("loop 1") == ["leak"]
    assert fresh.actions() == [NONE] * 6 + [codes.ACT_SAFE] * 6
    fresh.reset()
    fresh.run(0.05)
    assert fresh.zone("loop 1") == []


def test_the_worst_of_the_reasons_wins(play: Play) -> None:
    play.run(0.1, lambda w: (w.cool(0, supply_c=41.0, leak=1.0), w.meter(1.25e6, age_s=3.0), w.cool(1, age_s=11.0)))
    assert play.zone("loop 0") == ["supply_warn", "supply_derate", "leak"]
    assert play.actions() == [codes.ACT_SAFE] * 6 + [codes.ACT_NO_RAISE] * 6


def test_racks_of_a_called_tier_are_shed_the_others_do_not_rise(play: Play) -> None:
    play.run(0.1, lambda w: w.grid(hz=59.6))
    assert play.actions() == [codes.ACT_NO_RAISE, codes.ACT_SHED] * 6
    assert play.made.state.reason_racks[codes.R_SHED] == 6


def test_the_return_is_in_turns(play: Play) -> None:
    play.run(1.0, lambda w: w.grid(hz=59.6))
    play.run(10.0, end)
    assert play.zone("site") == ["return"]
    assert (play.zone("feeder 0"), play.zone("feeder 1")) == ([], ["return_turn"])
    play.run(1.9)
    assert play.actions() == [NONE] * 6 + [codes.ACT_NO_RAISE] * 6
    play.run(0.2)
    assert play.actions() == [NONE] * 12
    assert play.zone("site") == ["return"]


LOST = {
    # name: the racks that fall silent, one group a second -> feeder 0, feeder 1, link; racks counted by themselves
    "one":                        ([[6]], [], [], [], 1),
    "two":                        ([[6, 7]], [], [], [], 2),
    "half of a feeder":           ([[6, 7, 8]], [], ["common_loss"], [], 0),
    "within five seconds":        ([[6], [], [7], [], [8]], [], ["common_loss"], [], 0),
    "one after the other":        ([[6], [], [], [7], [], [], [8], [], []], [], [], [], 3),
    "then many, some before":     ([[6], [], [], [], [], [], [7, 8, 9]], [], ["common_loss"], [], 0),
    "three of four on a link":    ([[0, 1, 2]], [], [], ["common_loss"], 0),
    "some here, some there":      ([[0, 4, 6, 7]], [], [], [], 4),
    "a feeder and one elsewhere": ([[0, 6, 7, 8, 9, 10, 11]], [], ["common_loss"], [], 1),
    "a link, then the feeder":    ([[0, 1, 2], [4, 5]], [], [], ["common_loss"], 2),
    "two of it and two beside":   ([[0, 1, 4, 5]], ["common_loss"], [], [], 0),
    "everything":                 ([[*range(12)]], [], ["common_loss"], ["common_loss"], 2),
}  # fmt: skip


@pytest.mark.parametrize("row", LOST.values(), ids=LOST.keys())
def test_a_common_loss_is_one_reason(play: Play, row: Loss) -> None:
    groups, feeder_0, feeder_1, link, alone = row
    lost: list[int] = []
    for group in groups:
        lost += group
        play.run(1.0, only(*lost))
    assert (play.zone("feeder 0"), play.zone("feeder 1"), play.zone("link")) == (feeder_0, feeder_1, link)
    assert play.made.state.reason_racks[codes.R_STALE] == alone
    assert [i for i in range(RACKS) if play.made.state.stale[i]] == sorted(lost)


def test_a_common_loss_stays_until_its_racks_have_been_back_for_a_while(play: Play) -> None:
    play.run(1.0, only(6, 7, 8, 9))
    # Three are still lost: it goes on, and what is lost later belongs to it.
    play.run(20.0, only(6, 7, 8))
    assert play.zone("feeder 1") == ["common_loss"]
    assert play.made.state.zone_lost[FEEDER + 1] == 3
    play.run(9.9, only(6))
    assert play.zone("feeder 1") == ["common_loss"]
    assert play.actions()[6:] == [codes.ACT_NO_RAISE] * 6
    play.run(0.2, only(6))
    assert play.zone("feeder 1") == []
    assert play.actions() == [NONE] * 6 + [codes.ACT_NO_RAISE] + [NONE] * 5
    assert play.made.state.reason_racks[codes.R_STALE] == 1


def test_racks_never_read_are_no_loss() -> None:
    play = Play(hall())
    for i in range(6, 12):
        play.made.inputs.quality[play.made.limits.power_slot[i]] = codes.NEVER
    play.run(20.0)
    assert play.zone("feeder 1") == []
    assert play.made.state.reason_racks[codes.R_NEVER_READ] == 6


def test_an_unresponsive_rack_is_held(play: Play) -> None:
    play.run(0.05, lambda w: w.inputs.rack_state.__setitem__(3, codes.UNRESPONSIVE))
    assert play.actions()[3] == codes.ACT_HOLD
    assert play.made.state.reason_racks[codes.R_UNRESPONSIVE] == 1


def test_the_table_is_in_the_order_of_its_numbers_and_says_everything() -> None:
    assert [line.reason for line in TABLE] == list(codes.Reason)[:-1]
    assert len({line.name for line in TABLE}) == len(TABLE)
    made = hall()
    for line in TABLE:
        assert line.when
        assert line.does
        assert made.limits.reason_action[line.reason] == (NONE if line.steers else line.action)
        assert made.limits.reason_clear_ns[line.reason] == round(line.clear_s * NS)
        assert made.limits.reason_latches[line.reason] == line.latches
        # A rack keeps no timers.
        assert line.scope != "rack" or (line.clear_s == 0.0 and not line.reset)
        assert line.scope in ("rack", "loop", "feeder", "feeder, link", "site", "node")
