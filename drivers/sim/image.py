"""The register image of a device: bytes that reads slice, with values put in and written words taken out."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from typing import Final

from rampd.drivers.maps import DeviceMap
from rampd.drivers.register import Encoding, Register, RegisterError, encode, raw_bytes, reorder

SUNSPEC_BASE: Final = 40000
# The model that the map counts its addresses from follows the marker and the common model.
SUNSPEC_MODEL: Final = SUNSPEC_BASE + 2 + 68
_LENGTHS: Final = {203: 105, 213: 124}

_UNPACK: Final = {
    Encoding.U16: ">H", Encoding.S16: ">h", Encoding.U32: ">I", Encoding.S32: ">i", Encoding.F32: ">f",
    Encoding.U64: ">Q", Encoding.S64: ">q", Encoding.F64: ">d",
}  # fmt: skip
_SIGNED: Final = (Encoding.S16, Encoding.S32, Encoding.S64)
_FLOATS: Final = {Encoding.F32: 0x7FC00000, Encoding.F64: 0x7FF8000000000000}


def decode(register: Register, data: bytes) -> float:
    """The value of wire bytes, as the device understands them."""
    if register.order in (1, 3):
        data = b"".join(data[i : i + 2] for i in range(len(data) - 2, -1, -2))
    if register.order in (2, 3):
        data = b"".join(bytes((data[i + 1], data[i])) for i in range(0, len(data), 2))
    (raw,) = struct.unpack(_UNPACK[register.encoding], data)
    if register.mask:
        raw = (raw & register.mask) >> _shift(register.mask)
    return float(raw * register.scale + register.offset)


def not_available(register: Register) -> bytes:
    """Wire bytes of "no value": the map's own word, else NaN or the type's customary one."""
    if register.sentinels:
        raw = register.sentinels[0]
    elif register.encoding in _FLOATS:
        raw = _FLOATS[register.encoding]
    else:
        raw = 1 << (16 * register.words - 1) if register.encoding in _SIGNED else (1 << (16 * register.words)) - 1
    return raw_bytes(register, raw)


def _shift(mask: int) -> int:
    return (mask & -mask).bit_length() - 1


class Image:
    """Registers of one device, per function code a few spans of bytes.

    Gaps that a reader may bridge (`max_gap` of the map) read 0; an address outside every span does not exist.
    `clamped` counts values that did not fit their register and were put at its end.
    """

    def __init__(self, device_map: DeviceMap) -> None:
        self.map = device_map
        self.clamped = 0
        self.base = SUNSPEC_MODEL if device_map.sunspec_model is not None else 0
        self.registers = {register.name: register for register in device_map.registers(self.base)}
        self.writable = _writable(device_map, self.base)
        self._exponents = _exponents(self.registers.values())
        self._spans = self._layout()
        for at, (function, exponent) in self._exponents.items():
            self._store(function, at, struct.pack(">h", exponent))
        if device_map.sunspec_model is not None:
            self._sunspec(device_map.sunspec_model)

    @property
    def functions(self) -> frozenset[int]:
        """The read functions that this device knows."""
        return frozenset(self._spans)

    def read(self, function: int, at: int, count: int) -> bytes | None:
        """Bytes of `count` registers, or None when one of them does not exist."""
        end = at + count
        for begin, stop, data in self._spans[function]:
            if begin <= at and end <= stop:
                return bytes(data[(at - begin) * 2 : (end - begin) * 2])
        return None

    def put(self, register: Register, value: float) -> None:
        """Puts a value in. One that does not fit is clamped, what is no number shows as not available."""
        if register.factor_at is not None:
            value /= 10.0 ** self._exponents[register.factor_at][1]
        try:
            data = encode(register, value)
        except RegisterError:
            self.clamped += 1
            data = self._clamp(register, value)
        if register.mask:
            data = self._merge(register, data)
        self._store(register.function, register.at, data)

    def put_not_available(self, register: Register) -> None:
        """Puts the register's "no value" word in."""
        self._store(register.function, register.at, not_available(register))

    def _clamp(self, register: Register, value: float) -> bytes:
        if not math.isfinite(value) or register.encoding in _FLOATS:
            return not_available(register)
        bits = 16 * register.words
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if register.encoding in _SIGNED else (0, (1 << bits) - 1)
        if register.mask:
            high = register.mask >> _shift(register.mask)
        raw = min(high, max(low, round((value - register.offset) / register.scale)))
        return raw_bytes(register, (raw << (_shift(register.mask) if register.mask else 0)) & ((1 << bits) - 1))

    def _merge(self, register: Register, data: bytes) -> bytes:
        """The field's new bits between the old bits of its neighbours in the same register."""
        new = int.from_bytes(reorder(data, register.order), "big")
        if new & ~register.mask:
            self.clamped += 1
            new = register.mask
        old = self.read(register.function, register.at, register.words) or bytes(len(data))
        return raw_bytes(register, (int.from_bytes(reorder(old, register.order), "big") & ~register.mask) | new)

    def _store(self, function: int, at: int, data: bytes) -> None:
        for begin, stop, image in self._spans[function]:
            if begin <= at < stop:
                image[(at - begin) * 2 : (at - begin) * 2 + len(data)] = data
                return

    def _layout(self) -> dict[int, list[tuple[int, int, bytearray]]]:
        gap, walls = self.map.max_gap, {self.base + at for at in self.map.barriers}
        cells: dict[int, list[tuple[int, int]]] = {}
        for register in self.registers.values():
            cells.setdefault(register.function, []).append((register.at, register.at + register.words))
            if register.factor_at is not None:
                cells[register.function].append((register.factor_at, register.factor_at + 1))
        if self.map.sunspec_model is not None:
            cells[self.map.function] = [(SUNSPEC_BASE, self._model_end() + 2)]
            gap = 0
        for register in self.writable:
            cells.setdefault(self.map.function, []).append((register.at, register.at + register.words))
        spans: dict[int, list[tuple[int, int, bytearray]]] = {}
        for function, pieces in cells.items():
            merged: list[list[int]] = []
            for begin, end in sorted(pieces):
                if merged and begin - merged[-1][1] <= gap and not any(merged[-1][0] < w <= begin for w in walls):
                    merged[-1][1] = max(merged[-1][1], end)
                else:
                    merged.append([begin, end])
            spans[function] = [(begin, end, bytearray((end - begin) * 2)) for begin, end in merged]
        return spans

    def _model_end(self) -> int:
        """First address behind the model."""
        mapped = max(register.at + register.words for register in (*self.registers.values(), *self.writable))
        return max(mapped, SUNSPEC_MODEL + 2 + _LENGTHS.get(self.map.sunspec_model or 0, 0))

    def _sunspec(self, model: int) -> None:
        """Marker, common model 1 (66 registers of strings), the model's own head, and the end marker."""
        texts = [(4, 16, "rampd"), (20, 16, self.map.name), (44, 8, "1"), (52, 16, "sim")]
        end = self._model_end()
        function = self.map.function
        self._store(function, SUNSPEC_BASE, b"SunS" + struct.pack(">2H", 1, 66))
        for at, words, text in texts:
            self._store(function, SUNSPEC_BASE + at, text.encode("ascii").ljust(words * 2, b"\0")[: words * 2])
        self._store(function, SUNSPEC_MODEL, struct.pack(">2H", model, end - SUNSPEC_MODEL - 2))
        self._store(function, end, struct.pack(">2H", 0xFFFF, 0))


def _writable(device_map: DeviceMap, base: int) -> tuple[Register, ...]:
    """The registers of the map's set point, named limit, deadman and fallback."""
    setpoint = device_map.setpoint
    if setpoint is None:
        return ()
    values = {"limit": setpoint.limit, "deadman": setpoint.deadman, "fallback": setpoint.fallback}
    return tuple(device_map.register(name, value, base) for name, value in values.items() if value is not None)


def _exponents(registers: Iterable[Register]) -> dict[int, tuple[int, int]]:
    """Function and decimal exponent of each run-time factor, large enough for the highest plausible values."""
    found: dict[int, tuple[int, int]] = {}
    for register in registers:
        if register.factor_at is None:
            continue
        exponent = 0
        while math.isfinite(register.high) and exponent < 9:
            try:
                encode(register, register.high / 10.0**exponent)
                break
            except RegisterError:
                exponent += 1
        known = found.get(register.factor_at, (register.function, 0))[1]
        found[register.factor_at] = (register.function, max(exponent, known))
    return found
