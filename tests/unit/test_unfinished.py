"""What is under way, into the journal and out of it: by names, by the wall clock, and whatever the file says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rampd.daemon import sitecheck
from rampd.daemon.journal import Journal
from rampd.daemon.site import Composed, compose
from rampd.daemon.unfinished import LEAST_W, Unfinished
from rampd.ext import codes, views
from rampd.ext.image import InputWall, OutputWall
from tests import sites

NS = 1_000_000_000
WALL_S = 1_800_000_000.0
COLUMNS = "min_on_s,min_off_s,changes_per_day"
TIMES = {"asic-007": "600,300,0", "asic-008": "0,60,24", "asic-009": "0,0,24"}
UNDER = "\n[[under]]\nhz = 59.7\ntier = 2\n"


def site(folder: Path, *, under: bool = True, leave_out: str = "") -> Composed:
    """The small example; three of its miners have minimum times or a budget of changes."""
    path = sites.site(folder)
    head, *lines = (folder / "racks.csv").read_text(encoding="utf-8").splitlines()
    lines = [f"{line},{TIMES.get(line.split(',')[0], '0,0,0')}" for line in lines if line.split(",")[0] != leave_out]
    (folder / "racks.csv").write_text("\n".join([f"{head},{COLUMNS}", *lines, ""]), encoding="utf-8")
    if under:
        path.write_text(path.read_text(encoding="utf-8") + UNDER, encoding="utf-8")
    return compose(sitecheck.load(path))


class Process:
    """One run of the daemon on a journal: `out` is what its core shows, `inputs` what its core was told."""

    def __init__(self, composed: Composed, path: Path, now_s: float = 0.0, now_ns: int = 1000 * NS) -> None:
        self.composed, self.now_s, self.now_ns = composed, WALL_S + now_s, now_ns
        self.places = {rack.id: i for i, rack in enumerate(composed.racks)}
        self.wall, self.outputs = InputWall(composed.limits), OutputWall(composed.limits)
        self.inputs, self.out = views.inputs(self.wall), views.outputs(self.outputs)
        self.out.tick = self.out.started = self.out.rests = 1
        self.journal = Journal.open(path)
        self.unfinished = Unfinished(composed, self.journal)
        self.unfinished.restore(self.inputs, self.now_s, self.now_ns)

    def rest(self, rack: str, free_s: float, worn_s: float = 0.0) -> None:
        i = self.places[rack]
        self.out.free_ns[i] = self.now_ns + round(free_s * NS)
        self.out.worn_ns[i] = self.now_ns + round(worn_s * NS)
        self.out.rests += 1

    def tick(self, seconds: float = 0.1, *, last: bool = False) -> bool:
        """Whether there is something to write then."""
        self.now_s += seconds
        self.now_ns += round(seconds * NS)
        before, self.journal.dirty = self.journal.dirty, False
        self.unfinished.tick(self.out, self.now_s, self.now_ns, last=last)
        changed = self.journal.dirty
        self.journal.dirty = before or changed
        return changed

    def told(self) -> dict[str, tuple[float, float]]:
        """Seconds that racks rest still, and until their budgets are whole."""
        found = {}
        for rack, i in self.places.items():
            times = [self.inputs.free_ns[i], self.inputs.worn_ns[i]]
            if any(times):
                found[rack] = tuple(max(0, at_ns - self.now_ns) / NS for at_ns in times)
        return found  # type: ignore[return-value]

    def emergency(self) -> tuple[int, int, int, float, float]:
        """Shedding and from which tier, returning and since how many seconds, its cap."""
        one = self.inputs
        since_s = (self.now_ns - one.return_ns) / NS if one.returning else 0.0
        return one.shedding, one.shed_tier, one.returning, round(since_s, 3), one.return_cap_w


def written(folder: Path, rest: dict[str, Any]) -> Path:
    """A journal with these things in it."""
    path = folder / "commands.json"
    path.write_text(json.dumps({"live": None, "rest": rest}), encoding="utf-8")
    return path


def test_that_regulation_has_lowered_the_purchase_is_known_until_it_is_back(tmp_path: Path) -> None:
    path = tmp_path / "commands.json"
    made = Process(site(tmp_path), path)
    steps = [  # regulating, below -> what the journal has, whether that is news
        (1, 0, False, False),
        (1, 1, True, True),
        (1, 0, True, False),
        (1, 1, True, False),
        (0, 1, True, False),
        (0, 0, False, True),
        (0, 1, True, True),
    ]
    for regulating, below, known, news in steps:
        made.out.regulating, made.out.regulated = regulating, below
        assert made.tick() == news
        assert ("regulated" in made.journal.rest) == known
    made.journal.save()
    again = Process(site(tmp_path / "b"), path)
    assert again.inputs.regulated == 1
    again.out.started = 0
    assert not again.tick()
    assert "regulated" in again.journal.rest


def test_racks_rest_on_by_their_names(tmp_path: Path) -> None:
    path = tmp_path / "commands.json"
    first = Process(site(tmp_path / "a"), path)
    first.rest("asic-007", 250.0)
    first.rest("asic-008", 30.0, 7200.0)
    assert first.tick()
    first.journal.save()
    # Elsewhere in the image, since another rack is gone; ten seconds later; the monotonic clock begins anew.
    again = Process(site(tmp_path / "b", leave_out="gpu-001"), path, now_s=10.1, now_ns=5 * NS)
    assert again.told() == {
        "asic-007": (pytest.approx(239.9, abs=0.11), 0.0),
        "asic-008": (pytest.approx(19.9, abs=0.11), pytest.approx(7189.9, abs=0.11)),
    }
    assert all(rest_s >= 19.8 for rest_s, _ in again.told().values())
    # Nothing is written that stands there already, and what is over goes with the next change.
    for rack, (free_s, worn_s) in again.told().items():
        again.rest(rack, free_s, worn_s)
    again.out.rests = 1
    again.tick()
    again.tick(1000.0)
    again.rest("asic-009", 0.0, 100.0)
    assert again.tick()
    assert sorted(again.journal.rest["rests"]) == ["asic-008", "asic-009"]


def test_changes_are_noted_once_a_second_and_at_the_end(tmp_path: Path) -> None:
    made = Process(site(tmp_path), tmp_path / "commands.json")
    assert not made.tick()
    noted = []
    for tenth in range(40):
        made.rest("asic-007", 300.0 - tenth)
        noted.append(made.tick())
    assert sum(noted) == 4
    made.rest("asic-008", 60.0)
    assert not made.tick()
    assert made.tick(last=True)
    # Without a change nothing is, however long.
    assert not any(made.tick(5.0) for _ in range(10))


SET = {
    # the wall clock at the start, seconds after the note -> seconds that a rack rests with 250 left
    "an hour back":      (-3600.0, 600.0),
    "a year back":       (-3e7, 600.0),
    "a minute back":     (-60.0, 310.0),
    "right":             (60.0, 190.0),
    "an hour forth":     (3600.0, None),
    "a century forth":   (3e9, None),
}  # fmt: skip


@pytest.mark.parametrize(("now_s", "left_s"), SET.values(), ids=SET.keys())
def test_a_wall_clock_that_was_set_bars_no_rack_for_longer_than_its_times(
    tmp_path: Path, now_s: float, left_s: float | None
) -> None:
    first = Process(site(tmp_path), tmp_path / "commands.json")
    first.rest("asic-007", 250.1)
    first.tick()
    first.journal.save()
    again = Process(first.composed, tmp_path / "commands.json", now_s=now_s + 0.1)
    assert again.told().get("asic-007", (None, 0.0))[0] == (None if left_s is None else pytest.approx(left_s, abs=0.2))


def test_a_clock_that_is_set_while_rampd_runs_changes_nothing(tmp_path: Path) -> None:
    first = Process(site(tmp_path), tmp_path / "commands.json")
    first.rest("asic-007", 250.0)
    first.out.returning, first.out.return_ns, first.out.return_cap_w = 1, first.now_ns - 100 * NS, 5e5
    first.tick()
    first.now_s += 7200.0
    assert [first.tick() for _ in range(11)].count(True) >= 1
    assert not first.tick(60.0)
    first.journal.save()
    again = Process(first.composed, tmp_path / "commands.json", now_s=7200.0 + 61.2)
    assert again.told()["asic-007"][0] == pytest.approx(188.8, abs=0.2)
    assert again.emergency()[3] == pytest.approx(161.2, abs=0.2)


EMERGENCIES = {
    # shedding, from which tier of the image, returning and since when, a stop -> told ten seconds later
    "a shed":                ((1, 1, 0, 0.0, False), (1, 1, 0, 0.0, 9e5)),
    "a shed of no tier":     ((1, 2, 0, 0.0, False), (1, 2, 0, 0.0, 9e5)),
    "a return":              ((0, 1, 1, 100.0, False), (0, 0, 1, 110.0, 9e5)),
    "a shed in a return":    ((1, 0, 1, 100.0, False), (1, 0, 1, 110.0, 9e5)),
    "a return that is over": ((0, 0, 1, 3595.0, False), (0, 0, 0, 0.0, 9e5)),
    "a stop":                ((0, 0, 0, 0.0, True), (0, 0, 0, 0.0, 9e5)),
    "nothing":               ((0, 1, 0, 0.0, False), (0, 0, 0, 0.0, 0.0)),
}  # fmt: skip


@pytest.mark.parametrize(("shown", "told"), EMERGENCIES.values(), ids=EMERGENCIES.keys())
def test_an_emergency_is_known_after_a_restart(
    tmp_path: Path, shown: tuple[int, int, int, float, bool], told: tuple[int, int, int, float, float]
) -> None:
    first = Process(site(tmp_path), tmp_path / "commands.json")
    out = first.out
    out.shedding, out.shed_tier, out.returning, since_s, stopped = shown
    out.return_ns, out.return_cap_w = first.now_ns - round(since_s * NS), 9e5
    out.verb = codes.ESTOP if stopped else codes.STAND
    assert first.tick(0.0) == (told[4] > 0.0)
    first.journal.save()
    again = Process(first.composed, tmp_path / "commands.json", now_s=10.0, now_ns=3 * NS)
    assert again.emergency() == pytest.approx(told, abs=0.11)
    # Over: the journal forgets it.
    again.out.verb = codes.STAND
    assert again.tick() == (told[4] > 0.0)
    assert "emergency" not in again.journal.rest


def test_until_the_meter_is_read_the_emergency_stands_as_it_did(tmp_path: Path) -> None:
    path = written(tmp_path, {"emergency": {"cap_w": 9e5, "shed_from_tier": None, "returning_since": None}})
    made = Process(site(tmp_path), path)
    made.out.started = 0
    assert not made.tick()
    assert made.journal.rest["emergency"]["cap_w"] == 9e5


def test_a_shed_goes_by_the_number_of_the_tier(tmp_path: Path) -> None:
    path = written(tmp_path, {"emergency": {"cap_w": 9e5, "shed_from_tier": 2, "returning_since": None}})
    composed = site(tmp_path / "a")
    tiers = sorted({rack.tier for rack in composed.racks})
    assert Process(composed, path).emergency()[:2] == (1, tiers.index(2))


def test_without_steps_what_was_shed_comes_back_as_after_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path, {"emergency": {"cap_w": 9e5, "shed_from_tier": 2, "returning_since": None}})
    made = Process(site(tmp_path, under=False), path)
    assert made.emergency() == (0, 0, 1, 0.0, 9e5)
    assert len(caplog.messages) == 1


WRONG: list[Any] = [None, True, 7, -1.5, "text", "", [], [1], {}, {"a": 1}, [[]], "not a finite number"]
DOUBTED = {"asic-007": (600.0, 0.0), "asic-008": (60.0, 0.0)}


@pytest.mark.parametrize("wrong", [one for one in WRONG if one != {} and not isinstance(one, dict)], ids=repr)
def test_rests_of_the_wrong_kind_count_as_if_all_had_just_changed(
    tmp_path: Path, wrong: Any, caplog: pytest.LogCaptureFixture
) -> None:
    made = Process(site(tmp_path), written(tmp_path, {"rests": wrong}))
    assert made.told() == DOUBTED
    assert [record.levelname for record in caplog.records] == ["ERROR"]


PAIRS: list[Any] = [[1, 2, 3], [None, 1], [1, None], ["1", 2], [True, 1], {"a": 1, "b": 2}]


@pytest.mark.parametrize("wrong", [*WRONG, *PAIRS], ids=repr)
def test_times_of_the_wrong_kind_count_as_if_the_rack_had_just_changed(
    tmp_path: Path, wrong: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rests = {"asic-007": wrong, "asic-008": [WALL_S + 20.0, WALL_S + 90.0], "gpu-001": wrong, "asic-009": wrong}
    made = Process(site(tmp_path), written(tmp_path, {"rests": rests}))
    assert made.told() == {"asic-007": (600.0, 0.0), "asic-008": (20.0, 90.0)}
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_a_budget_that_cannot_be_read_is_whole_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = Process(site(tmp_path), written(tmp_path, {"rests": {"asic-009": "spent"}}))
    assert made.told() == {}
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_no_number_bars_a_rack_for_longer_than_its_times(tmp_path: Path) -> None:
    most = [1e300, 1e300]
    rests = {"asic-007": most, "asic-008": [1e17, 10**17], "asic-009": [-1e300, 1e300], "gpu-001": most}
    made = Process(site(tmp_path), written(tmp_path, {"rests": rests}))
    day_s = 86400.0
    assert made.told() == {"asic-007": (600.0, 0.0), "asic-008": (3600.0, day_s), "asic-009": (0.0, day_s)}


def test_racks_that_are_gone_are_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = Process(site(tmp_path), written(tmp_path, {"rests": {"asic-999": [WALL_S + 9.0, 0.0]}}))
    assert made.told() == {}
    assert [message.split(" ")[0] for message in caplog.messages] == ["asic-999"]


GOOD = {"cap_w": 9e5, "shed_from_tier": 2, "returning_since": WALL_S - 5.0}


@pytest.mark.parametrize(
    "wrong",
    [
        *[one for one in WRONG if one is not None],
        *[GOOD | {name: one} for name in GOOD for one in (True, "text", [], {}, "not a finite number")],
        *[{name: GOOD[name] for name in GOOD if name != left_out} for left_out in GOOD],
        GOOD | {"cap_w": None},
    ],
    ids=repr,
)
def test_an_emergency_of_the_wrong_kind_is_a_return_that_leads_nowhere(
    tmp_path: Path, wrong: Any, caplog: pytest.LogCaptureFixture
) -> None:
    made = Process(site(tmp_path), written(tmp_path, {"emergency": wrong}))
    assert made.emergency() == (0, 0, 1, 0.0, LEAST_W)
    assert [record.levelname for record in caplog.records] == ["ERROR"]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("returning_since", WALL_S + 1e9, (1, 1, 1, 0.0, 9e5)),
        ("returning_since", -1e300, (1, 1, 0, 0.0, 9e5)),
        ("cap_w", -5e5, (1, 1, 1, 5.0, LEAST_W)),
        ("shed_from_tier", 1e300, (1, 2, 1, 5.0, 9e5)),
        ("shed_from_tier", -3, (1, 0, 1, 5.0, 9e5)),
    ],
)
def test_no_number_in_an_emergency_holds_for_longer_than_a_return(
    tmp_path: Path, name: str, value: float, told: tuple[int, int, int, float, float]
) -> None:
    made = Process(site(tmp_path), written(tmp_path, {"emergency": GOOD | {name: value}}))
    assert made.emergency() == pytest.approx(told)


@pytest.mark.parametrize("text", ["", "{", '{"live": 1, "rest": {}}', '{"live": null}', "\x00"], ids=repr)
def test_where_the_journal_cannot_be_read_racks_rest_as_if_they_had_just_changed(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "commands.json"
    path.write_text(text, encoding="utf-8")
    made = Process(site(tmp_path), path)
    assert made.told() == DOUBTED
    assert [record.name for record in caplog.records] == ["rampd.journal", "rampd.unfinished"]
    # What they rest by then is kept before there is a meter: another start finds it.
    made.out.started = 0
    for rack, (free_s, worn_s) in made.told().items():
        made.rest(rack, free_s, worn_s)
    assert made.tick()
    assert sorted(made.journal.rest["rests"]) == sorted(DOUBTED)


def test_without_a_journal_nothing_rests(tmp_path: Path) -> None:
    made = Process(site(tmp_path), tmp_path / "commands.json")
    assert (made.told(), made.emergency()) == ({}, (0, 0, 0, 0.0, 0.0))


def shows(one: Process, node: str, other_w: float, phase_w: float = 0.0) -> None:
    v = [made.id for made in one.composed.nodes].index(node)
    one.out.learnt_w[v], one.out.phase_w[v] = other_w, phase_w


def told(one: Process) -> dict[str, tuple[float, float]]:
    pairs = [(one.inputs.learnt_w[v], one.inputs.phase_w[v]) for v in range(len(one.composed.nodes))]
    return {node.id: pair for node, pair in zip(one.composed.nodes, pairs, strict=True) if any(pair)}


def test_what_others_draw_at_a_node_is_told_to_the_next_core(tmp_path: Path) -> None:
    composed = site(tmp_path / "site")
    one = Process(composed, tmp_path / "journal.json")
    shows(one, "pdu-001", 120e3, 8e3)
    assert one.tick()
    # Not for every watt, and not every second.
    shows(one, "pdu-001", 127e3, 8e3)
    assert not one.tick(11.0)
    shows(one, "pdu-001", 140e3, 8e3)
    assert one.tick(11.0)
    shows(one, "pdu-001", 200e3, 8e3)
    assert not one.tick(5.0)
    assert one.tick(last=True)
    one.journal.save()
    assert told(Process(composed, tmp_path / "journal.json")) == {"pdu-001": (200e3, 8e3)}


@pytest.mark.parametrize(
    ("kept", "wanted"),
    [
        ({"pdu-001": [1e9, 1e9]}, {"pdu-001": (2e6, 640e3)}),
        ({"pdu-001": [-5.0, 3.0]}, {"pdu-001": (0.0, 3.0)}),
        ({"pdu-001": [1.0]}, {}),
        ({"pdu-001": [None, 3.0], "pdu-002": [7.0, 0.0]}, {"pdu-002": (7.0, 0.0)}),
        ({"main": [5.0, 5.0], "gone": [5.0, 5.0]}, {}),
        ([1, 2], {}),
        ("pdu-001", {}),
    ],
)
def test_what_others_drew_is_taken_as_far_as_it_can_be(tmp_path: Path, kept: Any, wanted: Any) -> None:
    path = tmp_path / "journal.json"
    path.write_text(json.dumps({"live": None, "rest": {"others": kept}}), encoding="utf-8")
    assert told(Process(site(tmp_path / "site"), path)) == wanted
