"""The mirror under the eyes of mbpoll and pymodbus: what it shows, when it shows nothing, and that it takes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusTcpClient

from rampd.daemon import sitecheck
from rampd.daemon.mirror import MOST_SESSIONS, NO_VALUE, RACK, RACK_SIZE, RACKS_AT, SITE, SITE_SIZE, Mirror, table
from rampd.daemon.site import compose
from rampd.drivers.server import AT_ONCE, ListenError
from rampd.ext import codes, views
from rampd.ext.image import InputWall, OutputWall
from tests.field import until
from tests.reader import tool
from tests.sites import EXAMPLES

HOST = "127.40.210.1"
RACK_W = 60_000.0


class Bench:
    """The small example, with readings and a snapshot that the test writes."""

    def __init__(self) -> None:
        self.composed = compose(sitecheck.load(EXAMPLES / "bench-12" / "site.toml"))
        self.wall = InputWall(self.composed.limits)
        self.inputs = views.inputs(self.wall)
        self.outputs = OutputWall(self.composed.limits)
        self.out = views.outputs(self.outputs)
        self.mirror = Mirror(self.composed, self.inputs, lambda: self.out)
        self.port = 0

    def live(self) -> None:
        """Everything is read and controlled now."""
        now_ns = time.monotonic_ns()
        out = self.out
        out.started, out.tick, out.at_ns, out.verb, out.envelope = 1, 0x1_0000_0007, now_ns, codes.TRACK, 1
        out.goal_w, out.reference_w, out.firm_down_w, out.firm_up_w = 900e3, 950e3, 400e3, 12.4
        self.read(self.composed.meter.slots["power_w"], 1.25e6)
        self.read(self.composed.meter.slots["frequency_hz"], 59.98)
        for i, rack in enumerate(self.composed.rack_points):
            self.read(rack.slots["power_w"], RACK_W + i)
            out.active[i], out.stale[i], out.setpoint_w[i] = 1, 0, 66_000.0 + i

    def read(self, slot: int, value: float, age_s: float = 0.0, quality: codes.Quality = codes.GOOD) -> None:
        self.inputs.value[slot] = value
        self.inputs.quality[slot] = quality
        self.inputs.at_ns[slot] = time.monotonic_ns() - round(age_s * 1e9)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    made.port = await made.mirror.open(HOST, 0)
    yield made
    made.mirror.close()
    await asyncio.sleep(0)


async def mbpoll(bench: Bench, words: str, values: str = "") -> tuple[int, list[int], str]:
    """Exit code, the numbers shown, and all that it said. With `values` it writes."""
    once = "" if values else "-1"
    command = [tool("mbpoll", "mbpoll"), *f"-m tcp -p {bench.port} -0 {once} {words} {HOST} {values}".split()]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30)
    lines = [line for line in ended.stdout.splitlines() if line.startswith("[")]
    return ended.returncode, [int(line.split()[1]) for line in lines], ended.stdout + ended.stderr


async def test_mbpoll_reads_the_site_and_a_rack(bench: Bench) -> None:
    bench.live()
    rack_at = RACKS_AT + 3 * RACK_SIZE
    for words, numbers in (
        ("-a 1 -t 4:int -B -r 8 -c 1", [1_250_000]), ("-a 255 -t 3:int -B -r 12 -c 2", [900_000, 950_000]),
        ("-a 1 -t 4 -r 11 -c 1", [5998]), (f"-a 1 -t 4:int -B -r {rack_at} -c 2", [60_003, 66_003]),
    ):  # fmt: skip
        assert (await mbpoll(bench, words))[:2] == (0, numbers)


@pytest.mark.parametrize(
    ("words", "values"), [("-t 4 -r 8", "5"), ("-t 0 -r 0", "1"), (f"-t 4 -r {RACKS_AT + 2}", "7 8")]
)
async def test_mbpoll_can_write_nothing(bench: Bench, words: str, values: str) -> None:
    bench.live()
    code, _, said = await mbpoll(bench, f"-a 1 {words}", values)
    assert code != 0
    assert "Illegal function" in said


@pytest.fixture
async def client(bench: Bench) -> AsyncIterator[AsyncModbusTcpClient]:
    made = AsyncModbusTcpClient(HOST, port=bench.port)
    assert await made.connect()
    yield made
    made.close()


def shown(words: list[int], lines: tuple[object, ...], base: int = 0) -> dict[str, int | None]:
    """Every line's value by the table, None for the word that says there is none."""
    data = struct.pack(f">{len(words)}H", *words)
    found: dict[str, int | None] = {}
    for line in lines:
        raw = data[2 * (base + line.at) : 2 * (base + line.at + line.words)]  # type: ignore[attr-defined]
        number = int.from_bytes(raw, "big", signed=line.type == "s32")  # type: ignore[attr-defined]
        found[line.name] = None if raw == NO_VALUE[line.type] else number  # type: ignore[attr-defined]
    return found


async def site(client: AsyncModbusTcpClient) -> dict[str, int | None]:
    return shown((await client.read_input_registers(0, count=SITE_SIZE, device_id=1)).registers, SITE)


