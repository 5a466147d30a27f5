"""Faults: the file, and what each kind brings to a socket or a plant."""

from __future__ import annotations

import asyncio
import itertools
import math
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest

from rampd.drivers import maps
from rampd.drivers.sim.faults import KINDS, FaultError, parse
from rampd.drivers.sim.hall import SimHall
from rampd.drivers.sim.server import Endpoint
from rampd.drivers.sim.spec import DeviceSpec, HallSpec, LoopSpec, NodeSpec, PlantSpec, RackSpec

HOSTS = (f"127.30.2.{n}" for n in itertools.count(1))
READ = bytes.fromhex("0007 0000 0006 01 03 0000 0004")
GOOD = bytes.fromhex("0007 0000 000b 01 03 08")
LIMIT_60_KW = bytes.fromhex("0008 0000 000b 01 10 0002 0002 04 0000ea60")


def hall(faults: str) -> SimHall:
    """One rack, its PDU, its loop and the meter, each on an address of its own; gpu-b shares that of gpu-a."""
    racks = tuple(
        RackSpec(name, "gpu", "pdu", "loop", 40e3, 132e3, 1e6, 1e6, 0.0, 0.0, 66e3) for name in ("gpu-a", "gpu-b")
    )
    nodes = (NodeSpec("main", "", 1e6), NodeSpec("pdu", "main", 1e6))
    plant = PlantSpec(racks, nodes, (LoopSpec("loop", 32.0, 264e3),), 1e6)
    gateway = next(HOSTS)
    devices = (
        DeviceSpec("gpu-a", "rack", gateway, 0, 1, maps.load("rack-power")),
        DeviceSpec("gpu-b", "rack", gateway, 0, 2, maps.load("rack-power")),
        DeviceSpec("pdu", "pdu", next(HOSTS), 0, 1, maps.load("xerus-pdu")),
        DeviceSpec("loop", "cdu", next(HOSTS), 0, 1, maps.load("orv3-rpu")),
        DeviceSpec("poi", "meter", next(HOSTS), 0, 1, maps.load("janitza-umg")),
    )
    return SimHall(HallSpec(plant, devices), seed=1, faults=parse(faults, "faults.toml"))


class Running:
    """A running hall, and raw sockets to it."""

    def __init__(self, faults: str) -> None:
        self.hall = hall(faults)
        self._stop = asyncio.Event()

    async def __aenter__(self) -> Running:
        await self.hall.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await self._task
        await self.hall.stop()

    async def go(self) -> None:
        """Starts the clock; faults that begin at once have begun."""
        self._task = asyncio.create_task(self.hall.run(self._stop))
        await self.until(lambda: self.hall.ticks >= 2)

    async def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(4000):
            if condition():
                return
            await asyncio.sleep(0.005)
        pytest.fail("waited 20 s in vain")

    @property
    def endpoint(self) -> Endpoint:
        return self.hall.endpoints[self.hall.devices["gpu-a"].spec.host, 0]

    async def connect(self, device: str = "gpu-a") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        spec = self.hall.devices[device].spec
        return await asyncio.open_connection(spec.host, self.hall.endpoints[spec.host, 0].port)

    async def ask(self, request: bytes, size: int, device: str = "gpu-a") -> bytes:
        reader, writer = await self.connect(device)
        writer.write(request)
        async with asyncio.timeout(20):
            answer = await reader.readexactly(size)
        writer.close()
        await writer.wait_closed()
        return answer

    async def limit_w(self, device: str = "gpu-a") -> float:
        unit = self.hall.devices[device].spec.unit
        answer = await self.ask(READ[:6] + bytes((unit,)) + READ[7:], 17, device)
        return float(struct.unpack_from(">I", answer, 13)[0])


def fault(kind: str, device: str = "gpu-a", **more: float) -> str:
    rest = "".join(f"{key} = {value}\n" for key, value in more.items())
    return f'[[fault]]\ndevice = "{device}"\nkind = "{kind}"\n{rest}'


@pytest.mark.parametrize(
    ("kind", "more", "answer"),
    [
        ("duplicate", {}, "0007 0000 000b 01 03 08 | 0007 0000 000b 01 03 08"),
        ("wrong_id", {}, "0008 0000 000b 01 03 08"),
        ("wrong_unit", {}, "0007 0000 000b 02 03 08"),
        ("foreign_function", {}, "0007 0000 000b 01 04 08"),
        ("short", {}, "0007 0000 0009 01 03 06"),
        ("short", {"missing": 3}, "0007 0000 0005 01 03 02"),
        ("short", {"missing": 9}, "0007 0000 0003 01 03 00"),
        ("byte_by_byte", {"gap_s": 0.001}, "0007 0000 000b 01 03 08"),
        ("late", {"delay_s": 0.2}, "0007 0000 000b 01 03 08"),
    ],
)
async def test_wrong_answers(kind: str, more: dict[str, float], answer: str) -> None:
    heads = [bytes.fromhex(part) for part in answer.split("|")]
    sizes = [9 + head[8] for head in heads]
    async with Running(fault(kind, "gpu-a", **more)) as running:
        await running.go()
        seen = await running.ask(READ, sum(sizes))
        for head, size in zip(heads, sizes, strict=True):
            assert seen[:9] == head
            seen = seen[size:]
        # Its neighbour behind the same address is sound.
        assert await running.limit_w("gpu-b") == 132e3


