"""The simulated hall of a site file: what its racks, tree, loops and meters are to the simulator, and its run."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

from rampd.daemon.config import Config
from rampd.daemon.equipment import Loop, Node, Rack
from rampd.daemon.logins import logins
from rampd.daemon.sitecheck import device_rows
from rampd.drivers import address, maps
from rampd.drivers.maphead import Kind
from rampd.drivers.members import MemberMap, Trust, place
from rampd.drivers.sim import faults as fault_file
from rampd.drivers.sim.cooling import WATER_W_PER_K_LPM
from rampd.drivers.sim.hall import SimHall
from rampd.drivers.sim.spec import DeviceSpec, HallSpec, LoopSpec, MemberSpec, NodeSpec, PlantSpec, RackSpec, SimError

_MW: Final = 1e6
_KW: Final = 1e3
# The set point of the facility water lies this far below the first warning.
_BELOW_WARN_C: Final = 6.0
_DELTA_C: Final = 12.0
_MOST_FLOW_LPM: Final = 5000.0


def spec(config: Config) -> HallSpec:
    """The hall that a checked site file describes."""
    plant = PlantSpec(
        racks=tuple(_rack(rack) for rack in config.racks),
        nodes=tuple(_node(node) for node in config.nodes),
        loops=tuple(_loop(loop, config.racks) for loop in config.loops),
        import_limit_w=config.site.import_limit_mw * _MW,
        losses=config.site.losses_percent / 100.0,
        nominal_hz=config.site.nominal_hz,
    )
    devices = []
    members: list[MemberSpec] = []
    racks = {rack.id: rack for rack in config.racks}
    for name, kind, device in device_rows(config):
        device_map = maps.load(device.map, config.map_folder)
        if isinstance(device_map, MemberMap):
            members += _members(config, racks[name], device_map)
            continue
        at = address.parse(device.address)
        if at.kind != "tcp":
            raise SimError(f"{name}: {at} is not Modbus/TCP: a simulated device listens at host:port")
        devices.append(DeviceSpec(name, cast(Kind, kind), at.host, at.port, device.unit, device_map))
    return HallSpec(plant, tuple(devices), tuple(members))


def _members(config: Config, rack: Rack, device_map: MemberMap) -> list[MemberSpec]:
    """A rack's BMCs or miners, which accept the login of the site file."""
    addresses = [member.address for member in config.members if member.rack == rack.id] or [rack.address]
    login = logins(config).get(rack.login, (None, Trust()))[0]
    found = []
    for number, text in enumerate(addresses):
        host, port = place(text, device_map)
        found.append(MemberSpec(rack.id, number, len(addresses), host, port, device_map, login))
    return found


async def run(
    config: Config,
    *,
    seed: int = 1,
    faults: Path | None = None,
    truth: Path | None = None,
    ready: Callable[[str], None],
) -> None:
    """Simulates the site until SIGTERM or SIGINT; `ready` gets a line once every device listens, and one at the end.

    Best run on uvloop. Raises SimError (FaultError for the fault file) with place and remedy.
    """
    hall = SimHall(spec(config), seed=seed, faults=fault_file.load(faults) if faults is not None else (), truth=truth)
    _raise_descriptor_limit()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await hall.start()
        ready(f"{len(hall.devices)} devices listen on {len(hall.endpoints)} addresses")
        await hall.run(stop)
    finally:
        await hall.stop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    ready(f"ended after {hall.ticks} plant ticks, {hall.skipped} skipped")


def _rack(rack: Rack) -> RackSpec:
    return RackSpec(
        id=rack.id, kind=rack.kind, node=rack.node, loop=rack.loop, min_w=rack.min_kw * _KW, max_w=rack.max_kw * _KW,
        up_w_per_s=rack.up_kw_per_s * _KW, down_w_per_s=rack.down_kw_per_s * _KW,
        dead_up_s=rack.dead_up_s, dead_down_s=rack.dead_down_s,
        fallback_w=(rack.max_kw if rack.fallback_kw is None else rack.fallback_kw) * _KW,
    )  # fmt: skip


def _node(node: Node) -> NodeSpec:
    return NodeSpec(node.id, node.parent, node.rating_kw * _KW * node.derating)


def _loop(loop: Loop, racks: tuple[Rack, ...]) -> LoopSpec:
    # A loop without racks still has water and a small pump.
    heat_w = max(10.0, sum(rack.max_kw for rack in racks if rack.loop == loop.id)) * _KW
    return LoopSpec(
        id=loop.id,
        supply_c=loop.warn_c - _BELOW_WARN_C,
        heat_w=heat_w,
        # A large loop is a wide one: its flow stays within what a unit can show.
        delta_c=max(_DELTA_C, heat_w / (WATER_W_PER_K_LPM * _MOST_FLOW_LPM)),
        min_flow_lpm=1.5 * loop.min_flow_lpm,
    )


def _raise_descriptor_limit() -> None:
    """Every device needs a listener and a connection; the customary soft limit of 1024 is too low for a large hall."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