async def test_the_whole_table(bench: Bench, client: AsyncModbusTcpClient) -> None:
    bench.live()
    found = await site(client)
    assert found == {
        "layout": 1, "racks": 12, "tick": 7, "tick_age_ds": pytest.approx(0, abs=5), "fault": 0, "mode": 1,
        "envelope": 1, "power_w": 1_250_000, "power_age_ds": pytest.approx(0, abs=5), "frequency_chz": 5998,
        "requested_w": 900_000, "reference_w": 950_000, "firm_down_w": 400_000, "firm_up_w": 12,
        "racks_available": 12, "racks_stale": 0, "racks_unresponsive": 0, "racks_manual": 0, "racks_locked": 0,
    }  # fmt: skip
    read = await client.read_holding_registers(RACKS_AT, count=12 * RACK_SIZE, device_id=1)
    for i in range(12):
        rack = shown(read.registers, RACK, i * RACK_SIZE)
        assert rack == {
            "power_w": 60_000 + i, "setpoint_w": 66_000 + i, "power_age_ds": pytest.approx(0, abs=5), "quality": 1,
            "state": 0,
        }  # fmt: skip
    # Any part of it is the same words.
    part = await client.read_holding_registers(RACKS_AT + 5, count=20, device_id=1)
    assert [word for k, word in enumerate(part.registers) if (k + 5) % RACK_SIZE != 4] == [
        word for k, word in enumerate(read.registers[5:25]) if (k + 5) % RACK_SIZE != 4
    ]


async def test_before_anything_was_read_there_is_no_value(client: AsyncModbusTcpClient) -> None:
    found = await site(client)
    known = {"layout", "racks", "tick", "fault", *(f"racks_{s}" for s in ("available", "stale", "manual", "locked"))}
    assert {name for name, value in found.items() if value is not None} == known | {"racks_unresponsive"}
    assert found["racks_stale"] == 12
    read = await client.read_holding_registers(RACKS_AT, count=RACK_SIZE, device_id=1)
    rack = shown(read.registers, RACK)
    assert rack == {"power_w": None, "setpoint_w": None, "power_age_ds": None, "quality": 0, "state": 1}


@pytest.mark.parametrize(
    ("quality", "age_s"), [(codes.GOOD, 7.0), (codes.SENTINEL, 0.0), (codes.RANGE, 0.0), (codes.REFUSED, 0.0)]
)
async def test_a_reading_that_is_stale_or_bad_has_no_value_and_its_age_tells(
    bench: Bench, client: AsyncModbusTcpClient, quality: codes.Quality, age_s: float
) -> None:
    bench.live()
    bench.read(bench.composed.meter.slots["power_w"], 1.25e6, age_s, quality)
    bench.read(bench.composed.rack_points[0].slots["power_w"], 1.0, age_s, quality)
    found = await site(client)
    assert found["power_w"] is None
    assert found["power_age_ds"] == pytest.approx(10 * age_s, abs=5)
    rack = shown((await client.read_holding_registers(RACKS_AT, count=RACK_SIZE, device_id=1)).registers, RACK)
    assert (rack["power_w"], rack["quality"]) == (None, quality)
    assert rack["setpoint_w"] == 66_000


async def test_the_age_is_that_of_the_meter_that_counts(bench: Bench, client: AsyncModbusTcpClient) -> None:
    """With a second meter that is a slot of its own, and the first may not have been read for long."""
    views.limits(bench.composed.limits).site.power_slot = bench.composed.rack_points[0].slots["power_w"]
    bench.live()
    bench.read(bench.composed.meter.slots["power_w"], 1.25e6, 60.0)
    found = await site(client)
    assert (found["power_w"], found["power_age_ds"]) == (RACK_W, pytest.approx(0, abs=5))


async def test_a_control_loop_that_stands_gives_no_set_points(bench: Bench, client: AsyncModbusTcpClient) -> None:
    bench.live()
    bench.out.at_ns -= 3_000_000_000
    found = await site(client)
    assert {found[name] for name in ("mode", "envelope", "requested_w", "reference_w", "firm_down_w")} == {None}
    assert found["tick_age_ds"] == pytest.approx(30, abs=5)
    assert found["power_w"] == 1_250_000
    rack = shown((await client.read_holding_registers(RACKS_AT, count=RACK_SIZE, device_id=1)).registers, RACK)
    assert rack["setpoint_w"] is None


async def test_a_power_that_does_not_fit_is_no_value(bench: Bench, client: AsyncModbusTcpClient) -> None:
    bench.live()
    for watts in (3e9, float("inf"), float("nan")):
        bench.read(bench.composed.meter.slots["power_w"], watts)
        assert (await site(client))["power_w"] is None


@pytest.mark.parametrize(
    ("at", "count", "code"),
    [
        (SITE_SIZE - 1, 2, 2),
        (500, 1, 2),
        (RACKS_AT - 1, 2, 2),
        (RACKS_AT + 12 * RACK_SIZE - 1, 2, 2),
        (0xFFFF, 1, 2),
    ],
)
async def test_what_is_not_there_is_refused(client: AsyncModbusTcpClient, at: int, count: int, code: int) -> None:
    assert (await client.read_holding_registers(at, count=count, device_id=1)).exception_code == code


