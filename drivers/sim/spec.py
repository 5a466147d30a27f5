"""What a simulated hall consists of: racks, electrical nodes, cooling loops, a meter, and the devices that show them.

SI units throughout: W, W/s, s, degC; flow in l/min.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rampd.drivers.maphead import Kind
from rampd.drivers.maps import DeviceMap
from rampd.drivers.members import Login, MemberMap


class SimError(Exception):
    """A hall that cannot be simulated; the message names the place and the remedy."""


@dataclass(frozen=True, slots=True)
class RackSpec:
    """A rack as it was bought: the plant draws each rack's true dead times and speeds around these figures.

    `utilisation` is the mean demand over `max_w`, `noise` its standard deviation and `noise_s` its correlation time
    (GPU racks only; miners always want everything). `jitter` is how far, at most, the power stays below what it may be.
    `fallback_w` is the power-on value of the controller's fallback register.
    """

    id: str
    kind: Literal["gpu", "asic"]
    node: str
    loop: str
    min_w: float
    max_w: float
    up_w_per_s: float
    down_w_per_s: float
    dead_up_s: float
    dead_down_s: float
    fallback_w: float
    utilisation: float = 1.02
    noise: float = 0.01
    noise_s: float = 5.0
    jitter: float = 0.002
    miners: int = 32


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A point of the electrical tree; `limit_w` is what may flow through it continuously."""

    id: str
    parent: str
    limit_w: float


@dataclass(frozen=True, slots=True)
class LoopSpec:
    """A cooling loop: `heat_w` is carried at `delta_c` between supply and return when the pumps run at full flow.

    `dew_point_c` is that of the air around its racks.
    """

    id: str
    supply_c: float
    heat_w: float
    delta_c: float = 12.0
    min_flow_lpm: float = 0.0
    dew_point_c: float = 12.0


@dataclass(frozen=True, slots=True)
class PlantSpec:
    """The physical hall. `losses` is a share of the racks' power, proportional and immediate."""

    racks: tuple[RackSpec, ...]
    nodes: tuple[NodeSpec, ...]
    loops: tuple[LoopSpec, ...]
    import_limit_w: float
    losses: float = 0.015
    nominal_hz: float = 60.0
    meter_refresh_s: float = 0.2


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """A Modbus device: where it listens, and the map it answers by. `id` is that of its rack, node, loop or meter."""

    id: str
    kind: Kind
    host: str
    port: int
    unit: int
    map: DeviceMap


@dataclass(frozen=True, slots=True)
class MemberSpec:
    """One BMC or miner: where it listens, what it speaks, and whose login it accepts."""

    rack: str
    number: int
    of: int
    host: str
    port: int
    map: MemberMap
    login: Login | None

    @property
    def id(self) -> str:
        """Its name in fault files, rack/number."""
        return f"{self.rack}/{self.number}"


@dataclass(frozen=True, slots=True)
class HallSpec:
    """A plant, the devices that show it, and the members of racks that consist of some."""

    plant: PlantSpec
    devices: tuple[DeviceSpec, ...]
    members: tuple[MemberSpec, ...] = ()
