"""Faults on the wire: what reaches the client instead of the right answer, byte for byte."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from random import Random
from typing import Final

from rampd.drivers.server import HEAD, READS
from rampd.drivers.sim.faults import ByteByByte, Fault, Late, Plain, Short
from rampd.drivers.sim.server import Answer, Session, Trouble

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


def trouble(fault: Fault, seed: int) -> Trouble | None:
    """The handler for a fault of the wire, None for a kind that has its seat elsewhere."""
    match fault:
        case Late(delay_s=delay_s):
            return _late(delay_s)
        case Short(missing=missing):
            return _changed(lambda answer: _shorten(answer, missing))
        case ByteByByte(gap_s=gap_s):
            return _byte_by_byte(gap_s)
        case Plain(kind="garbage"):
            return _garbage(seed)
    return _PLAIN.get(fault.kind)


def _changed(change: Callable[[bytes], bytes]) -> Trouble:
    def handle(session: Session, request: bytes, answer: Answer) -> None:
        session.send(change(answer()))

    return handle


def _other_transaction(answer: bytes) -> bytes:
    (transaction,) = struct.unpack_from(">H", answer)
    return struct.pack(">H", (transaction + 1) & 0xFFFF) + answer[2:]


def _shorten(answer: bytes, missing: int) -> bytes:
    transaction, _, _, unit = HEAD.unpack_from(answer)
    pdu = answer[HEAD.size :]
    if pdu[0] not in READS:
        return answer
    size = max(0, pdu[1] - 2 * missing)
    return HEAD.pack(transaction, 0, 3 + size, unit) + bytes((pdu[0], size)) + pdu[2 : 2 + size]


def _late(delay_s: float) -> Trouble:
    def handle(session: Session, request: bytes, answer: Answer) -> None:
        asyncio.get_running_loop().call_later(delay_s, session.send, answer())

    return handle


def _byte_by_byte(gap_s: float) -> Trouble:
    def handle(session: Session, request: bytes, answer: Answer) -> None:
        loop = asyncio.get_running_loop()
        for i, byte in enumerate(answer()):
            loop.call_later(i * gap_s, session.send, bytes((byte,)))

    return handle


def _garbage(seed: int) -> Trouble:
    random = Random(seed)

    def handle(session: Session, request: bytes, answer: Answer) -> None:
        session.send(random.randbytes(random.randint(5, 40)))

    return handle


def _reset(session: Session, request: bytes, answer: Answer) -> None:
    if session.transport is not None:
        wire = session.transport.get_extra_info("socket")
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        session.transport.abort()


def _silent(session: Session, request: bytes, answer: Answer) -> None:
    """Reads, and says and does nothing."""


_PLAIN: Final[dict[str, Trouble]] = {
    "silent": _silent,
    "rst": _reset,
    "duplicate": _changed(lambda answer: answer + answer),
    "wrong_id": _changed(_other_transaction),
    "wrong_unit": _changed(lambda answer: answer[:6] + bytes(((answer[6] + 1) & 0xFF,)) + answer[7:]),
    "foreign_function": _changed(lambda answer: answer[:7] + bytes((answer[7] ^ 0x07,)) + answer[8:]),
}
