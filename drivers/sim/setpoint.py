"""The set-point registers of a simulated rack: what a write does to the rack, and what they show."""

from __future__ import annotations

from collections.abc import Callable

from rampd.drivers.maps import Setpoint
from rampd.drivers.sim.racks import Racks


class SetpointRegisters:
    """Limit, enable, dead-man and its fallback as a device understands them; the rest is kept and shown as written.

    A device with an enable register takes limit and dead-man only while that is set, and is free otherwise. Its
    dead-man ends at the fallback, or lifts the limit where the map says so or `deadman_enable` is not set.
    """

    def __init__(self, setpoint: Setpoint, racks: Racks, index: int) -> None:
        self._setpoint = setpoint
        self._racks = racks
        self._index = index
        # W in one unit of the limit register.
        self._unit_w = racks.max_w[index] / 100.0 if setpoint.limit.unit == "percent" else 1.0
        self.power_on()

    def power_on(self) -> None:
        """What the registers hold when the device starts, of what the rack itself does not know."""
        racks, i = self._racks, self._index
        self._kept: dict[str, float] = {}
        self._limit_w = racks.limit_w[i]
        self._deadman_s = racks.deadman_s[i]
        self._fallback_w = racks.fallback_w[i]
        self._enabled = self._setpoint.enable is None
        self._falls_back = self._setpoint.expiry == "fallback" and self._setpoint.deadman_enable is None

    def write(self, key: str, value: float, now_s: float) -> None:
        """Takes one written register."""
        racks, i = self._racks, self._index
        match key:
            case "limit":
                self._limit_w = value * self._unit_w
                if self._enabled:
                    racks.set_limit(i, self._limit_w, now_s)
            case "fallback":
                self._fallback_w = value * self._unit_w
                racks.set_fallback(i, self._expiry_w(), now_s)
            case "deadman":
                self._deadman_s = value
                if self._enabled:
                    racks.set_deadman(i, value, now_s)
            case "deadman_enable" if self._setpoint.deadman_enable is not None:
                self._falls_back = value == self._setpoint.deadman_enable.value
                racks.set_fallback(i, self._expiry_w(), now_s)
            case "enable" if self._setpoint.enable is not None:
                self._enabled = value == self._setpoint.enable.value
                racks.set_fallback(i, self._expiry_w(), now_s)
                racks.set_deadman(i, self._deadman_s if self._enabled else 0.0, now_s)
                racks.set_limit(i, self._limit_w if self._enabled else racks.max_w[i], now_s)
            case _:
                self._kept[key] = value

    def shown(self, key: str) -> Callable[[], float]:
        """What a register of the set point reads."""
        racks, i, unit_w = self._racks, self._index, self._unit_w
        if key == "limit":
            return lambda: (racks.limit_w[i] if self._enabled else self._limit_w) / unit_w
        if key == "fallback":
            return lambda: (racks.fallback_w[i] if self._setpoint.deadman_enable is None else self._fallback_w) / unit_w
        if key == "deadman":
            return lambda: racks.deadman_s[i] if self._enabled else self._deadman_s
        constant = {"enable": self._setpoint.enable, "deadman_enable": self._setpoint.deadman_enable}.get(key)
        if constant is not None:
            on, off = constant.value, 0.0 if constant.value else 1.0
            return lambda: on if (self._enabled if key == "enable" else self._falls_back) else off
        return lambda: self._kept.get(key, 0.0)

    def _expiry_w(self) -> float:
        return self._fallback_w if self._falls_back else self._racks.max_w[self._index]
