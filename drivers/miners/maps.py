"""What the map of a miner may say beyond what every map of members says: one table of options a protocol."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field

from rampd.drivers.maphead import Strict
from rampd.drivers.members import MemberMap


class Luxos(Strict):
    """`profiles` offers the discrete profiles as levels besides sleep; the tuner (ATM) must be off then."""

    profiles: bool = False


class WhatsminerV2(Strict):
    """`percent` offers a share of the power limit besides sleep, where the miner takes it without a restart."""

    percent: bool = True


class WhatsminerV3(Strict):
    """`percent` offers a share of the power limit besides sleep."""

    percent: bool = True


class Braiins(Strict):
    """Seconds of the firmware's own ramps, None where they are left alone, and how often a day a target may be set.

    Every power target is written to flash, so `targets_per_day` is a budget; 0 leaves the target alone: the miner
    pauses and resumes.
    """

    ramp_up_s: Annotated[int, Field(ge=0, le=3600)] | None = None
    ramp_down_s: Annotated[int, Field(ge=0, le=3600)] | None = None
    targets_per_day: Annotated[int, Field(ge=0, le=1000)] = 0


class Antminer(Strict):
    """How often a day the mode may change: each change is a file in flash and a new start of the mining process."""

    changes_per_day: Annotated[int, Field(ge=1, le=1000)] = 48


class MinerMap(MemberMap):
    """What the maps of all miners have in common."""

    @property
    def _only_sleeps(self) -> bool:
        return False

    @property
    def grain_w(self) -> float:
        """The smallest change of one miner: all of it where it is only put to sleep and woken."""
        return self.capability.max_w if self._only_sleeps else super().grain_w


class LuxosMap(MinerMap):
    """Antminers with LuxOS."""

    protocol: Literal["luxos"]
    luxos: Luxos = Luxos()

    @property
    def _only_sleeps(self) -> bool:
        return not self.luxos.profiles


class WhatsminerV2Map(MinerMap):
    """Whatsminers whose firmware has API 2."""

    protocol: Literal["whatsminer-v2"]
    whatsminer: WhatsminerV2 = WhatsminerV2()

    @property
    def _only_sleeps(self) -> bool:
        return not self.whatsminer.percent


class WhatsminerV3Map(MinerMap):
    """Whatsminers whose firmware has API 3."""

    protocol: Literal["whatsminer-v3"]
    whatsminer: WhatsminerV3 = WhatsminerV3()

    @property
    def _only_sleeps(self) -> bool:
        return not self.whatsminer.percent


class BraiinsMap(MinerMap):
    """Miners with Braiins OS."""

    protocol: Literal["braiins"]
    braiins: Braiins = Braiins()

    def watching(self) -> Self:
        """Without native ramps, which are set, and saved, when a miner is opened."""
        left_alone = {"ramp_up_s": None, "ramp_down_s": None}
        return self.model_copy(update={"braiins": self.braiins.model_copy(update=left_alone)})

    @property
    def _only_sleeps(self) -> bool:
        return self.braiins.targets_per_day == 0


class AntminerMap(MinerMap):
    """Antminers with the firmware of their maker."""

    protocol: Literal["antminer-stock"]
    antminer: Antminer = Antminer()


MINER_MAPS: Final[dict[str, type[MemberMap]]] = {
    "luxos": LuxosMap,
    "whatsminer-v2": WhatsminerV2Map,
    "whatsminer-v3": WhatsminerV3Map,
    "braiins": BraiinsMap,
    "antminer-stock": AntminerMap,
}
