"""Coverage-guided fuzzing of what reads foreign bytes: `python -m tests.fuzz.targets NAME [OPTIONS] [CORPUS]`.

A target raises on anything but the one error that its subject may give.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from typing import Final

import atheris

with atheris.instrument_imports(include=["rampd.drivers"]):
    from rampd.drivers import importers, maps
    from rampd.drivers.device import field_spec
    from rampd.drivers.maphead import MapError
    from rampd.drivers.maps import DeviceMap
    from rampd.drivers.register import Encoding, Register, RegisterError, Text, WordOrder, decode, encode

from rampd.ext import views
from rampd.ext.codes import GOOD
from rampd.ext.decode import Decoder
from tests.field import image
from tests.property.test_maps import use


def one_map(data: bytes) -> None:
    """A map file of any bytes: taken and usable, or a MapError that names the file."""
    try:
        device_map = maps.parse(data.decode("utf-8", "replace"), "m")
    except MapError as error:
        assert str(error).startswith("m: ")
        return
    if isinstance(device_map, DeviceMap):
        use(device_map)


def one_list(data: bytes) -> None:
    """A register list in any format, or forced into one: a draft that is TOML, or a MapError."""
    if not data:
        return
    form = ("", *importers.FORMATS)[data[0] % (len(importers.FORMATS) + 1)]
    try:
        found = importers.read(data[1:].decode("utf-8", "replace"), "list", form=form)
    except MapError as error:
        assert str(error).startswith("list")
        return
    if isinstance(found.map, DeviceMap):
        use(found.map)
    assert found.map is not None or found.open


def one_answer(data: bytes) -> None:
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


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {"maps": one_map, "lists": one_list, "answers": one_answer}


if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()
