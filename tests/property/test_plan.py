"""The planner: whatever the registers and the device's limits, every value is read once and whole."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rampd.drivers.plan import Read, halves, plan
from rampd.drivers.register import WORDS, Encoding, Register


@st.composite
def registers(draw: st.DrawFn) -> list[Register]:
    """Registers of any type, scattered or dense, some with a run-time factor, some overlapping."""
    count = draw(st.integers(0, 25))
    found = []
    for n in range(count):
        kind = draw(st.sampled_from(Encoding))
        at = draw(st.integers(0, 300)) if draw(st.booleans()) else 2 * n
        factor = draw(st.one_of(st.none(), st.integers(max(0, at - 5), at + 5)))
        found.append(
            Register(
                f"v{n}_w", at, kind, function=draw(st.sampled_from((3, 4))), factor_at=factor, slow=draw(st.booleans())
            )
        )
    return found


def span(register: Register) -> tuple[int, int]:
    cells = set(range(register.at, register.at + WORDS[register.encoding]))
    if register.factor_at is not None:
        cells.add(register.factor_at)
    return min(cells), max(cells) + 1


def used(read: Read) -> set[int]:
    """Addresses between begin and end of each value, factors included."""
    return {cell for register in read.registers for cell in range(*span(register))}


@settings(max_examples=600, deadline=None)
@given(registers(), st.integers(10, 125), st.integers(0, 40), st.lists(st.integers(0, 300), max_size=6))
def test_every_value_once_and_whole_within_the_limits(
    wanted: list[Register], max_regs: int, max_gap: int, barriers: list[int]
) -> None:
    reads = plan(wanted, max_regs=max_regs, max_gap=max_gap, barriers=barriers)
    covered = [register for read in reads for register in read.registers]
    assert sorted(covered, key=id) == sorted(wanted, key=id), "every value in exactly one request"
    for read in reads:
        assert 1 <= read.count <= max_regs
        assert {(r.function, r.slow) for r in read.registers} == {(read.function, read.slow)}
        cells = used(read)
        assert (min(cells), max(cells) + 1) == (read.at, read.at + read.count), "no more than the values"
        holes = sorted(set(range(read.at, read.at + read.count)) - cells)
        longest = run = 0
        for before, hole in zip([-9, *holes], holes, strict=False):
            run = run + 1 if hole == before + 1 else 1
            longest = max(longest, run)
        assert longest <= max_gap
        for wall in barriers:
            if read.at < wall < read.at + read.count:
                assert len(read.registers) == 1, "only a value that lies across a barrier itself may cross it"
    assert len(reads) <= len(wanted)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 60), st.integers(1, 125))
def test_dense_values_take_as_few_requests_as_fit(count: int, max_regs: int) -> None:
    wanted = [Register(f"v{n}_w", 100 + n, Encoding.U16) for n in range(count)]
    assert len(plan(wanted, max_regs=max_regs)) == -(-count // max_regs)


@settings(max_examples=300, deadline=None)
@given(registers(), st.randoms(use_true_random=False))
def test_the_order_of_the_map_does_not_matter(wanted: list[Register], source: object) -> None:
    shuffled = list(wanted)
    source.shuffle(shuffled)  # type: ignore[attr-defined]

    def shape(registers: list[Register]) -> list[tuple[int, int, int, bool, int]]:
        return [(r.function, r.at, r.count, r.slow, len(r.registers)) for r in plan(registers)]

    assert shape(wanted) == shape(shuffled)


@settings(max_examples=300, deadline=None)
@given(registers(), st.integers(10, 125), st.integers(0, 40))
def test_a_refused_request_comes_down_to_single_values(wanted: list[Register], max_regs: int, max_gap: int) -> None:
    for read in plan(wanted, max_regs=max_regs, max_gap=max_gap):
        left, singles = [read], []
        while left:
            one = left.pop()
            cells = used(one)
            assert (one.at, one.at + one.count) == (min(cells), max(cells) + 1)
            assert (one.function, one.slow) == (read.function, read.slow)
            if len(one.registers) == 1:
                singles += one.registers
            else:
                left += halves(one)
        assert sorted(singles, key=id) == sorted(read.registers, key=id)
