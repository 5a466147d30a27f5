"""Registers into the image beside pymodbus's convert_from_registers, per value, from the bytes of one answer.

rampd's figure holds all that a value needs before it may be computed with: sentinel, plausible range, age, quality.
pymodbus's holds the conversion alone. The answer mixes the types that the shipped maps use: floats of a meter,
32-bit and 16-bit integers, SunSpec values with their scale factor. The last line on stdout is one JSON object, of the
median of five interleaved rounds.
"""

from __future__ import annotations

import json
import random
import statistics
import struct
import time
from collections.abc import Callable

from pymodbus.client.mixin import ModbusClientMixin

from rampd.drivers.device import field_spec
from rampd.drivers.register import Encoding, Register
from rampd.ext import views
from rampd.ext.codes import GOOD
from rampd.ext.decode import Decoder
from rampd.ext.image import Configuration, InputWall

ROUNDS = 5
TURN_S = 0.4
CONVERT = ModbusClientMixin.convert_from_registers
TYPES = {
    Encoding.F32: ModbusClientMixin.DATATYPE.FLOAT32,
    Encoding.S32: ModbusClientMixin.DATATYPE.INT32,
    Encoding.U16: ModbusClientMixin.DATATYPE.UINT16,
    Encoding.S16: ModbusClientMixin.DATATYPE.INT16,
}
SENTINELS = {Encoding.F32: 0x7FC00000, Encoding.S32: 0x80000000, Encoding.U16: 0xFFFF, Encoding.S16: 0x8000}
# A scale factor at register 0, then as many values of each type: 124 registers, what one request may hold.
KINDS = (Encoding.F32,) * 26 + (Encoding.S32,) * 10 + (Encoding.U16,) * 26 + (Encoding.S16,) * 25


def registers() -> list[Register]:
    found, at = [], 1
    for number, kind in enumerate(KINDS):
        found.append(
            Register(
                f"value{number}_w", at, kind, scale=0.1 if kind is Encoding.U16 else 1.0, low=-1e9, high=1e9,
                sentinels=(SENTINELS[kind],), factor_at=0 if kind is Encoding.S16 else None,
            )
        )  # fmt: skip
        at += found[-1].words
    return found


def answer(fields: list[Register]) -> bytes:
    """Good values, different ones."""
    source = random.Random(1)
    made = {Encoding.F32: "f", Encoding.S32: "i", Encoding.U16: "H", Encoding.S16: "h"}
    return struct.pack(">h", -1) + b"".join(
        struct.pack(f">{made[field.encoding]}", source.randrange(1, 30000)) for field in fields
    )


def timed(once: Callable[[], None], values: int) -> float:
    """Nanoseconds a value."""
    times, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < TURN_S:
        for _ in range(100):
            once()
        times += 100
    return spent / times / values * 1e9


def main() -> None:
    fields = registers()
    data = answer(fields)
    words = list(struct.unpack(f">{len(data) // 2}H", data))
    count = len(fields)
    wall = InputWall(Configuration(slots=count, racks=1, nodes=1, loops=1, groups=1, tiers=1, history=2))
    decoder = Decoder([field_spec(field, 0, slot) for slot, field in enumerate(fields)], len(words))
    pieces = [(words[field.at : field.at + field.words], TYPES[field.encoding]) for field in fields]

    def ours() -> None:
        decoder.decode(data, wall, 1)

    def theirs() -> None:
        for piece, kind in pieces:
            CONVERT(piece, kind)

    ours()
    inputs = views.inputs(wall)
    assert all(inputs.quality[slot] == GOOD for slot in range(count))
    for slot, (piece, kind) in enumerate(pieces):
        field = fields[slot]
        raw = CONVERT(piece, kind)
        assert isinstance(raw, (int, float))
        assert abs(inputs.value[slot] - raw * field.scale / (10 if field.factor_at == 0 else 1)) < 1e-6
    rounds = [(timed(ours, count), timed(theirs, count)) for _ in range(ROUNDS)]
    mine, other = (statistics.median(row[i] for row in rounds) for i in (0, 1))
    print(f"{count} values an answer: rampd {mine:.1f} ns, pymodbus {other:.0f} ns a value, {other / mine:.0f} times")
    print(json.dumps({"rampd_ns_per_value": round(mine, 2), "pymodbus_ns_per_value": round(other, 1)}))


if __name__ == "__main__":
    main()
