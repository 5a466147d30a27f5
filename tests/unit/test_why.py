"""Why a rack stands where it stands: every reason has words, and a hall in trouble names the right one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rampd.daemon import sitecheck, why
from rampd.daemon.closed import START_S, ClosedLoop
from rampd.daemon.why import RACK_WORDS, SITE_WORDS, Asked, Moment, Names
from rampd.ext import codes, views

SITE = Path(__file__).resolve().parents[2] / "examples" / "bench-12" / "site.toml"
BEGAN = datetime(2026, 1, 31, 16, 0, tzinfo=UTC)


def test_no_reason_lacks_words() -> None:
    assert set(SITE_WORDS) == set(codes.SiteWhy)
    assert set(RACK_WORDS) == set(codes.Why)
    texts = [*SITE_WORDS.values(), *RACK_WORDS.values()]
    assert len(set(texts)) == len(texts)


def wall(now_ns: int) -> datetime:
    return BEGAN + timedelta(seconds=now_ns / 1e9 - START_S)


def moment(loop: ClosedLoop) -> Moment:
    composed = loop.composed
    names = Names(
        [rack.id for rack in composed.racks], [one.id for one in composed.config.loops], [n.id for n in composed.nodes]
    )
    return Moment(names, loop.limits, loop.inputs, views.outputs(loop.out), wall, Asked("c-1", "ann@grid", "remote"))


def share(loop: ClosedLoop) -> None:
    loop.command(0.9e6, ramp_s=5.0)
    loop.run(20.0)


def ramping(loop: ClosedLoop) -> None:
    loop.command(0.5e6, envelope=codes.NORMAL)
    loop.run(3.0)


def full(loop: ClosedLoop) -> None:
    loop.command(1.46e6, ramp_s=5.0)
    loop.run(30.0)


def short(loop: ClosedLoop) -> None:
    share(loop)
    loop.state[-1] = codes.LOCKED
    full(loop)


def floor(loop: ClosedLoop) -> None:
    loop.command(0.0, ramp_s=5.0)
    loop.run(30.0)


def stopped(loop: ClosedLoop) -> None:
    loop.command(0.0, verb=codes.ESTOP)
    loop.run(10.0)


def locked(loop: ClosedLoop) -> None:
    loop.state[0] = codes.LOCKED
    loop.command(0.9e6, ramp_s=5.0)
    loop.run(20.0)


def dead(loop: ClosedLoop) -> None:
    loop.fleet.dead[0] = True
    loop.command(0.7e6, ramp_s=5.0)
    loop.run(20.0)


def hot(loop: ClosedLoop) -> None:
    loop.fleet.loops[loop.limits.loop[0]].pumps = 0.0
    loop.run(60.0)


@pytest.mark.parametrize(
    ("happens", "site", "rack", "site_words", "rack_words"),
    [
        (share, "reference", "share", "follows its reference 0.900 MW", "share of the site's reference 0.900 MW"),
        (ramping, "reference", None, "follows its reference", None),
        (full, "reference", "max", "follows its reference", "its own maximum of"),
        (short, "room", "max", "goes no higher than", "its own maximum of"),
        (floor, "floor", "min", "goes no lower than", "its own minimum of"),
        (stopped, "estop", "min", "until `rampd reset`", "its own minimum of"),
        (locked, "reference", "locked", "follows its reference", "locked out where it stands"),
        (dead, "reference", "unresponsive", "follows its reference", "its share went to others"),
        (hot, None, "cooling", None, "its flow carries"),
    ],
)
def test_a_hall_says_what_holds_it(
    happens: Callable[[ClosedLoop], None], site: str | None, rack: str | None, site_words: str | None,
    rack_words: str | None,
) -> None:  # fmt: skip
    loop = ClosedLoop(sitecheck.load(SITE), 1)
    loop.run(10.0)
    happens(loop)
    # The first rack is the most protected one; what is to be shared, the last ones share.
    name = loop.composed.racks[-1 if rack == "share" else 0].id
    found = moment(loop).explain(name)
    if site is not None:
        assert found["site"]["binding"] == site, found
        assert str(site_words) in found["site"]["words"]
    if rack is not None:
        assert found["rack"]["binding"] == rack, found
        assert str(rack_words) in found["rack"]["words"]
    text = "\n".join(why.lines(found))
    assert found["site"]["words"] in text
    assert f"rack {name} at " in text and " kW: " in text
    assert "command c-1 by ann@grid" in text


def test_a_node_that_others_fill_says_so() -> None:
    loop = ClosedLoop(sitecheck.load(SITE), 1)
    loop.run(10.0)
    found = moment(loop)
    names = ["main", "feeder-1", "pdu-001"]
    v = loop.limits.node[0]
    found.out.why[0] = codes.Why.WHY_NODE
    assert found.rack(0)["words"] == "the limit of an electrical node above it: pdu-001 or feeder-1 or main"
    assert names[2] == found.names.nodes[v]
    found.out.taken_w[v], found.out.taken_w[loop.limits.node_parent[v]] = 150.4e3, 0.9e3
    words = (
        "the limit of an electrical node above it: pdu-001 or feeder-1 or main; others there, or its fullest phase, "
    )
    assert found.rack(0)["words"] == words + "take 150 of 800 kW at pdu-001"


def test_the_whole_hall_by_reason() -> None:
    loop = ClosedLoop(sitecheck.load(SITE), 1)
    loop.run(10.0)
    share(loop)
    found = moment(loop).explain(None)
    assert sum(found["racks"].values()) == loop.count
    assert "by share" in why.lines(found)[-1]
    assert found["site"]["until"] == "2026-01-31T16:15:10.000Z"


def test_a_rack_that_is_not_there_is_answered_with_the_nearest() -> None:
    loop = ClosedLoop(sitecheck.load(SITE), 1)
    loop.run(1.0)
    name = loop.composed.racks[0].id
    assert moment(loop).explain(name + "x") == {"error": f"there is no rack {name + 'x'!r}; did you mean {name!r}?"}


@pytest.mark.parametrize(
    ("payload", "wanted"),
    [
        (b'{"id": "a-1"}', ("a-1", None)),
        (b'{"id": "a-1", "rack": "gpu-001"}', ("a-1", "gpu-001")),
        (b'{"id": "a-1", "rack": 7}', "rack is the id"),
        (b'{"id": "../cmd/estop"}', "with an id"),
        (b'{"id": "a/b"}', "with an id"),
        (b"{}", "with an id"),
        (b"[1]", "with an id"),
        (b"gpu-001", "Expecting value"),
        (b'{"id": "' + b"a" * 2000 + b'"}', "1024 at most"),
    ],
)
def test_a_question_is_checked(payload: bytes, wanted: Any) -> None:
    if isinstance(wanted, tuple):
        assert why.question(payload) == wanted
        return
    with pytest.raises(ValueError, match=wanted):
        why.question(payload)
