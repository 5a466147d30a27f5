"""NVIDIA power smoothing: the ramp limits that a GPU's firmware keeps by itself (Blackwell and later)."""

from __future__ import annotations

from typing import Final

from rampd.drivers.members import DeviceError
from rampd.drivers.redfish.client import Client
from rampd.drivers.redfish.map import Smoothing
from rampd.drivers.redfish.payload import Absent, Body, link, local, number, table

_NEAR: Final = 0.01
"""Rates are kept in fixed point: a value within this share is the one that was asked for."""
_ACTIVATE: Final = "NvidiaPowerSmoothing.ActivatePresetProfile"
_OVERRIDE: Final = "NvidiaPowerSmoothing.ApplyAdminOverrides"


def overrides(wanted: Smoothing) -> dict[str, float]:
    """The properties that a map asks for beyond its preset."""
    asked = {
        "RampUpWattsPerSecond": wanted.ramp_up_w_per_s,
        "RampDownWattsPerSecond": wanted.ramp_down_w_per_s,
        "RampDownHysteresisSeconds": wanted.hysteresis_s,
        "TMPFloorPercent": wanted.floor_percent,
    }
    return {name: value for name, value in asked.items() if value is not None}


async def prepare(client: Client, path: str, wanted: Smoothing) -> None:
    """Brings the smoothing of one GPU to what the map asks; writes only what differs. Raises DeviceError."""
    body = (await client.get(path)).body
    if body.get("PowerSmoothingSupported") is False:
        raise DeviceError(f"{path}: not supported by this GPU: remove [redfish.smoothing] from the map", refused=True)
    if body.get("Enabled") is False:
        await client.patch(path, {"Enabled": True})
        body = (await client.get(path)).body
    if wanted.preset is not None and _preset(body, path) != str(wanted.preset):
        await client.post(_action(body, path, _ACTIVATE), {"ProfileId": wanted.preset})
        body = (await client.get(path)).body
    if _wrong(body, path, wanted):
        await client.patch(link(body, "AdminOverrideProfile", path), overrides(wanted))
        await client.post(_action(body, path, _OVERRIDE), {})
        body = (await client.get(path)).body
    left = _wrong(body, path, wanted)
    if body.get("Enabled") is False:
        left.append("Enabled is false")
    if wanted.preset is not None and (found := _preset(body, path)) != str(wanted.preset):
        left.append(f"the active preset is {found}, not {wanted.preset}")
    if left:
        raise DeviceError(f"{path}: accepted, and {'; '.join(left)}: see what else sets it, or change the map")


def _wrong(body: Body, path: str, wanted: Smoothing) -> list[str]:
    """What is not as asked, in words."""
    found = []
    for name, value in overrides(wanted).items():
        shown = number(body, name, path)
        if shown is None or abs(shown - value) > max(_NEAR, _NEAR * value):
            found.append(f"{name} is {shown if shown is None else f'{shown:g}'}, not {value:g}")
    return found


def _preset(body: Body, path: str) -> str | None:
    """The number of the active profile."""
    try:
        return link(body, "AppliedPresetProfile", path).rstrip("/").rsplit("/", 1)[-1]
    except Absent:
        return None


def _action(body: Body, path: str, name: str) -> str:
    """Where an action is posted to."""
    action = table(table(body, "Actions", path), f"#{name}", path)
    return local(action.get("target"), f"{path}: {name}")
