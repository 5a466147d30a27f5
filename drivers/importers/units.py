"""Names and units of other programs' register lists, turned into those of a map."""

from __future__ import annotations

import re
from typing import Final

# Unit as written elsewhere -> (unit of a map, factor, offset): value = given * factor + offset.
_TABLE: Final[dict[str, tuple[str, float, float]]] = {
    "w": ("w", 1, 0), "watts": ("w", 1, 0), "watt": ("w", 1, 0), "kw": ("w", 1e3, 0), "megawatts": ("w", 1e6, 0),
    "va": ("va", 1, 0), "kva": ("va", 1e3, 0), "var": ("var", 1, 0), "kvar": ("var", 1e3, 0), "wh": ("wh", 1, 0),
    "kwh": ("wh", 1e3, 0), "mwh": ("wh", 1e6, 0), "varh": ("varh", 1, 0), "kvarh": ("varh", 1e3, 0),
    "v": ("v", 1, 0), "volts": ("v", 1, 0), "volt": ("v", 1, 0), "kv": ("v", 1e3, 0), "a": ("a", 1, 0),
    "amps": ("a", 1, 0), "amperes": ("a", 1, 0), "ka": ("a", 1e3, 0), "ah": ("ah", 1, 0), "hz": ("hz", 1, 0),
    "c": ("c", 1, 0), "°c": ("c", 1, 0), "degc": ("c", 1, 0), "degreesc": ("c", 1, 0), "celsius": ("c", 1, 0),
    "k": ("c", 1, -273.15), "kelvin": ("c", 1, -273.15), "f": ("c", 5 / 9, -160 / 9), "°f": ("c", 5 / 9, -160 / 9),
    "degf": ("c", 5 / 9, -160 / 9), "%": ("percent", 1, 0), "pct": ("percent", 1, 0), "percent": ("percent", 1, 0),
    "rpm": ("rpm", 1, 0), "1/min": ("rpm", 1, 0), "lpm": ("lpm", 1, 0), "l/min": ("lpm", 1, 0), "l/s": ("lpm", 60, 0),
    "m3/h": ("lpm", 1000 / 60, 0), "m³/h": ("lpm", 1000 / 60, 0), "kpa": ("kpa", 1, 0), "pa": ("kpa", 1e-3, 0),
    "pascals": ("kpa", 1e-3, 0), "bar": ("kpa", 100, 0), "mbar": ("kpa", 0.1, 0), "psi": ("kpa", 6.894757, 0),
    "s": ("s", 1, 0), "sec": ("s", 1, 0), "secs": ("s", 1, 0), "seconds": ("s", 1, 0), "ms": ("s", 1e-3, 0),
    "min": ("s", 60, 0), "h": ("s", 3600, 0), "hours": ("s", 3600, 0), "deg": ("deg", 1, 0), "°": ("deg", 1, 0),
    "pf": ("ratio", 1, 0), "cos()": ("ratio", 1, 0), "ratio": ("ratio", 1, 0),
}  # fmt: skip
# Where a capital letter is a factor of a thousand million.
_EXACT: Final[dict[str, tuple[str, float, float]]] = {
    "MW": ("w", 1e6, 0), "mW": ("w", 1e-3, 0), "MVA": ("va", 1e6, 0), "Mvar": ("var", 1e6, 0), "MVAr": ("var", 1e6, 0),
    "mV": ("v", 1e-3, 0), "mA": ("a", 1e-3, 0), "mHz": ("hz", 1e-3, 0), "MWh": ("wh", 1e6, 0), "mWh": ("wh", 1e-3, 0),
}  # fmt: skip
# The last word of a name that tells its unit, where nothing else does.
_HINTS: Final = {
    "power": "W", "watts": "W", "voltage": "V", "volt": "V", "volts": "V", "current": "A", "curr": "A", "amps": "A",
    "frequency": "Hz", "freq": "Hz", "temperature": "C", "temp": "C", "pressure": "kPa", "energy": "Wh", "rpm": "rpm",
    "tach": "rpm", "flow": "lpm", "soc": "%", "pct": "%", "percent": "%", "duty": "%", "factor": "ratio", "pf": "ratio",
}  # fmt: skip
# Words of numbers that have no unit, whatever else the name says.
_PLAIN: Final = frozenset(
    ("alarm", "count", "counter", "cycle", "mode", "number", "position", "setting", "state", "status", "timeout")
)
_SAME: Final = {
    "power_w": ("total_power_w", "power_total_w", "active_power_w", "total_active_power_w", "active_power_total_w",
                "p_total_w", "p_w", "w_w", "total_real_power_w", "real_power_w", "input_power_w", "psu_input_power_w"),
    "frequency_hz": ("freq_hz", "hz_hz", "f_hz", "grid_frequency_hz", "line_frequency_hz"),
    "soc_percent": ("state_of_charge_percent", "relative_state_of_charge_percent"),
    "flow_lpm": ("coolant_flow_lpm", "coolant_flow_rate_lpm", "flow_rate_lpm"),
}  # fmt: skip


def unit(text: str) -> tuple[str, float, float] | None:
    """(unit of a map, factor, offset) of a unit as it is written elsewhere; None when it is not known."""
    text = text.strip()
    return _EXACT.get(text) or _TABLE.get(text.lower().replace(" ", ""))


def words(name: str) -> list[str]:
    """The words of a name in any of the usual spellings: Total_Active_Power, totalActivePower, W-L1."""
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]


def hint(name: str) -> str:
    """The unit that a name tells by its words, empty when it does not; the last word that tells wins."""
    found = words(name)
    if _PLAIN.intersection(found):
        return ""
    for word in reversed(found):
        if word in _HINTS:
            return _HINTS[word]
        if unit(word) is not None and word not in ("a", "c", "s", "h", "k", "f", "v", "w", "min"):
            return word
    return {"a": "A", "c": "C", "v": "V", "w": "W"}.get(found[-1], "") if found else ""


def named(name: str, suffix: str, *, guessed: bool) -> str:
    """The name of a value of a map: its words, less those that only repeat the unit, and the unit of the map.

    A single letter at the end is a phase, unless it is what the unit was guessed from.
    """
    found = words(name)
    while len(found) > 1 and (found[-1] == suffix or (unit(found[-1]) or ("",))[0] == suffix):
        if len(found[-1]) == 1 and not guessed:
            break
        found.pop()
    return "_".join([*found, suffix]) if found else f"value_{suffix}"


def canonical(names: set[str], wanted: str) -> str | None:
    """The one name of a list that means what a map calls `wanted`; None when there is none or several."""
    found = [name for name in _SAME.get(wanted, ()) if name in names]
    return found[0] if len(found) == 1 else None
