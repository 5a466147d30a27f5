"""Racks in hand, as the operator asks for them: where they are led, what ends that, and what a restart knows."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rampd.daemon.site import Composed
from rampd.ext import codes, views
from tests.office import Clock, Office, kept

WHO = "operator:ann"


class Actuators:
    """Notes what it is told; racks show at once what they are given."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.told: list[tuple[int, float | None]] = []
        self.written = True

    def take(self, i: int, limit_w: float) -> None:
        self.told.append((i, None if math.isnan(limit_w) else limit_w))
        self.office.inputs.rack_state[i] = codes.MANUAL
        if not math.isnan(limit_w):
            self.office.out.setpoint_w[i] = limit_w

    def give_back(self, i: int) -> None:
        self.told.append((i, -1.0))
        self.office.inputs.rack_state[i] = codes.AVAILABLE

    def writable(self, i: int) -> bool:
        return self.written


def equip(office: Office) -> Actuators:
    """Actuators for an office whose racks all stand at 80 kW: two GPU racks of 40 to 132 kW, two of miners."""
    limits = views.limits(office.desk.composed.limits)
    for i in range(limits.site.racks):
        office.out.setpoint_w[i] = office.inputs.value[limits.power_slot[i]] = 80e3
    office.out.goal_w = office.out.reference_w = office.out.most_w = 340e3
    meter(office, 340e3)
    made = Actuators(office)
    office.desk.hands.actuators = made
    return made


def meter(office: Office, power_w: float, quality: int = codes.GOOD) -> None:
    """What the site meter shows; the import limit is 519 kW."""
    slot = office.desk.hands.limits.site.power_slot
    office.inputs.value[slot], office.inputs.quality[slot] = power_w, quality


def place(office: Office, rack: str) -> int:
    return [one.id for one in office.desk.composed.racks].index(rack)


def use(office: Office, rack: str = "gpu-001", **fields: Any) -> str:
    return office.send(f"rack/{rack}", **({"who": WHO} | fields))


def test_a_rack_is_led_to_the_operators_set_point_and_back(office: Office) -> None:
    hall = equip(office)
    i = place(office, "gpu-001")
    command = use(office, use="setpoint", power_w=50e3, lease_s=60)
    assert hall.told == [(i, None)], "in hand before anything moves"
    office.tick()
    assert hall.told == [(i, None), (i, 50e3)]
    assert office.stages(command) == ["received", "accepted", "reached"]
    back = use(office, use="auto")
    assert hall.told[-1] == (i, -1.0)
    assert office.last(command) == ("ended", "given_back")
    assert office.last(back) == ("reached", "ok")
    assert office.inputs.rack_state[i] == codes.AVAILABLE


def test_the_end_of_its_lease_gives_it_back(office: Office) -> None:
    hall = equip(office)
    command = use(office, use="setpoint", power_w=50e3, lease_s=10)
    office.run(9.8)
    assert office.stages(command)[-1] == "reached"
    office.run(0.4)
    assert office.last(command) == ("ended", "lease_ended")
    assert hall.told[-1][1] == -1.0


def test_hands_off_lasts_until_it_is_given_back(office: Office) -> None:
    hall = equip(office)
    command = use(office, use="hands_off")
    office.run(20)
    office.clock.now_s, office.clock.wall_s = office.clock.now_s + 1e6, office.clock.wall_s + 1e6
    office.out.action[place(office, "gpu-001")] = codes.ACT_TRIP
    office.run(1)
    assert office.stages(command) == ["received", "accepted", "reached"]
    assert [limit for _, limit in hall.told] == [None]


RISE = {
    # what stands in the way -> when it is gone
    "its cooling": lambda o, i: o.out.action.__setitem__(i, codes.ACT_NO_RAISE),
    "the meter": lambda o, _: setattr(o.out, "meter_good", 0),
    "its own reading": lambda o, i: o.out.stale.__setitem__(i, 1),
    "a fault of the grid": lambda o, _: setattr(o.out, "site_why", codes.SITE_FAULT),
    "no room above": lambda o, i: room(o, i, 120e3 + 1.0),
    "others on its feeder": lambda o, i: others(o, i, 1.0),
    "the import limit": lambda o, _: meter(o, 519e3 - 40e3),
}


