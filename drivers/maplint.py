"""What a schema cannot see in a map: registers that overlap, values that a barrier or a limit would split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rampd.drivers.maps import DeviceMap
    from rampd.drivers.register import Register


def lint(device_map: DeviceMap) -> list[str]:
    """Every problem of a map that its schema let pass, each with its place."""
    bases = device_map.nominal()
    registers = device_map.registers(bases)
    found = [f"values: {line}" for line in _overlaps(registers)]
    found += [f"values: {line}" for line in _walls(device_map, registers)]
    if device_map.setpoint is not None:
        parts = device_map.setpoint.parts()
        found += [
            f"setpoint: {line}" for line in _overlaps([device_map.register(k, v, bases) for k, v in parts.items()])
        ]
    for text in device_map.strings(bases):
        if text.words > device_map.max_regs:
            found.append(f"texts: {text.name} has {text.words} registers, the device answers {device_map.max_regs}")
    try:
        device_map.reads(bases)
    except ValueError as error:
        found.append(f"values: {error}")
    return found


def _overlaps(registers: Sequence[Register]) -> Iterator[str]:
    """Registers that share words without being bit fields of one register, in the same order of bytes."""
    ordered = sorted(registers, key=lambda r: (r.function, r.at, r.at + r.words, r.name))
    for i, one in enumerate(ordered):
        for other in ordered[i + 1 :]:
            if other.function != one.function or other.at >= one.at + one.words:
                break
            whole = (one.at, one.words, one.order) == (other.at, other.words, other.order)
            if not (whole and one.mask and other.mask and not one.mask & other.mask):
                yield f"{one.name} and {other.name} overlap at register {other.at}"


def _walls(device_map: DeviceMap, registers: tuple[Register, ...]) -> Iterator[str]:
    for register in registers:
        for wall in device_map.barriers:
            if register.at < wall < register.at + register.words:
                yield f"{register.name} lies across the barrier {wall}"
