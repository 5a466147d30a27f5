"""The devices of a site as objects that speak: links, Modbus devices, racks, and what follows up each rack's limit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from rampd.daemon import deadman
from rampd.daemon.config import Config
from rampd.daemon.delivery import Target
from rampd.daemon.equipment import Rack
from rampd.daemon.logins import logins
from rampd.daemon.nameplates import Nameplates
from rampd.daemon.poll import Wheel, discover
from rampd.daemon.site import UNSURE, Composed, Point, wait_s
from rampd.daemon.standby import Standby
from rampd.drivers import address, protocols
from rampd.drivers.address import Transport
from rampd.drivers.device import ModbusDevice
from rampd.drivers.maps import DeviceMap
from rampd.drivers.members import MemberMap, Trust
from rampd.drivers.modbus import Endpoint, Pace
from rampd.drivers.rack_members import MemberRack
from rampd.drivers.rack_modbus import ModbusRack, Rating
from rampd.drivers.racks import DeadMan, RackDriver
from rampd.ext.image import InputWall
from rampd.ext.views import Inputs


class Field:
    """Everything that is read and written, with `shadow` only read. Reads certificate and secret files: not for the
    event loop.

    Raises ConfigError or DeviceError when a secret or certificate cannot be used.
    """

    def __init__(self, composed: Composed, wall: InputWall, inputs: Inputs, *, shadow: bool = False) -> None:
        self._composed = composed
        self._inputs = inputs
        self.endpoints = _endpoints(composed, wall)
        self.devices: list[ModbusDevice] = []
        self.member_racks: list[MemberRack] = []
        self.wheel = Wheel(wall, self.endpoints.values())
        self.standby = Standby.of(composed, inputs)
        if self.standby is not None:
            self.wheel.before = self.standby.look
        self._drivers: dict[str, RackDriver] = {}
        self._logins = logins(composed.config)
        places = zip(composed.racks, composed.rack_points, strict=True)
        self.dead_men_s = deadman.times_s(composed.config, [(rack, point.map) for rack, point in places])
        racks = {rack.id: rack for rack in composed.racks}
        for point in composed.points:
            rack = racks.get(point.id)
            if isinstance(point.map, MemberMap):
                assert rack is not None
                self._add_members(rack, point, point.map.watching() if shadow else point.map)
            else:
                self._add_modbus(rack, point, point.map)
        self.nameplates = Nameplates(self.devices)

    def _add_modbus(self, rack: Rack | None, point: Point, device_map: DeviceMap) -> None:
        rating_w = None if rack is None else rack.max_kw * 1e3
        endpoint = self.endpoints[point.device.address]
        device = ModbusDevice(
            point.id, endpoint, point.device.unit, device_map, point.slots, point.device.period_s, rating_w
        )
        self.devices.append(device)
        if rack is not None:
            fallback_w = (rack.min_kw if rack.fallback_kw is None else rack.fallback_kw) * 1e3
            after_s = self.dead_men_s.get(rack.id, self._composed.config.control.deadman_s)
            dead_man = DeadMan(after_s, fallback_w)
            rating = Rating(rack.max_kw * 1e3, max(rack.up_kw_per_s, rack.down_kw_per_s) * 1e3)
            self._drivers[rack.id] = ModbusRack(device, self._inputs, dead_man, rating)

    def _add_members(self, rack: Rack, point: Point, device_map: MemberMap) -> None:
        config = self._composed.config
        login, trust = self._logins.get(rack.login, (None, Trust()))
        addresses = [member.address for member in config.members if member.rack == rack.id] or [rack.address]
        foreign = rack.foreign or config.control.foreign
        members = [protocols.member(device_map, place, login, trust) for place in addresses]
        driver = MemberRack(rack.id, members, device_map, self._inputs, point.slots, rack.period_s, foreign)
        self.member_racks.append(driver)
        self._drivers[rack.id] = driver

    def start(self, group: asyncio.TaskGroup) -> None:
        """Connects, polls and keeps at it, as tasks of the group."""
        for endpoint in self.endpoints.values():
            group.create_task(endpoint.run(), name=f"link {endpoint.name}")
        for rack in self.member_racks:
            group.create_task(rack.run(), name=f"rack {rack.id}")
        for device in self.devices:
            if device.bases is None:
                group.create_task(discover(device, self.wheel), name=f"discover {device.id}")
            else:
                self.wheel.add(device)
        group.create_task(self.wheel.run(), name="poll")
        group.create_task(self.nameplates.run(), name="nameplates")

    def up(self) -> Iterator[tuple[str, bool]]:
        """Every device and whether it answers; a rack of members does while one of them does."""
        for device in self.devices:
            yield device.id, device.endpoint.link.connected and not device.unit.open and device.unit.heard_ns > 0
        for rack in self.member_racks:
            yield rack.id, rack.members_up > 0

    def targets(self) -> list[Target]:
        """What actuation follows up, in the order of the racks."""
        found = []
        control = self._composed.config.control
        composed = self._composed
        places = zip(composed.racks, composed.rack_points, composed.power_points, strict=True)
        for i, (rack, point, source) in enumerate(places):
            policy = point.map.policy
            assert policy is not None
            found.append(
                Target(
                    rack.id, self._drivers[rack.id], point.slots[policy.readback],
                    verify_ns=round((policy.accept_s + 2 * point.period_s) * 1e9),
                    # Refreshes are spread, so that a hall at rest does not write to all racks at once.
                    refresh_ns=round(control.deadman_s * 1e9 / 3 * (0.8 + 0.2 * (i % 16) / 16)),
                    power_slot=source.slots["power_w"], max_w=rack.max_kw * 1e3,
                    wait_ns=round(wait_s(rack, policy, source.period_s) * 1e9),
                    fall_w_per_s=rack.down_kw_per_s * 1e3 / UNSURE,
                    effect_w=max(0.05 * rack.max_kw, 1.2 * rack.quantum_kw) * 1e3, writes_per_s=policy.writes_per_s,
                    # A rack of members sees to theirs itself.
                    foreign="retake" if isinstance(point.map, MemberMap) else rack.foreign or control.foreign,
                    barred=policy.storage == "nvm",
                )
            )  # fmt: skip
        return found


def _endpoints(composed: Composed, wall: InputWall) -> dict[str, Endpoint]:
    """One connection for each address, as slow as its slowest unit."""
    behind: dict[str, list[DeviceMap]] = {}
    for point in composed.points:
        if isinstance(point.map, DeviceMap):
            behind.setdefault(point.device.address, []).append(point.map)
    return {
        text: Endpoint(wall, transport(composed.config, text), Pace.of(device_maps))
        for text, device_maps in behind.items()
    }


def transport(config: Config, text: str) -> Transport:
    """How an address of the site is reached."""
    link = next((link for link in config.links if link.address == text), None)
    if link is None:
        return Transport(address.parse(text))
    folder = config.path.parent
    ca_file, cert_file, key_file = (file and folder / file for file in (link.ca_file, link.cert_file, link.key_file))
    usual = address.Serial()
    serial = address.Serial(link.baud or usual.baud, link.parity or usual.parity, link.stop_bits or usual.stop_bits)
    return Transport(address.parse(text), address.Tls(ca_file, cert_file, key_file), serial)