def room(office: Office, i: int, power_w: float) -> None:
    """The racks beside draw so much that this one has less than that left."""
    limits = views.limits(office.desk.composed.limits)
    for j in range(limits.site.racks):
        if j != i and limits.node[j] == limits.node[i]:
            office.out.setpoint_w[j] = limits.node_w[limits.node[i]] - power_w + 2.0


def others(office: Office, i: int, part: float) -> None:
    """They take this part of the limit of the node that the rack hangs on."""
    limits = views.limits(office.desk.composed.limits)
    office.out.taken_w[limits.node[i]] = part * limits.node_w[limits.node[i]]


@pytest.mark.parametrize("obstacle", RISE)
def test_a_rise_waits_for_what_any_rise_waits_for(office: Office, obstacle: str) -> None:
    hall = equip(office)
    i = place(office, "gpu-001")
    RISE[obstacle](office, i)
    command = use(office, use="setpoint", power_w=120e3)
    office.run(5)
    assert all(limit is None or limit <= 80e3 for _, limit in hall.told), hall.told
    office.out.action[i] = office.out.stale[i] = 0
    office.out.meter_good, office.out.site_why = 1, codes.SITE_REFERENCE
    meter(office, 340e3)
    others(office, i, 0.0)
    for j in range(4):
        office.out.setpoint_w[j] = min(office.out.setpoint_w[j], 80e3)
    office.run(0.5)
    assert hall.told[-1] == (i, 120e3)
    assert office.last(command) == ("reached", "ok")


IMPORT = {
    # purchase, where the core is led, what the hall can get to at most, what a rack beside was given and draws
    # -> whether 40 kW more, 40.6 kW with losses, may be purchased at a limit of 519 kW
    "room for it":               (478, 478, 478, 80, 80, True),
    "the meter leaves too much": (479, 340, 340, 80, 80, False),
    "above it already":          (560, 340, 340, 80, 80, False),
    "the core is led there":     (340, 479, 496, 80, 80, False),
    "but cannot get there":      (340, 519, 478, 80, 80, True),
    "another is on its way":     (440, 440, 440, 120, 80, False),
    "another has arrived":       (478, 478, 478, 120, 120, True),
    "another falls":             (478, 478, 478, 50, 80, True),
    "falling makes no room yet": (479, 478, 478, 50, 80, False),
    "the meter shows no number": (math.nan, 340, 340, 80, 80, False),
}  # fmt: skip


@pytest.mark.parametrize("row", IMPORT.values(), ids=IMPORT.keys())
def test_a_rise_keeps_the_import_limit(office: Office, row: tuple[float, float, float, float, float, bool]) -> None:
    power_kw, goal_kw, most_kw, given_kw, drawn_kw, expected = row
    hall = equip(office)
    office.out.most_w = 500e3
    i, beside = place(office, "gpu-001"), place(office, "gpu-002")
    if given_kw != 80:
        use(office, "gpu-002", use="setpoint", power_w=given_kw * 1e3)
        office.tick()
    office.out.goal_w, office.out.most_w = goal_kw * 1e3, most_kw * 1e3
    office.inputs.value[office.desk.hands.limits.power_slot[beside]] = drawn_kw * 1e3
    meter(office, power_kw * 1e3)
    # What it draws has come to the meter by then, and its rise has had the time of the ramp.
    office.run(20)
    use(office, use="setpoint", power_w=120e3)
    office.run(5)
    assert ((i, 120e3) in hall.told) is expected


PACE = {
    # envelope, returning, MW/min of the return -> s that the second rise by 40 kW, 40.6 with losses, waits
    "normal":               (codes.NORMAL, 0, 0.1, 60 * 40.6 / 198),
    "dispatched":           (codes.DISPATCHED, 0, 0.1, 40.6 / 149),
    "on the way back":      (codes.NORMAL, 1, 0.1, 60 * 40.6 / 100),
    "a faster way back":    (codes.NORMAL, 1, 2.0, 60 * 40.6 / 198),
}  # fmt: skip


