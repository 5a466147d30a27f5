"""Coverage-guided fuzzing with atheris: `make fuzz`. usage: run.py feed|plan|map [libFuzzer options]

feed   any bytes into an RTU stream and its link: nothing escapes, nothing but a right answer is a value
plan   any registers and limits: every value in one request, requests within the limits, halves down to single values
map    any text as a device map: it is a map, or one MapError says why not
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["rampd.drivers"]):
    from rampd.drivers import maps
    from rampd.drivers.plan import halves, plan
    from rampd.drivers.register import Encoding, Register
    from rampd.drivers.rtu import READS
    from tests.property import test_feeds


def feed(data: bytes) -> None:
    for rtu in (False, True):
        rig = test_feeds.Rig(rtu=rtu)
        at = 0
        while at < len(data):
            size = 1 + data[at] % 64
            rig.feed(data[at + 1 : at + 1 + size])
            at += 1 + size
            rig.settle()
        counts = rig.link.counters()
        assert rig.untouched or counts["read", "ok"] > 0
        assert min(counts.values()) >= 0


def planned(data: bytes) -> None:
    source = atheris.FuzzedDataProvider(data)
    wanted = [
        Register(
            f"v{n}", source.ConsumeIntInRange(0, 65000), source.PickValueInList(list(Encoding)),
            function=source.PickValueInList(list(READS)), slow=source.ConsumeBool(),
            factor_at=source.ConsumeIntInRange(0, 65000) if source.ConsumeBool() else None,
        )
        for n in range(source.ConsumeIntInRange(0, 30))
    ]  # fmt: skip
    most = source.ConsumeIntInRange(1, 125)
    walls = source.ConsumeIntListInRange(4, 0, 65000)
    try:
        reads = plan(wanted, max_regs=most, max_gap=source.ConsumeIntInRange(0, 124), barriers=walls)
    except ValueError as error:
        assert "the device answers" in str(error)
        return
    assert sorted(r.name for read in reads for r in read.registers) == sorted(r.name for r in wanted)
    for read in reads:
        assert 1 <= read.count <= most
        if len(read.registers) > 1:
            assert sum(len(half.registers) for half in halves(read)) == len(read.registers)


def mapped(data: bytes) -> None:
    try:
        maps.parse(data.decode("utf-8", "ignore"), "fuzz").reads()
    except maps.MapError as error:
        assert str(error).startswith("fuzz:")


if __name__ == "__main__":
    target = {"feed": feed, "plan": planned, "map": mapped}[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
