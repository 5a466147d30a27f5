"""Coverage-guided fuzzing with atheris: `make fuzz`. usage: run.py feed|plan|map|list|answer [libFuzzer options]

feed   any bytes into an RTU stream and its link: nothing escapes, nothing but a right answer is a value
plan   any registers and limits: every value in one request, requests within the limits, halves down to single values
map    any text as a device map: it is a map that can be planned and decoded, or one MapError says why not
list   any register list, of any format or forced into one: a draft that is TOML, or a MapError
answer any register and any answer: nothing is good outside its range, nothing escapes
"""

from __future__ import annotations

import struct
import sys
from typing import Final

import atheris

with atheris.instrument_imports(include=["rampd.drivers"]):
    from rampd.drivers import maps
    from rampd.drivers.device import field_spec
    from rampd.drivers.importers import lists
    from rampd.drivers.maphead import MapError
    from rampd.drivers.maps import DeviceMap
    from rampd.drivers.plan import halves, plan
    from rampd.drivers.register import Encoding, Register, RegisterError, Text, WordOrder, decode, encode
    from rampd.drivers.rtu import READS
    from tests.property import test_feeds
    from tests.property.test_maps import use

from rampd.ext import views
from rampd.ext.codes import GOOD
from rampd.ext.decode import Decoder
from tests.field import image


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
    """A map file of any bytes: taken and usable, or a MapError that names the file."""
    try:
        device_map = maps.parse(data.decode("utf-8", "replace"), "m")
    except MapError as error:
        assert str(error).startswith("m: ")
        return
    if isinstance(device_map, DeviceMap):
        use(device_map)


def listed(data: bytes) -> None:
    """A register list in any format, or forced into one: a draft that is TOML, or a MapError."""
    if not data:
        return
    form = ("", *lists.FORMATS)[data[0] % (len(lists.FORMATS) + 1)]
    try:
        found = lists.read(data[1:].decode("utf-8", "replace"), "list", form=form)
    except MapError as error:
        assert str(error).startswith("list")
        return
    if isinstance(found.map, DeviceMap):
        use(found.map)
    assert found.map is not None or found.open


def answered(data: bytes) -> None:
    """Any register and any answer: no exception, and nothing good outside its range; what is encoded decodes."""
    if len(data) < 36:
        return
    source = atheris.FuzzedDataProvider(data)
    kind = Encoding(source.ConsumeIntInRange(0, 7))
    low, high = sorted((source.ConsumeRegularFloat(), source.ConsumeRegularFloat()))
    register = Register(
        "x_w", 1, kind, order=WordOrder(source.ConsumeIntInRange(0, 3)), scale=source.ConsumeRegularFloat() or 1.0,
        offset=source.ConsumeRegularFloat(), low=low, high=high, factor_at=0 if source.ConsumeBool() else None,
        sentinels=(source.ConsumeUInt(2),),
        mask=source.ConsumeUInt(2) if kind in (Encoding.U16, Encoding.U32, Encoding.U64) else 0,
    )  # fmt: skip
    answer = source.ConsumeBytes(10).ljust(10, b"\0")
    wall = image(1)
    inputs = views.inputs(wall)
    Decoder([field_spec(register, 0, 0)], 5).decode(answer, wall, 1)
    assert inputs.quality[0] != GOOD or low <= inputs.value[0] <= high
    Text("x", 0, 5, swapped=source.ConsumeBool()).decode(answer)
    (exponent,) = struct.unpack(">h", answer[:2])
    try:
        wire = encode(register, source.ConsumeFloat(), exponent % 21 - 10)
    except RegisterError:
        return
    decode(register, wire, exponent % 21 - 10)


TARGETS: Final = {"feed": feed, "plan": planned, "map": mapped, "list": listed, "answer": answered}


if __name__ == "__main__":
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
