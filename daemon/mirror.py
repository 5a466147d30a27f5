"""The site as a Modbus/TCP device that can only be read, for building management and SCADA.

Devices take one client, and that is rampd: who else wants to know reads it here. Values are computed when they are
asked for. What is stale, bad or unknown is the type's word for "no value", never 0; ages stand beside the values.
"""

from __future__ import annotations

import struct
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import rampd
from rampd.daemon.metrics import RACK_STATES, rack_state
from rampd.daemon.site import Composed
from rampd.drivers import server
from rampd.drivers.server import IDENTIFY, ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, ILLEGAL_VALUE, MOST_READ, READS, refusal
from rampd.ext import codes, views

LAYOUT: Final = 1
UNITS: Final = (1, 255)
RACKS_AT: Final = 1000
MOST_SESSIONS: Final = 16
_TICK_STALE_NS: Final = 2_000_000_000
_COUNT_NS: Final = 1_000_000_000

_FORMATS: Final = {"u16": ">H", "u32": ">I", "s32": ">i"}
NO_VALUE: Final = {"u16": b"\xff\xff", "u32": b"\xff\xff\xff\xff", "s32": b"\x80\x00\x00\x00"}
"""What a register holds that has no value: the words that SunSpec uses."""


@dataclass(frozen=True, slots=True)
class Line:
    """One register of the table, `at` counted from the begin of its block."""

    at: int
    type: Literal["u16", "u32", "s32"]
    name: str
    what: str

    @property
    def words(self) -> int:
        """Registers that it takes."""
        return 1 if self.type == "u16" else 2

    def encode(self, value: float | None) -> bytes:
        """Its bytes, big endian; a value that does not fit is shown as none."""
        if value is not None:
            try:
                return struct.pack(_FORMATS[self.type], round(value))
            except (struct.error, OverflowError, ValueError):
                pass
        return NO_VALUE[self.type]


SITE: Final = (
    Line(0, "u16", "layout", "version of this table"),
    Line(1, "u16", "racks", "number of racks"),
    Line(2, "u32", "tick", "control periods since start: it must move"),
    Line(4, "u16", "tick_age_ds", "age of the last control period, 0.1 s"),
    Line(5, "u16", "fault", "fault code of the control loop, 0 none"),
    Line(6, "u16", "mode", "0 default, 1 dispatched, 2 hold, 3 estop"),
    Line(7, "u16", "envelope", "0 normal, 1 dispatched, 2 emergency"),
    Line(8, "s32", "power_w", "purchase at the site meter, W"),
    Line(10, "u16", "power_age_ds", "age of that reading, 0.1 s"),
    Line(11, "u16", "frequency_chz", "grid frequency, 0.01 Hz"),
    Line(12, "s32", "requested_w", "what the command asks for, W"),
    Line(14, "s32", "reference_w", "where the ramp is now, W"),
    Line(16, "s32", "firm_down_w", "what could be shed within five seconds, W"),
    Line(18, "s32", "firm_up_w", "what could be added within five seconds, W"),
    *(Line(20 + i, "u16", f"racks_{state}", f"racks that are {state}") for i, state in enumerate(RACK_STATES)),
)
RACK: Final = (
    Line(0, "s32", "power_w", "power of the rack, W"),
    Line(2, "s32", "setpoint_w", "the limit that the control gives it, W"),
    Line(4, "u16", "power_age_ds", "age of the power reading, 0.1 s"),
    Line(5, "u16", "quality", "0 never, 1 good, 2 sentinel, 3 out of range, 4 refused"),
    Line(6, "u16", "state", ", ".join(f"{i} {state}" for i, state in enumerate(RACK_STATES))),
)
SITE_SIZE: Final = SITE[-1].at + SITE[-1].words
RACK_SIZE: Final = 8

Values = Mapping[str, float | None]


def block(lines: Sequence[Line], values: Values, size: int) -> bytes:
    """The registers of a block; what no line takes reads 0."""
    out = bytearray(2 * size)
    for line in lines:
        out[2 * line.at : 2 * (line.at + line.words)] = line.encode(values[line.name])
    return bytes(out)


