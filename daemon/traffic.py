"""How often each link is asked, and how often the devices behind it allow: requests and pauses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rampd.daemon.equipment import Device
from rampd.drivers.device import SLOW_FACTOR
from rampd.drivers.maps import AnyMap, DeviceMap
from rampd.drivers.modbus import Pace

FULL: Final = 0.8
"""Of a link's time, what pauses between reads may take up; the rest is for answers and writes."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """A link with the Modbus devices behind it."""

    address: str
    pace: Pace
    requests_per_s: float

    @property
    def paused(self) -> float:
        """Share of the time that goes into pauses between reads."""
        return self.requests_per_s * self.pace.gap_s

    def __str__(self) -> str:
        pace = self.pace
        return (
            f"{self.address}: {pace.in_flight} at a time, {pace.gap_s * 1e3:g} ms apart, "
            f"{pace.connect_delay_s * 1e3:g} ms after a connect, {self.requests_per_s:.1f} requests/s"
        )


def traffic(devices: Iterable[tuple[Device, AnyMap]]) -> dict[str, Traffic]:
    """Every link of some devices by its address."""
    behind: dict[str, list[tuple[DeviceMap, float]]] = {}
    for device, device_map in devices:
        if isinstance(device_map, DeviceMap):
            behind.setdefault(device.address, []).append((device_map, device.period_s))
    return {address: _link(address, found) for address, found in behind.items()}


def _link(address: str, devices: list[tuple[DeviceMap, float]]) -> Traffic:
    reads = sum(
        1.0 / (period_s * (SLOW_FACTOR if read.slow else 1))
        for device_map, period_s in devices
        for read in device_map.reads()
    )
    return Traffic(address, Pace.of(device_map for device_map, _ in devices), reads)
