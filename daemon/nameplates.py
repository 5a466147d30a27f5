"""Maker, model and serial number of the devices: the texts of their maps, read once each and kept beside the image."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from rampd.drivers.device import ModbusDevice
from rampd.ext.units import ModbusError

log = logging.getLogger("rampd.nameplates")

PAUSE_S: Final = 0.05
ROUND_S: Final = 5.0


class Nameplates:
    """`found` holds the texts by device; `fresh` the devices whose texts nobody has been told yet."""

    def __init__(self, devices: Iterable[ModbusDevice]) -> None:
        self.found: dict[str, dict[str, str]] = {}
        self.fresh: set[str] = set()
        self._waiting = [device for device in devices if device.map.texts]

    async def run(self) -> None:
        """Reads one device after the other, what does not answer a round later. Ends when all are known."""
        while self._waiting:
            for device in tuple(self._waiting):
                if await self._read(device):
                    self._waiting.remove(device)
                await asyncio.sleep(PAUSE_S)
            await asyncio.sleep(ROUND_S if self._waiting else 0)

    async def _read(self, device: ModbusDevice) -> bool:
        """Whether the device needs no further asking."""
        if device.bases is None or not device.unit.heard_ns or device.unit.open:
            return False
        try:
            texts = await device.identify()
        except ModbusError as error:
            log.debug("%s: texts: %s", device.id, error)
            # What it refuses it will refuse again; what was not answered may be another time.
            return error.code != 0
        self.found[device.id] = {name: text for name, text in texts.items() if text}
        self.fresh.add(device.id)
        return True