class Mirror:
    """The unit that answers, and its listening address while it is open. `snapshot` gives the newest outputs."""

    def __init__(self, composed: Composed, inputs: views.Inputs, snapshot: Callable[[], views.Outputs]) -> None:
        self._composed = composed
        self._inputs = inputs
        self._snapshot = snapshot
        self._power = [point.slots["power_w"] for point in composed.power_points]
        self._end = RACKS_AT + RACK_SIZE * len(composed.racks)
        self._counts: Counter[str] = Counter()
        self._counted_ns = 0
        self._endpoint: server.Endpoint[Mirror] | None = None

    async def open(self, host: str, port: int) -> int:
        """Listens; the port, also where 0 asked for a free one. Raises `server.ListenError`."""
        endpoint: server.Endpoint[Mirror] = server.Endpoint(host, port, MOST_SESSIONS)
        for number in UNITS:
            endpoint.units[number] = self
        await endpoint.open()
        self._endpoint = endpoint
        return endpoint.port

    def close(self) -> None:
        """Listens no more and drops every client."""
        if self._endpoint is not None:
            self._endpoint.close()
            self._endpoint = None

    def answer(self, pdu: bytes) -> bytes:
        """Reads with function 3 or 4, both the same registers, and the device identification; nothing else."""
        function = pdu[0]
        if function == IDENTIFY:
            return server.identify(pdu, (b"rampd", b"mirror", rampd.__version__.encode("ascii")))
        if function not in READS:
            return refusal(function, ILLEGAL_FUNCTION)
        if len(pdu) != 5:
            return refusal(function, ILLEGAL_VALUE)
        at, count = struct.unpack(">HH", pdu[1:])
        if not 1 <= count <= MOST_READ:
            return refusal(function, ILLEGAL_VALUE)
        data = self._read(at, at + count, time.monotonic_ns())
        if data is None:
            return refusal(function, ILLEGAL_ADDRESS)
        return bytes((function, len(data))) + data

    def _read(self, begin: int, end: int, now_ns: int) -> bytes | None:
        if end <= SITE_SIZE:
            return block(SITE, self._site(now_ns), SITE_SIZE)[2 * begin : 2 * end]
        if not RACKS_AT <= begin < end <= self._end:
            return None
        first, last = (begin - RACKS_AT) // RACK_SIZE, (end - 1 - RACKS_AT) // RACK_SIZE
        out = self._snapshot()
        data = b"".join(block(RACK, self._rack(out, i, now_ns), RACK_SIZE) for i in range(first, last + 1))
        skipped = begin - RACKS_AT - first * RACK_SIZE
        return data[2 * skipped : 2 * (skipped + end - begin)]

    def _age_ds(self, at_ns: int, now_ns: int) -> float | None:
        """Tenths of a second, the most there is for what is older, none for what never was."""
        return min((now_ns - at_ns) / 1e8, 0xFFFE) if at_ns else None

    def _site(self, now_ns: int) -> Values:
        out = self._snapshot()
        # Of the meter that counts now.
        meter = self._composed.read
        power_slot = views.limits(self._composed.limits).site.power_slot
        controlled = bool(out.started) and now_ns - out.at_ns <= _TICK_STALE_NS
        stale_s = self._composed.config.control.meter_stale_s
        frequency_hz = self._reading(meter["frequency_hz"], stale_s, now_ns) if "frequency_hz" in meter else None
        if now_ns - self._counted_ns > _COUNT_NS:
            self._counted_ns = now_ns
            self._counts = Counter(rack_state(out, self._inputs, i) for i in range(len(self._composed.racks)))
        return {
            "layout": LAYOUT, "racks": len(self._composed.racks), "tick": out.tick & 0xFFFFFFFF,
            "tick_age_ds": self._age_ds(out.at_ns, now_ns), "fault": out.fault,
            "mode": out.verb if controlled else None, "envelope": out.envelope if controlled else None,
            "power_w": self._reading(power_slot, stale_s, now_ns),
            "power_age_ds": self._age_ds(self._inputs.at_ns[power_slot], now_ns),
            "frequency_chz": None if frequency_hz is None else 100.0 * frequency_hz,
            "requested_w": out.goal_w if controlled else None, "reference_w": out.reference_w if controlled else None,
            "firm_down_w": out.firm_down_w if controlled else None,
            "firm_up_w": out.firm_up_w if controlled else None,
        } | {f"racks_{state}": self._counts[state] for state in RACK_STATES}  # fmt: skip

    def _rack(self, out: views.Outputs, i: int, now_ns: int) -> Values:
        slot = self._power[i]
        controlled = bool(out.active[i]) and now_ns - out.at_ns <= _TICK_STALE_NS
        return {
            "power_w": self._reading(slot, self._composed.power_points[i].stale_s, now_ns),
            "setpoint_w": out.setpoint_w[i] if controlled else None,
            "power_age_ds": self._age_ds(self._inputs.at_ns[slot], now_ns),
            "quality": self._inputs.quality[slot], "state": RACK_STATES.index(rack_state(out, self._inputs, i)),
        }  # fmt: skip

    def _reading(self, slot: int, stale_s: float, now_ns: int) -> float | None:
        good = self._inputs.quality[slot] == codes.GOOD and now_ns - self._inputs.at_ns[slot] <= stale_s * 1e9
        return self._inputs.value[slot] if good else None


def table() -> str:
    """The registers as a document."""
    out = [
        "# The Modbus mirror\n",
        "`[mirror]` in the site file opens a Modbus/TCP server that can only be read, for building management and",
        "SCADA: functions 3 and 4 give the same registers, unit 1 or 255; a write is answered with exception 1. Words",
        f"are big endian, the high word first. {MOST_SESSIONS} clients at most.\n",
        "No value: u16 0xFFFF, u32 0xFFFFFFFF, s32 0x80000000. A reading has none when it is stale or bad, a set point",
        "when the control does not give one. Ages end at 6553.4 s.\n",
    ]  # fmt: skip
    for title, lines in (
        ("Site", SITE),
        (f"Rack n, from 0 in the order of the site's tree: add {RACKS_AT} + {RACK_SIZE} n", RACK),
    ):
        out += [f"## {title}\n", "| register | type | name | what |", "| --- | --- | --- | --- |"]
        out += [f"| {line.at} | {line.type} | `{line.name}` | {line.what} |" for line in lines]
        out.append("")
    return "\n".join(out)