async def test_a_late_answer_is_late() -> None:
    async with Running(fault("late", delay_s=0.3)) as running:
        await running.go()
        began_s = time.monotonic()
        await running.ask(READ, 17)
        # An event loop's own clock may be a millisecond or two behind.
        assert time.monotonic() - began_s >= 0.29


async def test_a_silent_device_neither_answers_nor_acts() -> None:
    async with Running(fault("silent")) as running:
        await running.go()
        reader, writer = await running.connect()
        writer.write(LIMIT_60_KW + READ + READ[:6] + b"\x02" + READ[7:])
        async with asyncio.timeout(20):
            # The answer to the third request, for the neighbour, is the first to come.
            assert (await reader.readexactly(17))[6] == 2
        assert running.hall.plant.racks.limit_w == [132e3, 132e3]
        writer.close()
        await writer.wait_closed()


async def test_garbage_is_no_answer() -> None:
    async with Running(fault("garbage")) as running:
        await running.go()
        reader, writer = await running.connect()
        writer.write(READ)
        async with asyncio.timeout(20):
            seen = await reader.read(100)
        assert seen
        assert not GOOD.startswith(seen[:6])
        writer.close()
        await writer.wait_closed()


async def test_a_request_is_met_by_a_reset() -> None:
    async with Running(fault("rst")) as running:
        await running.go()
        reader, writer = await running.connect()
        writer.write(READ)
        async with asyncio.timeout(20):
            with pytest.raises(ConnectionResetError):
                await reader.readexactly(1)
        writer.close()
        with pytest.raises(ConnectionResetError):
            await writer.wait_closed()


async def test_half_open_keeps_connections_and_is_mute_until_it_ends() -> None:
    async with Running(fault("half_open", for_s=2.0)) as running:
        old, old_writer = await running.connect()
        await running.go()
        new, new_writer = await running.connect()
        for writer in (old_writer, new_writer):
            writer.write(READ)
        waiting = [asyncio.ensure_future(reader.readexactly(17)) for reader in (old, new)]
        ticks = running.hall.ticks
        await running.until(lambda: running.hall.ticks > ticks + 5)
        assert running.endpoint.deaf
        assert not any(task.done() for task in waiting)
        async with asyncio.timeout(20):
            assert [answer[:9] for answer in await asyncio.gather(*waiting)] == [GOOD, GOOD]
        for writer in (old_writer, new_writer):
            writer.close()
            await writer.wait_closed()


@pytest.mark.parametrize("devices", ["gpu-a", "gpu-*"])
async def test_down_refuses_until_it_ends(devices: str) -> None:
    async with Running(fault("down", devices, for_s=1.0)) as running:
        reader, writer = await running.connect()
        await running.go()
        with pytest.raises(ConnectionRefusedError):
            await running.connect()
        async with asyncio.timeout(20):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        await running.until(lambda: running.endpoint.listening)
        assert await running.limit_w() == 132e3


async def test_a_reboot_forgets_limit_and_dead_man() -> None:
    async with Running(fault("reboot", for_s=0.5)) as running:
        await running.ask(LIMIT_60_KW, 12)
        await running.ask(bytes.fromhex("0001 0000 0006 01 06 0004 001e"), 12)
        racks = running.hall.plant.racks
        assert (racks.limit_w[0], racks.deadman_s[0]) == (60e3, 30.0)
        await running.go()
        await running.until(lambda: running.endpoint.listening)
        assert await running.limit_w() == 132e3
        assert racks.deadman_s[0] == 0.0


async def test_frozen_values_stand_while_writes_act() -> None:
    async with Running(fault("frozen", for_s=2.0)) as running:
        await running.go()
        before = await running.ask(READ, 17)
        await running.ask(LIMIT_60_KW, 12)
        await running.until(lambda: running.hall.plant.racks.power_w[0] < 61e3)
        device = running.hall.devices["gpu-a"]
        assert device.frozen
        assert await running.ask(READ, 17) == before
        await running.until(lambda: not device.frozen)
        assert await running.limit_w() == 60e3


async def test_sentinels_replace_every_value_until_the_end() -> None:
    faults = fault("sentinel", for_s=1.5) + fault("sentinel", "poi")
    async with Running(faults) as running:
        await running.go()
        assert (await running.ask(READ, 17))[9:] == b"\xff" * 8
        power = await running.ask(bytes.fromhex("0001 0000 0006 01 03 4a52 0002"), 13, "poi")
        assert math.isnan(struct.unpack(">f", power[9:])[0])
        await running.until(lambda: not running.hall.devices["gpu-a"].absent)
        assert await running.limit_w() == 132e3


