"""What is remembered of ids: none that was accepted is taken twice, and nothing grows or takes long."""

from __future__ import annotations

import time

import pytest

from rampd.daemon import ids
from rampd.daemon.ids import KEEP_S, Ids
from rampd.daemon.messages import Stage

DAY_S = 86400.0
NOW_S = 1_800_000_000.0


def take(known: Ids, name: str, now_s: float = NOW_S, valid_s: float = 30.0) -> bool:
    """A command that was followed; False: it was refused, as there is no room."""
    if known.full(now_s):
        return False
    known.note(name, "received", now_s, now_s + valid_s)
    follow(known, name, now_s)
    return True


def stop(known: Ids, name: str, now_s: float = NOW_S) -> None:
    """A stop; nobody asks whether there is room."""
    known.note(name, "received", now_s, stop=True)
    follow(known, name, now_s)


def follow(known: Ids, name: str, now_s: float) -> None:
    for stage in ("accepted", "started", "reached"):
        known.note(name, stage, now_s)


def refuse(known: Ids, name: str, now_s: float = NOW_S, valid_s: float = DAY_S) -> None:
    """A command that came through the door and might not begin."""
    known.note(name, "received", now_s, now_s + valid_s)
    known.note(name, "rejected", now_s)


def stages(known: Ids, *names: str, now_s: float = NOW_S) -> list[str | None]:
    found = [known.find(name, now_s) for name in names]
    return [None if one is None else one.stage for one in found]


@pytest.mark.parametrize("before_s", [KEEP_S + 1, KEEP_S - 1])
def test_an_id_is_forgotten_a_day_after_its_last_stage(before_s: float) -> None:
    known = Ids()
    take(known, "a", NOW_S - before_s)
    refuse(known, "b", NOW_S - before_s)
    assert stages(known, "a", "b") == ([None, None] if before_s > KEEP_S else ["reached", "rejected"])
    known.note("a", "ended", NOW_S)
    assert stages(known, "a", now_s=NOW_S + KEEP_S - 1) == ["ended"]


def test_no_refusals_push_out_what_was_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "MOST", 3)
    monkeypatch.setattr(ids, "MOST_REFUSED", 3)
    known = Ids()
    take(known, "a")
    for k in range(100):
        refuse(known, f"junk{k}")
        known.note(f"noise{k}", "rejected", NOW_S)
    assert stages(known, "a", "junk98", "noise98", "junk99", "noise99") == [
        "reached", None, "rejected", "rejected", "rejected",
    ]  # fmt: skip


def test_at_its_bound_only_what_has_expired_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "MOST", 3)
    known = Ids()
    take(known, "long", valid_s=3600)
    for k in range(5):
        assert take(known, f"short{k}", NOW_S + 31 * k)
    assert stages(known, "long", "short2", "short3", "short4") == ["reached", None, "reached", "reached"]


@pytest.mark.parametrize("valid_s", [30.0, DAY_S])
def test_where_none_has_expired_nothing_is_accepted(monkeypatch: pytest.MonkeyPatch, valid_s: float) -> None:
    """However soon the new one would expire: its duplicate would be taken at once."""
    monkeypatch.setattr(ids, "MOST", 3)
    known = Ids()
    for name in "abc":
        assert take(known, name, valid_s=3600)
    assert not take(known, "d", valid_s=valid_s)
    assert stages(known, *"abc") == ["reached"] * 3
    assert take(known, "d", NOW_S + 3601, valid_s=valid_s)


def test_stops_push_out_nothing_and_are_never_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is ever refused to be a stop, so that its id protects nothing."""
    monkeypatch.setattr(ids, "MOST", 3)
    monkeypatch.setattr(ids, "MOST_STOPS", 3)
    known = Ids()
    for name in "abc":
        take(known, name)
    for k in range(10):
        stop(known, f"stop{k}", NOW_S + 0.1 * k)
    assert stages(known, *"abc", "stop6", "stop7", "stop9") == [*["reached"] * 3, None, "reached", "reached"]


def test_a_stop_under_a_used_id_leaves_its_protection() -> None:
    known = Ids()
    take(known, "a", valid_s=3600)
    refuse(known, "b")
    for name in "ab":
        stop(known, name)
    assert stages(known, "a", "b") == ["reached", "reached"]
    found = known.find("a", NOW_S)
    assert found is not None
    assert found.expires_s == NOW_S + 3600


def test_a_late_stage_of_what_was_forgotten_takes_nobodys_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a command that holds long after it expired."""
    monkeypatch.setattr(ids, "MOST", 3)
    known = Ids()
    for name in "abc":
        take(known, name, valid_s=3600)
    known.note("long ago", "ended", NOW_S)
    assert stages(known, *"abc", "long ago") == [*["reached"] * 3, None]
    for k in range(5):
        known.note(f"old{k}", "ended", NOW_S + 3601)
        assert take(known, f"new{k}", NOW_S + 3601 + k, valid_s=0.5)


def test_after_the_clock_was_set_back_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "MOST", 10)
    known = Ids()
    for k in range(10):
        take(known, f"a{k}", valid_s=DAY_S)
        known.note(f"a{k}", "ended", NOW_S - 3600)
    for k in range(100):
        take(known, f"b{k}", NOW_S + DAY_S + k, valid_s=1.0)
    assert sum(map(len, known._accepted)) == len(known._soonest) == 10


@pytest.mark.parametrize("stage", ["received", "rejected"])
def test_what_is_refused_of_an_accepted_id_is_no_stage_of_it(stage: Stage) -> None:
    known = Ids()
    take(known, "a")
    known.note("a", stage, NOW_S, NOW_S + DAY_S)
    assert stages(known, "a") == ["reached"]


def test_an_id_that_is_used_again_after_its_day_has_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "MOST", 3)
    known = Ids()
    for day in range(10):
        now_s = NOW_S + day * (KEEP_S + 1)
        take(known, "a", now_s)
        assert stages(known, "a", now_s=now_s) == ["reached"]
    for name in "bcd":
        take(known, name, now_s + 31, valid_s=60.0)
    assert stages(known, *"abcd", now_s=now_s) == [None, "reached", "reached", "reached"]


def test_at_its_bounds_nothing_takes_long() -> None:
    """Half refuse what comes, half make room for it. One takes some 10 us; to look through all, milliseconds."""
    known = Ids()
    for k in range(ids.MOST):
        assert take(known, f"accepted-{k:020d}", valid_s=DAY_S - k)
    count = 2 * ids.MOST_REFUSED
    began_ns = time.thread_time_ns()
    for k in range(count):
        refuse(known, f"junk-{k:020d}")
        assert take(known, f"more-{k:020d}", NOW_S + DAY_S * (k % 2), valid_s=DAY_S) == bool(k % 2)
    assert time.thread_time_ns() - began_ns < 500_000 * count
    found = stages(known, *(f"junk-{k:020d}" for k in range(count)))
    assert ids.MOST_REFUSED - 1 <= count - found.count(None) <= ids.MOST_REFUSED