@pytest.mark.parametrize("row", PACE.values(), ids=PACE.keys())
def test_a_rise_waits_for_the_ramp_of_the_one_before_it(
    office: Office, monkeypatch: pytest.MonkeyPatch, row: tuple[int, int, float, float]
) -> None:
    envelope, returning, restore_mw, waits_s = row
    hall = equip(office)
    monkeypatch.setattr(office.desk.hands.limits.site, "return_up", restore_mw * 1e6 / 60)
    office.out.envelope, office.out.returning = envelope, returning
    for rack in ("gpu-001", "gpu-002"):
        use(office, rack, use="setpoint", power_w=120e3)
    begin_s = office.clock.now_s
    office.tick()
    assert [i for i, limit_w in hall.told if limit_w == 120e3] == [place(office, "gpu-001")]
    while len([limit_w for _, limit_w in hall.told if limit_w == 120e3]) < 2:
        office.tick()
        assert office.clock.now_s < begin_s + 60.0
    assert office.clock.now_s - begin_s == pytest.approx(waits_s, abs=0.25)


def test_one_that_does_not_take_its_rise_keeps_nobody_waiting(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its set point is replaced while it still shows what it had; the other rise has its turn all the same."""
    hall = equip(office)
    first, second = place(office, "gpu-001"), place(office, "gpu-002")
    take = hall.take

    def refuses(i: int, limit_w: float) -> None:
        take(i, limit_w)
        office.out.setpoint_w[first] = 80e3

    monkeypatch.setattr(hall, "take", refuses)
    use(office, use="setpoint", power_w=110e3)
    office.tick()
    assert (first, 110e3) in hall.told
    use(office, use="setpoint", power_w=120e3)
    use(office, "gpu-002", use="setpoint", power_w=120e3)
    office.run(60)
    assert (second, 120e3) in hall.told


def test_a_fall_waits_for_no_ramp(office: Office) -> None:
    hall = equip(office)
    for rack, power_w in (("gpu-001", 120e3), ("gpu-002", 50e3)):
        use(office, rack, use="setpoint", power_w=power_w)
    office.tick()
    assert [limit_w for _, limit_w in hall.told if limit_w is not None] == [120e3, 50e3]


def test_a_meter_that_cannot_be_read_bars_a_rise(office: Office) -> None:
    """Before the core has judged it."""
    hall = equip(office)
    meter(office, 340e3, codes.REFUSED)
    use(office, use="setpoint", power_w=120e3)
    office.tick()
    assert (place(office, "gpu-001"), 120e3) not in hall.told


@pytest.mark.parametrize("power_kw", [519, 600, math.nan])
def test_a_rack_is_lowered_whatever_is_purchased(office: Office, power_kw: float) -> None:
    hall = equip(office)
    meter(office, power_kw * 1e3)
    office.out.goal_w = office.out.most_w = 519e3
    command = use(office, use="setpoint", power_w=50e3)
    office.tick()
    assert hall.told[-1] == (place(office, "gpu-001"), 50e3)
    assert office.last(command) == ("reached", "ok")


def test_what_a_rack_draws_already_may_not_have_come_to_the_meter(office: Office) -> None:
    """A rise of 40 kW that the meter would leave room for follows another that its rack has just shown."""
    hall = equip(office)
    beside = place(office, "gpu-002")
    meter(office, 519e3 - 60e3)
    use(office, "gpu-002", use="setpoint", power_w=120e3)
    office.run(10)
    use(office, use="setpoint", power_w=120e3)
    office.inputs.value[office.desk.hands.limits.power_slot[beside]] = 120e3
    office.run(1.9)
    assert (place(office, "gpu-001"), 120e3) not in hall.told
    office.run(2.3)
    assert (place(office, "gpu-001"), 120e3) in hall.told


def test_two_rises_at_once_share_the_room(office: Office) -> None:
    hall = equip(office)
    meter(office, 519e3 - 60e3)
    use(office, use="setpoint", power_w=120e3)
    use(office, "gpu-002", use="setpoint", power_w=120e3)
    office.run(5)
    assert [limit for _, limit in hall.told].count(120e3) == 1


@pytest.mark.parametrize("action", [codes.ACT_DERATE, codes.ACT_SAFE, codes.ACT_SHED])
def test_safety_takes_it_back(office: Office, action: int) -> None:
    hall = equip(office)
    i = place(office, "gpu-001")
    command = use(office, use="setpoint", power_w=120e3)
    office.tick()
    office.out.action[i] = action
    office.tick()
    assert office.last(command) == ("ended", "failsafe")
    assert hall.told[-1] == (i, -1.0)


def test_a_stop_takes_it_back_but_not_what_is_not_to_be_touched(office: Office) -> None:
    hall = equip(office)
    use(office, use="setpoint", power_w=120e3)
    use(office, "gpu-002", use="hands_off")
    office.tick()
    office.send("estop")
    office.run(0.3)
    assert hall.told[-1] == (place(office, "gpu-001"), -1.0)
    assert set(office.desk.hands.uses) == {place(office, "gpu-002")}
    assert office.last(use(office, use="setpoint", power_w=50e3)) == ("rejected", "estop")


def test_one_use_replaces_another_without_a_gap(office: Office) -> None:
    hall = equip(office)
    first = use(office, use="setpoint", power_w=60e3)
    office.tick()
    second = use(office, use="setpoint", power_w=50e3)
    assert office.last(first) == ("ended", "replaced")
    office.tick()
    assert [limit for _, limit in hall.told] == [None, 60e3, 60e3, 50e3]
    assert office.last(second) == ("reached", "ok")


@pytest.mark.parametrize(
    ("rack", "fields", "code"),
    [
        ("gpu-009", {"use": "hands_off"}, "unknown"),
        ("gpu-001", {"use": "auto"}, "nothing"),
        ("gpu-001", {"use": "setpoint", "power_w": 39e3}, "limit"),
        ("gpu-001", {"use": "setpoint", "power_w": 133e3}, "limit"),
        ("gpu-001", {"use": "setpoint", "power_w": 0}, "limit"),
        ("gpu-001", {"use": "setpoint", "power_w": 50e3, "lease_s": 1e5}, "lease"),
        ("gpu-001", {"use": "setpoint", "power_w": 50e3, "who": "iso"}, "authority"),
        ("gpu-001", {"use": "hands_off", "retained": True}, "retained"),
        ("gpu-001", {"use": "setpoint"}, "malformed"),
        ("gpu-001", {"use": "hands_off", "power_w": 50e3}, "malformed"),
        ("gpu-001", {"use": "hands_off", "lease_s": 5}, "malformed"),
        ("gpu-001", {"use": "off"}, "malformed"),
        ("gpu-001/x", {"use": "hands_off"}, "unsupported"),
    ],
)
def test_refused(office: Office, rack: str, fields: dict[str, Any], code: str) -> None:
    hall = equip(office)
    assert office.last(use(office, rack, **fields)) == ("rejected", code)
    office.tick()
    assert (hall.told, office.desk.hands.uses) == ([], {})


def test_a_rack_that_is_only_read(office: Office) -> None:
    equip(office).written = False
    assert office.last(use(office, use="setpoint", power_w=50e3)) == ("rejected", "limit")
    assert office.last(use(office, use="hands_off")) == ("accepted", "ok")


# Over a restart.


def test_a_restart_knows_what_is_in_hand(office: Office, composed: Composed, clock: Clock) -> None:
    equip(office)
    held = use(office, use="setpoint", power_w=50e3, lease_s=60, reply_to="over/there")
    use(office, "gpu-002", use="hands_off")
    office.tick()
    restarted = kept(office)(composed, clock)
    hall = equip(restarted)
    restarted.tick()
    assert hall.told == [(place(office, "gpu-001"), 50e3)], "where it is, or lower"
    assert restarted.last(use(restarted, id=held, use="auto")) == ("rejected", "repeated")
    restarted.run(61)
    assert ("over/there", "ended") in {(r.topic, r.payload["stage"]) for r in restarted.said}
    assert set(restarted.desk.hands.uses) == {place(office, "gpu-002")}


@pytest.mark.parametrize(
    "wrong", [7, {}, {"id": "a", "limit_w": 9e9, "who": "", "until": 2e9, "topic": None}, {"id": "a", "limit_w": "x"}]
)
def test_what_cannot_be_read_is_not_touched(
    office: Office, composed: Composed, clock: Clock, wrong: Any, caplog: pytest.LogCaptureFixture
) -> None:
    office.desk.journal.stand(racks={"gpu-001": wrong, "gone": wrong})
    restarted = kept(office)(composed, clock)
    (found,) = restarted.desk.hands.uses.values()
    assert (found.rack, math.isnan(found.limit_w)) == ("gpu-001", True)
    assert "hands off" in caplog.text
    assert "no rack of this site" in caplog.text
    assert restarted.last(use(restarted, use="auto")) == ("reached", "ok")
