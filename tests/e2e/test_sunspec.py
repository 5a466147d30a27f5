"""SunSpec devices of several models: ours under an independent client, and independent ones under our discovery."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import struct
import time
from collections.abc import AsyncIterator, Mapping
from importlib.resources import files
from typing import Any

import pytest
from pymodbus.simulator import DataType, SimData, SimDevice
from sunspec2.modbus.client import SunSpecModbusClientDeviceTCP

from rampd.drivers import maps, sunspec
from rampd.drivers.sim.hall import SimHall
from rampd.drivers.sim.spec import DeviceSpec, HallSpec, LoopSpec, NodeSpec, PlantSpec, RackSpec
from rampd.ext.codes import SENTINEL
from rampd.ext.units import ModbusError
from tests.field import tcp, until
from tests.reader import HOST, pymodbus_server, reader

HOSTS = (f"127.40.201.{n}" for n in itertools.count(1))
RATING_W = 132e3
FLOOR_W = 20e3


def group_of(model: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((files("sunspec2") / "models" / "json" / f"model_{model}.json").read_text())
    return dict(found["group"])


def body(model: int, values: Mapping[str, float | str]) -> list[int]:
    """Registers of a model from its official definition, what is not given not implemented."""
    words = [model, 0]

    def add(group: Mapping[str, Any]) -> None:
        for point in group["points"]:
            size, kind, name = point["size"], point["type"], point["name"]
            if name in ("ID", "L") and len(words) < 3:
                continue
            if kind == "string":
                data = str(values.get(name, "")).encode().ljust(2 * size, b"\0")
            elif kind == "float32":
                data = struct.pack(">f", float(values.get(name, "nan")))
            elif name in values:
                data = round(float(values[name])).to_bytes(2 * size, "big", signed=float(values[name]) < 0)
            elif kind in ("int16", "sunssf", "int32"):
                data = b"\x80" + bytes(2 * size - 1)
            else:
                data = (b"\0" if kind.startswith("acc") else b"\xff") * (2 * size)
            words.extend(struct.unpack(f">{size}H", data))
        for inner in group.get("groups", ()):
            add(inner)

    add(group_of(model))
    words[1] = len(words) - 2
    return words


def device(base: int, *bodies: list[int], end: bool = True) -> SimDevice:
    words = [*struct.unpack(">2H", b"SunS"), *itertools.chain(*bodies), *([0xFFFF, 0] if end else [])]
    data = [SimData(base, values=words, datatype=DataType.REGISTERS)]
    if base:
        data.insert(0, SimData(0, values=[0] * 10, datatype=DataType.REGISTERS))
    return SimDevice(1, simdata=data)


COMMON = body(1, {"Mn": "Acme", "Md": "DER-1", "Vr": "4.2", "SN": "0815"})
DER = body(701, {"W": -1250, "W_SF": 2, "Hz": 60010, "Hz_SF": -3, "TotWhAbs": 123456789012, "TotWh_SF": 0, "InvSt": 3})
UNKNOWN = [64999, 3, 1, 2, 3]


# Independent servers under our discovery and our maps


@pytest.mark.parametrize("base", [40000, 0, 50000])
@pytest.mark.parametrize("end", [True, False], ids=["with end marker", "without"])
async def test_one_walk_finds_all_models_and_skips_what_it_does_not_know(base: int, end: bool) -> None:
    rack = body(704, {"WMaxLimPct": 605, "WMaxLimPct_SF": -1, "WMaxLimPctEna": 1, "WMaxLimPctRvrtTms": 30})
    rating = body(702, {"WMax": 1320, "W_SF": 2})
    async with (
        pymodbus_server(device(base, COMMON, UNKNOWN, rating, DER, UNKNOWN, rack, end=end)) as port,
        reader(tcp(HOST, port)) as ours,
    ):
        found = await ours.find(704, 701, 702)
        # 68 registers of the common model, 5 of the unknown, 52, 155 and 5 again: the first of a kind counts
        assert found == {1: base + 2, 64999: base + 70, 702: base + 75, 701: base + 127, 704: base + 287}
        values = await ours.values("sunspec-704")
        assert (values["power_w"], values["limit_percent"], values["rating_w"]) == (125e3, 60.5, 132e3)
        assert (values["enabled_state"], values["deadman_s"], values["fallback_percent"]) == (1, 30, SENTINEL)


@pytest.mark.parametrize(
    ("name", "bodies", "expected"),
    [
        (
            "sunspec-103",
            [COMMON, body(103, {"W": 1250, "W_SF": 3, "Hz": 6001, "Hz_SF": -2, "WH": 0, "WH_SF": 0})],
            {"power_w": 1.25e6, "frequency_hz": 60.01, "energy_wh": SENTINEL, "current_a": SENTINEL},
        ),
        (
            "sunspec-113", [COMMON, body(113, {"W": 1.25e6, "Hz": 60.25})],
            {"power_w": 1.25e6, "frequency_hz": 60.25, "apparent_va": SENTINEL},
        ),
        (
            "sunspec-213", [COMMON, body(213, {"W": 50e6, "WphA": 16e6, "Hz": 60.5, "VA": 51e6, "PhV": 7967.5})],
            {"power_w": 50e6, "power_l1_w": 16e6, "frequency_hz": 60.5, "apparent_va": 51e6, "voltage_v": 7967.5,
             "energy_wh": SENTINEL},
        ),
        # the frequency's scale factor is optional, and without one there is no frequency
        (
            "sunspec-203", [body(203, {"W": -5025, "W_SF": 4, "Hz": 5998, "TotWhImp": 7, "TotWh_SF": 3})],
            {"power_w": -50.25e6, "frequency_hz": SENTINEL, "energy_wh": 7000.0, "energy_export_wh": SENTINEL},
        ),
        ("sunspec-701", [COMMON, DER], {"power_w": -125e3, "frequency_hz": 60.01, "energy_wh": 123456789012.0}),
        (
            "sunspec-802", [COMMON, body(802, {"SoC": 8500, "SoC_SF": -2, "W": 1000, "W_SF": 2})],
            {"soc_percent": 85.0, "power_w": 100e3, "soh_percent": SENTINEL},
        ),
        (
            "sunspec-123",
            [COMMON, body(103, {"W": -1200, "W_SF": 2}), body(123, {"WMaxLimPct": 6, "WMaxLimPct_SF": 1})],
            {"power_w": 120e3, "limit_percent": 60.0, "revert_s": SENTINEL},
        ),
    ],
)  # fmt: skip
async def test_devices_of_official_definitions(name: str, bodies: list[list[int]], expected: dict[str, Any]) -> None:
    async with pymodbus_server(device(40000, *bodies)) as port, reader(tcp(HOST, port)) as ours:
        values = await ours.values(name)
        assert {key: values[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("bodies", "message"),
    [
        ([COMMON, DER], "no SunSpec model 702, 704; it has 1, 701"),
        # an older edition of the model, shorter than the map needs
        (
            [COMMON, DER, body(702, {}), [704, 40, *[0] * 40]],
            "SunSpec model 704 of the device has 40 registers, not 53",
        ),
        ([[0xFFFF, 0]], "no SunSpec model 701, 702, 704; it has none"),
    ],
)
async def test_what_a_device_lacks_is_said(bodies: list[list[int]], message: str) -> None:
    async with pymodbus_server(device(40000, *bodies)) as port, reader(tcp(HOST, port)) as ours:
        with pytest.raises(ModbusError, match=message):
            await sunspec.find(lambda at, n: ours.endpoint.read(1, 3, at, n, 1.0), maps.load("sunspec-704").extents())


async def test_a_device_without_a_marker_is_none() -> None:
    async with pymodbus_server(device(30000, COMMON, DER)) as port, reader(tcp(HOST, port)) as ours:
        with pytest.raises(ModbusError, match="no SunSpec marker at 40000, 0 or 50000"):
            await ours.find(701)


async def test_the_walk_ends_whatever_the_lengths_say() -> None:
    """Models of no length: a walk that trusts them looks at two hundred."""
    chain = [word for n in range(300) for word in (1000 + n, 0)]
    async with pymodbus_server(device(40000, chain)) as port, reader(tcp(HOST, port)) as ours:
        found = await sunspec.survey(lambda at, n: ours.endpoint.read(1, 3, at, n, 1.0))
        assert len(found) == sunspec.MOST
    chain = [1, 66, *[0] * 66, 1000, 65000]
    async with pymodbus_server(device(40000, chain)) as port, reader(tcp(HOST, port)) as ours:
        found = await sunspec.survey(lambda at, n: ours.endpoint.read(1, 3, at, n, 1.0))
        assert [model.id for model in found] == [1]


# Our simulated devices under an independent client


@contextlib.asynccontextmanager
async def simulated(kind: Any, name: str) -> AsyncIterator[DeviceSpec]:
    rack = RackSpec("r1", "gpu", "feeder", "loop", FLOOR_W, RATING_W, 500e3, 500e3, 0.1, 0.1, 60e3)
    plant = PlantSpec(
        (rack,), (NodeSpec("main", "", 1e6), NodeSpec("feeder", "main", 1e6)), (LoopSpec("loop", 30.0, RATING_W),), 1e6
    )
    spec = DeviceSpec("r1", kind, next(HOSTS), 15020, 1, maps.load(name))
    sim, stop = SimHall(HallSpec(plant, (spec,))), asyncio.Event()
    await sim.start()
    running = asyncio.create_task(sim.run(stop))
    try:
        await until(lambda: sim.ticks > 5)
        yield spec
    finally:
        stop.set()
        await running
        await sim.stop()


class Client:
    """pysunspec2, which blocks, in a thread of its own."""

    def __init__(self, spec: DeviceSpec) -> None:
        self.device = SunSpecModbusClientDeviceTCP(slave_id=1, ipaddr=spec.host, ipport=spec.port, timeout=10)

    async def scan(self) -> list[int]:
        await asyncio.to_thread(self.device.scan)
        return [number for number in self.device.models if isinstance(number, int)]

    def model(self, number: int) -> Any:
        return self.device.models[number][0]

    async def write(self, model: int, **values: float) -> None:
        for name, value in values.items():
            getattr(self.model(model), name).cvalue = value
        await asyncio.to_thread(self.model(model).write)

    async def read(self, model: int, point: str) -> float:
        await asyncio.to_thread(self.model(model).read)
        return float(getattr(self.model(model), point).cvalue)

    async def until(self, model: int, point: str, wanted: float, within_s: float = 15.0) -> None:
        async with asyncio.timeout(within_s):
            while abs(await self.read(model, point) - wanted) > 0.02 * abs(wanted) + 1e-6:
                pass


@contextlib.asynccontextmanager
async def client(spec: DeviceSpec) -> AsyncIterator[Client]:
    found = Client(spec)
    try:
        yield found
    finally:
        await asyncio.to_thread(found.device.close)


@pytest.mark.parametrize(
    ("kind", "name", "models"),
    [
        ("rack", "sunspec-704", [1, 701, 702, 704]), ("rack", "sunspec-123", [1, 103, 123]),
        ("meter", "sunspec-203", [1, 203]), ("meter", "sunspec-213", [1, 213]), ("battery", "sunspec-802", [1, 802]),
        ("inverter", "sunspec-103", [1, 103]), ("inverter", "sunspec-113", [1, 113]),
        ("inverter", "sunspec-701", [1, 701]),
    ],
)  # fmt: skip
async def test_an_independent_client_scans_every_simulated_device(kind: str, name: str, models: list[int]) -> None:
    async with simulated(kind, name) as spec, client(spec) as theirs:
        assert await theirs.scan() == models
        assert (theirs.model(1).Mn.value, theirs.model(1).Md.value) == ("rampd", name)
        assert all(theirs.model(number).model_len == sunspec.LENGTHS[number] for number in models)


async def test_a_limit_acts_once_it_is_enabled_and_the_revert_timer_takes_it_to_its_fallback() -> None:
    async with simulated("rack", "sunspec-704") as spec, client(spec) as theirs:
        await theirs.scan()
        assert theirs.model(702).WMax.cvalue == RATING_W
        await theirs.until(701, "W", -RATING_W)
        await theirs.write(704, WMaxLimPct=60.5, WMaxLimPctRvrt=40.0, WMaxLimPctEnaRvrt=1, WMaxLimPctRvrtTms=2, WRmp=25)
        # written, not enabled: nothing moves, and all of it reads back
        assert [await theirs.read(704, point) for point in ("WMaxLimPct", "WMaxLimPctRvrt", "WRmp")] == [60.5, 40.0, 25]
        assert await theirs.read(701, "W") == pytest.approx(-RATING_W, rel=0.02)
        await theirs.write(704, WMaxLimPctEna=1)
        await theirs.until(701, "W", -0.605 * RATING_W)
        # nobody writes any more
        await theirs.until(704, "WMaxLimPct", 40.0)
        await theirs.until(701, "W", -0.40 * RATING_W)
        assert await theirs.read(704, "WMaxLimPctEna") == 1
        # switched off, the rack is free
        await theirs.write(704, WMaxLimPctEna=0)
        await theirs.until(701, "W", -RATING_W)


async def test_a_revert_timer_without_a_fallback_lifts_the_limit() -> None:
    async with simulated("rack", "sunspec-123") as spec, client(spec) as theirs:
        await theirs.scan()
        await theirs.write(123, WMaxLimPct=50.0, WMaxLimPct_RvrtTms=1, WMaxLimPct_RmpTms=2, WMaxLim_Ena=1)
        await theirs.until(103, "W", -0.50 * RATING_W)
        assert await theirs.read(123, "WMaxLimPct_RmpTms") == 2
        await theirs.until(103, "W", -RATING_W)
        # at 0 it holds for ever
        await theirs.write(123, WMaxLimPct_RvrtTms=0, WMaxLimPct=50.0)
        await theirs.until(103, "W", -0.50 * RATING_W)
        written_s = time.monotonic()
        while time.monotonic() - written_s < 1.5:
            await theirs.read(123, "WMaxLimPct")
        assert await theirs.read(103, "W") == pytest.approx(-0.50 * RATING_W, rel=0.02)
