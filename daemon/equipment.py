"""The devices of a site as they stand in its file: meters, nodes, loops, racks, and what belongs to reaching them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from rampd.daemon.addresses import Address, MemberAddress, RackAddress
from rampd.daemon.section import Id, Section
from rampd.drivers.address import Parity
from rampd.drivers.racks import Foreign


class Device(Section):
    """How to reach a Modbus device: `address` is host:port, several units may share one."""

    map: str
    address: Address
    unit: Annotated[int, Field(ge=0, le=255)] = 1
    period_s: Annotated[float, Field(ge=0.02, le=600)] = 1.0


class Meter(Device):
    """A revenue or check meter."""

    id: Id


class Loop(Device):
    """A cooling loop and its CDU. Above `warn_c` no rack of it is raised, from `derate_c` on it is derated.

    Nor is one raised while the supply is less than `condensation_margin_k` above the dew point, which the CDU shows as
    `dew_point_c`, or the device that `dew_point_from` names: another CDU, a meter, a measured node.
    """

    id: Id
    max_supply_c: Annotated[float, Field(ge=5, le=90)] = 45.0
    warn_c: Annotated[float, Field(ge=5, le=90)] = 38.0
    derate_c: Annotated[float, Field(ge=5, le=90)] = 40.0
    return_max_c: Annotated[float, Field(ge=10, le=95)] = 60.0
    min_flow_lpm: Annotated[float, Field(ge=0, le=100000)] = 0.0
    condensation_margin_k: Annotated[float, Field(ge=0, le=20)] = 2.0
    dew_point_from: str = ""

    @model_validator(mode="after")
    def _ordered(self) -> Loop:
        if not self.warn_c < self.derate_c < self.max_supply_c < self.return_max_c:
            raise ValueError("limits contradict: warn_c < derate_c < max_supply_c < return_max_c must hold")
        return self


class Link(Section):
    """What belongs to an address besides the address: certificates of tls://, the settings of serial: lines.

    A device behind tls:// is verified against `ca_file` or the system's store, and shown `cert_file` with `key_file`.
    """

    address: Address
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    baud: Annotated[int, Field(ge=300, le=1_000_000)] | None = None
    parity: Parity | None = None
    stop_bits: Literal[1, 2] | None = None

    @model_validator(mode="after")
    def _of_its_kind(self) -> Link:
        kind = self.address.partition(":")[0]
        files = self.ca_file or self.cert_file or self.key_file
        if files is not None and kind != "tls":
            raise ValueError(f"certificates belong to a tls:// address, this is {self.address}")
        if (self.baud or self.parity or self.stop_bits) is not None and kind != "serial":
            raise ValueError(f"baud, parity and stop_bits belong to a serial: address, this is {self.address}")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        return self


class Login(Section):
    """User and secret of BMCs or miners, and how their certificate is believed. The secret is the file's first line.

    `ca_file` verifies against that authority, `pin_sha256` believes the one certificate with that fingerprint; without
    either the system's store decides.
    """

    id: Id
    username: str = ""
    secret_file: Path | None = None
    ca_file: Path | None = None
    pin_sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = None


class Member(Section):
    """One BMC or miner of a rack."""

    rack: str
    address: MemberAddress


class Node(Section):
    """A point of the electrical tree with a continuous rating; with a device where it is measured.

    What a measured node draws beside its racks is not theirs to draw, and where its map has the current of phases,
    the fullest of them draws no more than `rating_a` x `derating`: what the node draws is limited as far below its
    rating in kW as its phases are unequal. A meter that is not read, or shows what cannot be, leaves that as it was.
    While one phase is not read and another is, that may become more and not less: the one missing may be the fullest.
    """

    id: Id
    kind: Literal["main", "feeder", "transformer", "pdu"]
    parent: str = ""
    rating_kw: Annotated[float, Field(gt=0, le=2_000_000)]
    derating: Annotated[float, Field(gt=0, le=1)] = 0.8
    rating_a: Annotated[float, Field(gt=0, le=100_000)] | None = None
    map: str | None = None
    address: Address | None = None
    unit: Annotated[int, Field(ge=0, le=255)] = 1
    period_s: Annotated[float, Field(ge=0.02, le=600)] = 1.0

    @model_validator(mode="after")
    def _device(self) -> Node:
        if (self.map is None) != (self.address is None):
            raise ValueError("a measured node has both map and address, an unmeasured one neither")
        if self.rating_a is not None and self.map is None:
            raise ValueError("rating_a needs a meter that shows the current of each phase: map and address")
        return self

    def device(self) -> Device | None:
        """Its meter, where it has one."""
        if self.map is None or self.address is None:
            return None
        return Device(map=self.map, address=self.address, unit=self.unit, period_s=self.period_s)


class Rack(Device):
    """A rack: what it may draw, how fast it answers, and its place in tree, cooling and shed order.

    The highest tier number sheds first. `quantum_kw` is the step it moves in, 0 when it moves freely; `levels_kw` lists
    its levels instead, from asleep or its least to its most, as "0 36 72 109". After a rise it stays for `min_on_s`,
    after a fall for `min_off_s`, and it changes no more than `changes_per_day` times, 0: as often as needed; safety
    does not wait, and a restart forgets none of it. `fallback_kw` is where its controller goes when rampd falls silent.
    A rack of BMCs or miners has its members in `fleet.members`, or one at its own address; its figures come from their
    map where a cell is empty. `power_from` names the meter or measured node that measures this rack alone, for racks
    that do not tell their power.
    """

    id: Id
    address: RackAddress = ""
    login: str = ""
    power_from: str = ""
    foreign: Foreign | None = None
    kind: Literal["gpu", "asic"]
    node: str
    loop: str
    tier: Annotated[int, Field(ge=1, le=8)] = 1
    weight: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    min_kw: Annotated[float, Field(ge=0, le=2000)]
    max_kw: Annotated[float, Field(gt=0, le=2000)]
    up_kw_per_s: Annotated[float, Field(gt=0, le=100000)]
    down_kw_per_s: Annotated[float, Field(gt=0, le=100000)]
    dead_up_s: Annotated[float, Field(ge=0, le=30)] = 0.0
    dead_down_s: Annotated[float, Field(ge=0, le=30)] = 0.0
    quantum_kw: Annotated[float, Field(ge=0, le=2000)] = 0.0
    levels_kw: tuple[Annotated[float, Field(ge=0, le=2000)], ...] = ()
    min_on_s: Annotated[float, Field(ge=0, le=86400)] = 0.0
    min_off_s: Annotated[float, Field(ge=0, le=86400)] = 0.0
    changes_per_day: Annotated[int, Field(ge=0, le=100000)] = 0
    fallback_kw: Annotated[float, Field(ge=0, le=2000)] | None = None

    @field_validator("levels_kw", mode="before")
    @classmethod
    def _list(cls, value: Any) -> Any:
        """A cell holds them apart by spaces."""
        return tuple(value.split()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _ordered(self) -> Rack:
        if self.min_kw > self.max_kw:
            raise ValueError(f"limits contradict: min_kw {self.min_kw:g} exceeds max_kw {self.max_kw:g}")
        if self.quantum_kw > self.max_kw:
            raise ValueError(f"limits contradict: quantum_kw {self.quantum_kw:g} exceeds max_kw {self.max_kw:g}")
        levels = self.levels_kw
        if levels and (self.quantum_kw > 0 or list(levels) != sorted(set(levels)) or len(levels) < 2):
            raise ValueError("levels_kw are at least two, rising, and instead of quantum_kw: 0 36 72 109")
        if levels and (levels[0], levels[-1]) != (self.min_kw, self.max_kw):
            raise ValueError("limits contradict: levels_kw begin at min_kw and end at max_kw")
        if self.min_on_s + self.min_off_s + self.changes_per_day > 0 and not levels and self.quantum_kw == 0:
            raise ValueError("min_on_s, min_off_s and changes_per_day need levels_kw or quantum_kw")
        if self.fallback_kw is not None and self.fallback_kw > self.max_kw:
            raise ValueError(f"limits contradict: fallback_kw {self.fallback_kw:g} exceeds max_kw {self.max_kw:g}")
        return self
