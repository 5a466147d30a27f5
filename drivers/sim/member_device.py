"""A simulated BMC or miner as a fault file sees it: the member, its server, and the gate before it."""

from __future__ import annotations

from typing import Final, Literal

from rampd.drivers.sim import serve
from rampd.drivers.sim.faults import ON_THE_WIRE, Fault
from rampd.drivers.sim.gate import Gate
from rampd.drivers.sim.members import Member
from rampd.drivers.sim.plant import Plant
from rampd.drivers.sim.spec import MemberSpec

KIND: Final = "member"


class MemberDevice:
    """Joins one member to its place in the plant."""

    def __init__(self, spec: MemberSpec, plant: Plant, rack: int) -> None:
        self.spec = spec
        self.member = Member(plant, rack, spec.number, spec.of, spec.map.capability)
        self.server = serve.server(self.member, spec.map, spec.login)
        self.gate = Gate(self.server, spec.host, spec.port)
        self._plant = plant

    @property
    def id(self) -> str:
        """rack/number."""
        return self.spec.id

    @property
    def kind(self) -> str:
        """It is no device of the site file."""
        return KIND

    @property
    def place(self) -> int:
        """Its rack in the plant."""
        return self.member.rack

    @property
    def writes(self) -> Literal["done", "dropped"]:
        """What becomes of a write."""
        return self.member.writes

    @writes.setter
    def writes(self, what: Literal["done", "dropped"]) -> None:
        self.member.writes = what

    @property
    def written_s(self) -> float:
        """When the last write came."""
        return self.member.written_s

    @written_s.setter
    def written_s(self, at_s: float) -> None:
        self.member.written_s = at_s

    @property
    def limit_w(self) -> float:
        """The limit that it enforces."""
        return self.member.limit_w

    @property
    def max_w(self) -> float:
        """Its rating."""
        return self.member.max_w

    def set_limit(self, limit_w: float, now_s: float) -> None:
        """A limit that takes hold, whoever set it."""
        self.member.set_limit(limit_w)

    def freeze(self, frozen: bool) -> None:
        """Keeps the present power, or lets it go."""
        self.member.freeze(frozen)

    def set_absent(self, absent: bool) -> None:
        """Shows no values, or what the plant shows again."""
        self.member.absent = absent

    def break_wire(self, fault: Fault, seed: int) -> bool:
        """Answers wrongly, if the fault is one of the wire."""
        if fault.kind not in ON_THE_WIRE:
            return False
        self.gate.trouble = fault
        return True

    def mend_wire(self) -> None:
        """Answers rightly again."""
        self.gate.trouble = None

    def power_on(self, now_s: float) -> None:
        """What a restart leaves: no limit, no sessions."""
        self.member.power_on()
        self.server.power_on()
