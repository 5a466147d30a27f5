"""The register image of a device: bytes that reads slice, with values put in and written words taken out."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from typing import Final

from rampd.drivers import sunspec
from rampd.drivers.maps import Bases, DeviceMap
from rampd.drivers.register import SIGNED, Encoding, Register, RegisterError, Text, decode, encode, raw_bytes, shift_of

_FLOATS: Final = {Encoding.F32: 0x7FC00000, Encoding.F64: 0x7FF8000000000000}
_EXPONENTS: Final = range(-3, 10)


def not_available(register: Register) -> bytes:
    """Wire bytes of "no value": the map's own word, else NaN or the type's customary one."""
    if register.sentinels:
        raw = register.sentinels[0]
    elif register.encoding in _FLOATS:
        raw = _FLOATS[register.encoding]
    else:
        raw = 1 << (16 * register.words - 1) if register.encoding in SIGNED else (1 << (16 * register.words)) - 1
    return raw_bytes(register, raw)


class Image:
    """Registers of one device, per function code a few spans of bytes.

    Gaps that a reader may bridge (`max_gap` of the map) read 0; an address outside every span does not exist. A SunSpec
    map makes a chain: the marker, the common model, the models that the map uses in order of their numbers, the end.
    `clamped` counts values that did not fit their register and were put at its end.
    """

    def __init__(self, device_map: DeviceMap) -> None:
        self.map = device_map
        self.clamped = 0
        self.bases: Bases = device_map.nominal()
        self.registers = {register.name: register for register in device_map.registers(self.bases)}
        parts = {} if device_map.setpoint is None else device_map.setpoint.parts()
        self.writable = tuple(device_map.register(key, part, self.bases) for key, part in parts.items())
        self.texts = device_map.strings(self.bases)
        self._exponents = _exponents((*self.registers.values(), *self.writable))
        self._spans = self._layout()
        for at, (function, exponent) in self._exponents.items():
            self._store(function, at, struct.pack(">h", exponent))
        if self.bases:
            self._chain()
        for text in self.texts:
            if not self.bases:
                self._write_text(text, {"model": device_map.name, "serial": "sim"}.get(text.name, "rampd"))

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
        exponent = self._exponent(register)
        try:
            data = encode(register, value, exponent)
        except RegisterError:
            self.clamped += 1
            data = self._clamp(register, value, exponent)
        if register.mask:
            data = self._merge(register, data)
        self._store(register.function, register.at, data)

    def put_not_available(self, register: Register) -> None:
        """Puts the register's "no value" word in."""
        self._store(register.function, register.at, not_available(register))

    def taken(self, register: Register, data: bytes) -> float:
        """The value of bytes that a client wrote."""
        return decode(register, data, self._exponent(register))

    def _exponent(self, register: Register) -> int:
        return 0 if register.factor_at is None else self._exponents[register.factor_at][1]

    def _clamp(self, register: Register, value: float, exponent: int) -> bytes:
        if not math.isfinite(value) or register.encoding in _FLOATS:
            return not_available(register)
        whole = (1 << 16 * register.words) - 1
        mask = register.mask or whole
        shift = shift_of(mask)
        width = mask.bit_length() - shift
        low, high = (-(1 << width - 1), (1 << width - 1) - 1) if register.encoding in SIGNED else (0, mask >> shift)
        raw = min(high, max(low, round((value - register.offset) / register.scale / 10.0**exponent)))
        return raw_bytes(register, (raw << shift) & mask)

    def _merge(self, register: Register, data: bytes) -> bytes:
        """The field's new bits between the old bits of its neighbours in the same register."""
        old = self.read(register.function, register.at, register.words) or bytes(len(data))
        mask = raw_bytes(register, register.mask)
        return bytes((o & ~m) | (n & m) for o, n, m in zip(old, data, mask, strict=True))

    def _store(self, function: int, at: int, data: bytes) -> None:
        for begin, stop, image in self._spans[function]:
            if begin <= at < stop:
                image[(at - begin) * 2 : (at - begin) * 2 + len(data)] = data
                return

    def _write_text(self, text: Text, shown: str) -> None:
        data = shown.encode("ascii").ljust(text.words * 2, b"\0")[: text.words * 2]
        if text.swapped:
            data = b"".join(data[i : i + 2][::-1] for i in range(0, len(data), 2))
        self._store(text.function, text.at, data)

    def _layout(self) -> dict[int, list[tuple[int, int, bytearray]]]:
        gap, walls = self.map.max_gap, set(self.map.barriers)
        cells: dict[int, list[tuple[int, int]]] = {}
        if self.bases:
            cells[self.map.function] = [(sunspec.BASES[0], self._end() + 2)]
            gap = 0
        for register in (*self.registers.values(), *self.writable):
            cells.setdefault(register.function, []).append((register.at, register.at + register.words))
            if register.factor_at is not None:
                cells[register.function].append((register.factor_at, register.factor_at + 1))
        for text in self.texts:
            cells.setdefault(text.function, []).append((text.at, text.at + text.words))
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

    def _end(self) -> int:
        """Address of the end marker, behind the last model."""
        last = max(self.bases, key=lambda model: self.bases[model])
        return self.bases[last] + 2 + sunspec.length(last, self.map.extents())

    def _chain(self) -> None:
        """Marker, the head of every model, the strings of the common model, and the end marker."""
        function, extents = self.map.function, self.map.extents()
        self._store(function, sunspec.BASES[0], sunspec.MARKER)
        for model, at in self.bases.items():
            self._store(function, at, struct.pack(">2H", model, sunspec.length(model, extents)))
        common = self.bases[sunspec.COMMON]
        shown = {"manufacturer": "rampd", "model": self.map.name, "firmware": "1", "serial": "sim"}
        for name, (at, words) in sunspec.COMMON_TEXTS.items():
            self._write_text(Text(name, common + at, words, function), shown[name])
        self._store(function, self._end(), struct.pack(">2H", sunspec.END, 0))


def _exponents(registers: Iterable[Register]) -> dict[int, tuple[int, int]]:
    """Function and decimal exponent of each run-time factor: the finest that holds all plausible values."""
    found: dict[int, tuple[int, int]] = {}
    coarsest: dict[int, int] = {}
    for register in registers:
        if register.factor_at is None:
            continue
        if math.isfinite(register.low) and math.isfinite(register.high):
            exponent = next((e for e in _EXPONENTS if _fits(register, e)), _EXPONENTS[-1])
            coarsest[register.factor_at] = max(exponent, coarsest.get(register.factor_at, _EXPONENTS[0]))
        found[register.factor_at] = (register.function, coarsest.get(register.factor_at, 0))
    return found


def _fits(register: Register, exponent: int) -> bool:
    try:
        encode(register, register.low, exponent)
        encode(register, register.high, exponent)
    except RegisterError:
        return False
    return True