@pytest.mark.parametrize(
    "pdu", ["03", "0300000000", "030000007e", "03000000010", "0500000000", "10", "2b", "2b0e0100ff"]
)
def test_a_malformed_request_is_refused(pdu: str) -> None:
    answer = Bench().mirror.answer(bytes.fromhex(pdu if len(pdu) % 2 == 0 else pdu + "0"))
    assert answer[0] & 0x80
    assert answer[1] in (1, 2, 3)


async def test_it_says_what_it_is(client: AsyncModbusTcpClient) -> None:
    found = await client.read_device_information(device_id=1)
    assert [found.information[i] for i in (0, 1)] == [b"rampd", b"mirror"]


async def test_clients_are_bounded_and_a_taken_address_is_named(bench: Bench) -> None:
    wires = [await asyncio.open_connection(HOST, bench.port) for _ in range(MOST_SESSIONS + 3)]
    async with asyncio.timeout(10):
        for reader, _ in wires[MOST_SESSIONS:]:
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read(1) == b"", "it was turned away"
    wires[0][1].write(bytes.fromhex("000100000006 01 03 0000 0001"))
    assert (await wires[0][0].read(11))[-2:] == b"\0\1"
    for _, writer in wires:
        writer.close()
    with pytest.raises(ListenError, match=rf"cannot listen on {HOST}:{bench.port}"):
        await Bench().mirror.open(HOST, bench.port)


def test_the_table_has_no_overlaps_and_is_documented() -> None:
    for lines, size in ((SITE, SITE_SIZE), (RACK, RACK_SIZE)):
        taken = [at for line in lines for at in range(line.at, line.at + line.words)]
        assert len(set(taken)) == len(taken)
        assert max(taken) < size
        for line in lines:
            assert f"| {line.at} | {line.type} | `{line.name}` |" in table()
    assert Path(__file__).parents[2].joinpath("docs/mirror.md").read_text(encoding="utf-8").endswith(table())


async def test_a_client_that_asks_and_does_not_read_is_not_read_either(bench: Bench) -> None:
    """Its answers are bounded, others are answered meanwhile, and it gets every one once it reads."""
    bench.live()
    asked, taken = 20_000, 0
    wire = socket.socket()
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    wire.setblocking(False)
    await asyncio.get_running_loop().sock_connect(wire, (HOST, bench.port))
    reader, writer = await asyncio.open_connection(sock=wire, limit=1024)
    endpoint = bench.mirror._endpoint
    assert endpoint is not None
    await until(lambda: endpoint.sessions)
    (session,) = endpoint.sessions
    assert session.transport is not None
    transport = session.transport
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    for number in range(asked):
        writer.write(struct.pack(">HHHBBHH", number & 0xFFFF, 0, 6, 1, 3, 0, SITE_SIZE))
    await until(lambda: transport.get_write_buffer_size() > 0 and not transport.is_reading())
    assert transport.get_write_buffer_size() < 256 * 1024
    other = AsyncModbusTcpClient(HOST, port=bench.port)
    assert await other.connect()
    assert (await other.read_holding_registers(0, count=2, device_id=1)).registers[1] == len(bench.composed.racks)
    other.close()
    for number in range(asked):
        answer = await reader.readexactly(9 + 2 * SITE_SIZE)
        taken += struct.unpack_from(">H", answer)[0] == number & 0xFFFF
    assert taken == asked
    await until(transport.is_reading)
    writer.transport.abort()
    await until(lambda: not endpoint.sessions)


async def test_many_requests_at_once_do_not_hold_up_the_event_loop(bench: Bench) -> None:
    answer, in_a_row, most = bench.mirror.answer, 0, 0

    def counted(pdu: bytes) -> bytes:
        nonlocal in_a_row, most
        in_a_row += 1
        most = max(most, in_a_row)
        return answer(pdu)

    bench.mirror.answer = counted  # type: ignore[method-assign]
    reader, writer = await asyncio.open_connection(HOST, bench.port)
    writer.write(struct.pack(">HHHBBHH", 1, 0, 6, 1, 3, 0, 1) * 2000)
    answers = asyncio.ensure_future(reader.readexactly(2000 * 11))
    while not answers.done():
        in_a_row = 0
        await asyncio.sleep(0)
    assert AT_ONCE <= most <= 2 * AT_ONCE
    writer.close()


async def test_a_client_that_vanished_gives_up_its_place(bench: Bench, client: AsyncModbusTcpClient) -> None:
    endpoint = bench.mirror._endpoint
    assert endpoint is not None
    await until(lambda: endpoint.sessions)
    (session,) = endpoint.sessions
    assert session.transport is not None
    wire = session.transport.get_extra_info("socket")
    assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    silence_s = wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
    silence_s += wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) * wire.getsockopt(
        socket.IPPROTO_TCP, socket.TCP_KEEPCNT
    )
    assert silence_s <= 30
