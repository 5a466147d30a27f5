"""Which protocol is served by what: the one place where the simulator names them all."""

from __future__ import annotations

from rampd.drivers.members import Login, MemberMap
from rampd.drivers.sim.members import Member, Server
from rampd.drivers.sim.spec import SimError


def server(member: Member, device_map: MemberMap, login: Login | None) -> Server:
    """The server of one member. Raises SimError for a protocol that is not simulated."""
    raise SimError(f"{device_map.name}: the simulator does not speak {device_map.protocol}")
