"""A BMC behind a gate that breaks its wire, alone and in a rack: slow is borne, broken is an error in time, mended is
good at once, and the other nodes of the rack make up for what one does not take."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from rampd.drivers import protocols
from rampd.drivers.members import DeviceError, Reading, Trust
from rampd.drivers.rack_members import MemberRack
from rampd.drivers.redfish.map import RedfishMap
from rampd.drivers.sim import serve
from rampd.drivers.sim.faults import ByteByByte, Fault, Late, Plain
from rampd.drivers.sim.gate import Gate
from rampd.drivers.sim.members import Member
from rampd.drivers.sim.plant import Plant
from rampd.ext import views
from tests.bmc import LOGIN, address, plant, shipped
from tests.field import image, until

POWER, LIMIT = 0, 1
TIMEOUT_S = 0.4


@dataclass
class Node:
    """One node: its member in the plant, the gate before its BMC, our side of it."""

    member: Member
    gate: Gate
    ours: Any


def broken(kind: Any) -> Fault:
    return Plain(device="m", kind=kind)


@contextlib.asynccontextmanager
async def nodes(device_map: RedfishMap, count: int = 1) -> AsyncIterator[tuple[Plant, list[Node]]]:
    hall = plant(count * device_map.capability.max_w)
    hall.start(time.monotonic())
    found: list[Node] = []
    members = [Member(hall, 0, k, count, device_map.capability) for k in range(count)]
    for member in members:
        member.siblings = members
        gate = Gate(serve.server(member, device_map, LOGIN), address(), 0)
        await gate.open()
        ours = protocols.member(device_map, f"http://{gate.host}:{gate.port}", LOGIN, Trust())
        found.append(Node(member, gate, ours))
    try:
        yield hall, found
    finally:
        for node in found:
            await node.ours.close()
            await node.gate.stop()
        await asyncio.sleep(0)


def quick(name: str, **changed: Any) -> RedfishMap:
    return shipped(name, **changed).model_copy(update={"timeout_s": TIMEOUT_S, "update_s": 0.1, "accept_s": 0.6})


@pytest.mark.parametrize("name", ["redfish-chassis", "redfish-hgx"])
@pytest.mark.parametrize(
    "fault", [Late(device="m", kind="late", delay_s=0.04), ByteByByte(device="m", kind="byte_by_byte", gap_s=0.0001)]
)
async def test_slow_answers_are_borne(name: str, fault: Fault) -> None:
    device_map = quick(name).model_copy(update={"timeout_s": 10.0})
    async with nodes(device_map) as (_, (node,)):
        node.gate.trouble = fault
        ability = await node.ours.open()
        await node.ours.set_limit(ability.min_w)
        assert node.member.limit_w == ability.min_w
        assert (await node.ours.read()).limit_w == ability.min_w


@pytest.mark.parametrize("name", ["redfish-chassis", "redfish-hgx"])
@pytest.mark.parametrize("kind", ["silent", "rst", "garbage"])
async def test_a_broken_wire_is_an_error_in_time_and_a_mended_one_good_at_once(name: str, kind: str) -> None:
    device_map = quick(name)
    async with nodes(device_map) as (_, (node,)):
        ability = await node.ours.open()
        await node.ours.set_limit(5000.0)
        node.gate.trouble = broken(kind)
        for call in (node.ours.read, lambda: node.ours.set_limit(ability.max_w)):
            began_s = time.monotonic()
            with pytest.raises(DeviceError) as failed:
                await call()
            assert not failed.value.refused
            # Eight GPUs, two at a time: four rounds of the timeout at most.
            assert time.monotonic() - began_s < 6 * TIMEOUT_S
        assert node.member.limit_w == 5000.0, "nothing was raised"
        node.gate.trouble = None
        assert (await node.ours.read()).limit_w == 5000.0
        await node.ours.set_limit(6000.0)
        assert node.member.limit_w == 6000.0


async def test_a_half_open_connection_is_left_behind() -> None:
    async with nodes(quick("redfish-chassis")) as (_, (node,)):
        await node.ours.open()
        node.gate.deafen("test")
        with pytest.raises(DeviceError, match=r"no answer within 0.4 s"):
            await node.ours.read()
        node.gate.hear("test")
        assert isinstance(await node.ours.read(), Reading)


async def test_a_bmc_that_restarts_comes_back_by_itself() -> None:
    async with nodes(quick("redfish-hgx")) as (_, (node,)):
        await node.ours.open()
        await node.ours.set_limit(5000.0)
        node.gate.take_down("reboot")
        with pytest.raises(DeviceError, match=r"no connection: .*: check address and port|no usable answer"):
            await node.ours.read()
        node.gate.server.power_on()
        node.gate.bring_up("reboot")
        await node.gate.open()
        assert (await node.ours.read()).limit_w == 8600.0, "and its lost limit shows"


@pytest.mark.parametrize("kind", ["silent", "rst", "garbage"])
async def test_the_other_nodes_of_a_rack_make_up_for_one(kind: str) -> None:
    device_map = quick("redfish-chassis")
    async with nodes(device_map, 4) as (hall, found):
        inputs = views.inputs(wall := image(2))
        rack = MemberRack(
            "rack-1", [node.ours for node in found], device_map, inputs, {"power_w": POWER, "limit_w": LIMIT}, 0.1
        )
        running = asyncio.create_task(rack.run())
        try:
            await until(lambda: rack.members_up == 4)
            await rack.set_limit(28_000.0)
            assert [node.member.limit_w for node in found] == [7000.0] * 4
            found[0].gate.trouble = broken(kind)
            await rack.set_limit(22_000.0)
            assert found[0].member.limit_w == 7000.0
            assert sum(node.member.limit_w for node in found) <= 22_000.0 + rack.tolerance_w
            found[0].gate.trouble = None
            await until(lambda: rack.members_up == 4)
            await rack.set_limit(24_000.0)
            assert [node.member.limit_w for node in found] == [6000.0] * 4
            await until(lambda: inputs.value[LIMIT] == 24_000.0)
            hall.step(time.monotonic() + 5.0)
            await until(lambda: abs(inputs.value[POWER] - 24_000.0) < 50.0)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert wall is not None
        for node in found:
            assert node.gate.server.sessions == {}  # type: ignore[attr-defined]