async def test_ignored_writes_are_echoed() -> None:
    async with Running(fault("writes_ignored")) as running:
        await running.go()
        assert await running.ask(LIMIT_60_KW, 12) == bytes.fromhex("0008 0000 0006 01 10 0002 0002")
        assert await running.limit_w() == 132e3


async def test_reverted_writes_hold_for_a_while() -> None:
    async with Running(fault("writes_reverted", revert_s=0.5)) as running:
        await running.go()
        await running.ask(LIMIT_60_KW, 12)
        assert running.hall.plant.racks.limit_w[0] == 60e3
        await running.until(lambda: running.hall.plant.racks.limit_w[0] == 132e3)
        assert await running.limit_w() == 132e3


async def test_a_second_writer_insists() -> None:
    async with Running(fault("second_writer", value_w=90000.0, revert_s=0.2)) as running:
        await running.go()
        await running.until(lambda: running.hall.plant.racks.limit_w[0] == 90e3)
        await running.ask(LIMIT_60_KW, 12)
        await running.until(lambda: running.hall.plant.racks.limit_w[0] == 90e3)


async def test_a_stuck_rack_latches_and_does_not_follow() -> None:
    async with Running(fault("stuck")) as running:
        await running.go()
        power_w = running.hall.plant.racks.power_w[0]
        await running.ask(LIMIT_60_KW, 12)
        ticks = running.hall.ticks
        await running.until(lambda: running.hall.ticks > ticks + 20)
        assert await running.limit_w() == 60e3
        assert running.hall.plant.racks.power_w[0] == power_w


async def test_failed_pumps_show_in_flow_and_alarm() -> None:
    async with Running(fault("pump_fail", "loop", share=0.2)) as running:
        await running.go()
        loop = running.hall.plant.loops[0]
        await running.until(lambda: loop.flow_lpm < 0.9 * loop.design_lpm)
        alarm = await running.ask(bytes.fromhex("0001 0000 0006 01 03 9201 0001"), 11, "loop")
        assert alarm[9:] == b"\x00\x40"


async def test_moist_air_comes_and_goes() -> None:
    async with Running(fault("humid", "loop", dew_point_c=31.0, for_s=0.3)) as running:
        await running.go()
        loop = running.hall.plant.loops[0]
        assert loop.dew_point_c == 31.0
        await running.until(lambda: loop.dew_point_c == loop.spec.dew_point_c == 12.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[fault]\n", "faults.toml: not TOML"),
        ("x = " + "[" * 3000, "faults.toml: not TOML"),
        ('[[fault]]\nkind = "down"\n', "fault 1: device is missing: add device"),
        ('[[fault]]\ndevice = "a"\n', "fault 1: kind is missing: one of down, half_open"),
        (fault("down") + fault("lat"), "fault 2: there is no kind 'lat': did you mean 'late'?"),
        (fault("late"), "fault 1: delay_s is missing: add delay_s"),
        (fault("late", delay=1), "fault 1: unknown key 'delay': did you mean 'delay_s'?"),
        (fault("down", delay_s=1), "fault 1: unknown key 'delay_s'"),
        (fault("late", delay_s=-1), r"fault 1: delay_s: Input should be greater than 0 \(got -1\)"),
        (fault("reboot"), "fault 1: a reboot needs for_s"),
        (fault("down", at_s=-1), "fault 1: at_s: "),
        ("[[faults]]\n", "file: unknown key 'faults': did you mean 'fault'?"),
    ],
)
def test_a_wrong_file_says_where_and_what_to_do(text: str, message: str) -> None:
    with pytest.raises(FaultError, match=message.replace("?", r"\?")):
        parse(text, "faults.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (fault("down", "gpu-c"), r"fault 1 \(down\): device 'gpu-c' matches no device: did you mean"),
        (fault("down", "asic-*"), "'asic-.' matches no device"),
        (fault("stuck", "poi"), "poi is a meter: stuck needs a rack"),
        (fault("pump_fail", "gpu-a"), "gpu-a is a rack: pump_fail needs a cdu"),
        (fault("humid", "gpu-a", dew_point_c=20), "gpu-a is a rack: humid needs a cdu"),
        (fault("late", delay_s=1) + fault("silent", at_s=5), "late and silent both on gpu-a from 5 s: let one end"),
        (fault("frozen", for_s=5) + fault("frozen", "gpu-*", at_s=4), "fault 2: frozen and frozen both on gpu-a"),
    ],
)  # fmt: skip
def test_a_fault_that_does_not_fit_the_hall_is_refused(text: str, message: str) -> None:
    with pytest.raises(FaultError, match=message):
        hall(text)


def test_faults_of_different_places_go_together() -> None:
    hall(fault("late", delay_s=1, for_s=5) + fault("silent", at_s=5) + fault("frozen") + fault("stuck", "gpu-?"))


def test_every_kind_is_described_where_it_is_defined() -> None:
    for kind, model in KINDS.items():
        described: Any = model.__doc__
        assert kind in described or len(model.model_fields["kind"].annotation.__args__) == 1  # type: ignore[union-attr]
