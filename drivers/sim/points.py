"""What each register of a map shows: a function of the plant for every value name.

A map may name values that the plant does not know; they show the middle of their plausible range, or 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from rampd.drivers.maps import DeviceMap, Value
from rampd.drivers.sim.plant import Plant

Point = Callable[[], float]

POWER_FACTOR: Final = 0.98
# Line to neutral, of a 13.8 kV service and of the 480 V distribution.
_SERVICE_V: Final = 13800.0 / math.sqrt(3.0)
_DISTRIBUTION_V: Final = 480.0 / math.sqrt(3.0)
# The phases are not quite equal; together they are.
_PHASES: Final = {"_l1_": 1.01 / 3, "_l2_": 1.0 / 3, "_l3_": 0.99 / 3}
_PDU_LOSS: Final = 1.003
_PUMP_RPM: Final = 2900.0
_PUMP_ALARM: Final = 1 << 6


def meter(plant: Plant, device_map: DeviceMap) -> dict[str, Point]:
    """The meter at the point of interconnection."""
    return _electrical(device_map, plant, lambda: plant.meter_w, lambda: plant.meter_hz, _SERVICE_V)


def node(plant: Plant, index: int, device_map: DeviceMap) -> dict[str, Point]:
    """A measured point of the tree: its racks and its own loss."""
    power_w = plant.node_w
    return _electrical(
        device_map, plant, lambda: power_w[index] * _PDU_LOSS, lambda: plant.frequency_hz, _DISTRIBUTION_V
    )


def loop(plant: Plant, index: int, device_map: DeviceMap) -> dict[str, Point]:
    """A coolant distribution unit."""
    it = plant.loops[index]

    def speed() -> float:
        return it.flow_lpm / it.design_lpm

    known: dict[str, Point] = {
        "flow_lpm": lambda: it.flow_lpm,
        "supply_c": lambda: it.supply_c,
        "return_c": lambda: it.return_c,
        "outlet_kpa": lambda: 80.0 + 170.0 * speed() ** 2,
        "inlet_kpa": lambda: 80.0,
        "pump_percent": lambda: min(100.0, 80.0 * speed()),
        "pump1_rpm": lambda: _PUMP_RPM * speed(),
        "pump2_rpm": lambda: _PUMP_RPM * speed(),
        "pump_alarm_bits": lambda: 0.0 if it.pumps == 1.0 else float(_PUMP_ALARM),
        "leak_bits": lambda: 0.0,
        "dew_point_c": lambda: it.dew_point_c,
    }
    return {name: known.get(name) or _constant(value) for name, value in device_map.values.items()}


def rack(plant: Plant, index: int, device_map: DeviceMap) -> dict[str, Point]:
    """A rack's power controller."""
    racks = plant.racks
    known: dict[str, Point] = {
        "power_w": lambda: racks.power_w[index],
        "limit_w": lambda: racks.limit_w[index],
        "deadman_s": lambda: racks.deadman_s[index],
        "deadman_left_s": lambda: float(math.ceil(racks.deadman_left_s(index, plant.now_s))),
        "fallback_w": lambda: racks.fallback_w[index],
        "limit_percent": lambda: 100.0 * racks.limit_w[index] / racks.max_w[index],
        "fallback_percent": lambda: 100.0 * racks.fallback_w[index] / racks.max_w[index],
        "rating_w": lambda: racks.max_w[index],
        "control_state": lambda: float(racks.state[index]),
    }
    if device_map.setpoint is not None:
        known[device_map.setpoint.readback] = known[f"limit_{device_map.setpoint.limit.unit}"]
    shown = _electrical(device_map, plant, known["power_w"], lambda: plant.frequency_hz, _DISTRIBUTION_V)
    return {**shown, **{name: point for name, point in known.items() if name in device_map.values}}


def still(device_map: DeviceMap) -> dict[str, Point]:
    """A device that the plant has no part for: plausible values that do not move."""
    return {name: _constant(value) for name, value in device_map.values.items()}


def _electrical(device_map: DeviceMap, plant: Plant, power: Point, hz: Point, volts: float) -> dict[str, Point]:
    """Power and what follows from it, by the first word of each value's name."""

    def point(name: str, value: Value) -> Point:
        share = next((share for phase, share in _PHASES.items() if phase in name), 1.0)
        amps = (share if share < 1.0 else 1.0 / 3.0) / (volts * POWER_FACTOR)
        tangent = math.tan(math.acos(POWER_FACTOR))
        known: dict[str, Point] = {
            "power": lambda: power() * share,
            "apparent": lambda: power() * share / POWER_FACTOR,
            "reactive": lambda: power() * share * tangent,
            "current": lambda: power() * amps,
            "voltage": lambda: volts,
            "frequency": hz,
            "energy": lambda: plant.energy_wh,
        }
        return known.get(name.partition("_")[0]) or _constant(value)

    return {name: point(name, value) for name, value in device_map.values.items()}


def _constant(value: Value) -> Point:
    middle = 0.5 * (value.range[0] + value.range[1]) if value.range is not None else 0.0
    return lambda: middle
