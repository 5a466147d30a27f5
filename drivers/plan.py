"""Packs registers into read requests: as few as the device's limits allow, never splitting a value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rampd.drivers.register import Register


@dataclass(frozen=True, slots=True)
class Read:
    """One read request: `count` registers from `at`, and the values that lie in its answer."""

    function: int
    at: int
    count: int
    slow: bool
    registers: tuple[Register, ...]


def _span(register: Register) -> tuple[int, int]:
    """First and end address that one request must cover: the value and its run-time factor."""
    begin, end = register.at, register.at + register.words
    if register.factor_at is not None:
        begin, end = min(begin, register.factor_at), max(end, register.factor_at + 1)
    return begin, end


def halves(read: Read) -> tuple[Read, Read]:
    """A refused request as two: no value is split, and what lay unused between the two is not read any more."""
    middle = len(read.registers) // 2
    return _request(read.registers[:middle]), _request(read.registers[middle:])


def _request(registers: tuple[Register, ...]) -> Read:
    spans = [_span(register) for register in registers]
    begin, end = min(low for low, _ in spans), max(high for _, high in spans)
    return Read(registers[0].function, begin, end - begin, registers[0].slow, registers)


def plan(
    registers: Iterable[Register], *, max_regs: int = 120, max_gap: int = 8, barriers: Iterable[int] = ()
) -> tuple[Read, ...]:
    """Requests that read all registers.

    `max_regs` bounds a request, `max_gap` the unused registers it may read between two values, and no request
    reads across a barrier (the first address of a block that the device answers only by itself). Values of different
    function code or age class never share a request. Raises ValueError when one value does not fit `max_regs`.
    """
    walls = sorted(barriers)
    reads: list[Read] = []
    taken: list[Register] = []
    begin = end = 0

    def close() -> None:
        if taken:
            reads.append(_request(tuple(taken)))
            taken.clear()

    for register in sorted(registers, key=lambda r: (r.function, r.slow, _span(r))):
        low, high = _span(register)
        if high - low > max_regs:
            raise ValueError(f"{register.name} spans {high - low} registers, the device answers {max_regs} at most")
        joins = (
            bool(taken)
            and (taken[0].function, taken[0].slow) == (register.function, register.slow)
            and low - end <= max_gap
            and max(end, high) - begin <= max_regs
            and not any(begin < wall < max(end, high) for wall in walls)
        )
        if not joins:
            close()
            begin = low
            end = high
        end = max(end, high)
        taken.append(register)
    close()
    return tuple(reads)
