"""Which protocol is served by what: the one place where the simulator names them all."""

from __future__ import annotations

from rampd.drivers.members import Login, MemberMap
from rampd.drivers.miners.maps import AntminerMap, BraiinsMap, LuxosMap, WhatsminerV2Map, WhatsminerV3Map
from rampd.drivers.redfish.map import RedfishMap
from rampd.drivers.sim.members import Member, Server
from rampd.drivers.sim.miners.antminer import AntminerServer
from rampd.drivers.sim.miners.braiins import BraiinsServer
from rampd.drivers.sim.miners.luxos import LuxosServer
from rampd.drivers.sim.miners.whatsminer_v2 import WhatsminerV2Server
from rampd.drivers.sim.miners.whatsminer_v3 import WhatsminerV3Server
from rampd.drivers.sim.redfish import RedfishServer
from rampd.drivers.sim.spec import SimError


def server(member: Member, device_map: MemberMap, login: Login | None) -> Server:
    """The server of one member. Raises SimError for a protocol that is not simulated."""
    match device_map:
        case RedfishMap():
            return RedfishServer(member, device_map, login)
        case LuxosMap():
            return LuxosServer(member, device_map, login)
        case WhatsminerV2Map():
            return WhatsminerV2Server(member, device_map, login)
        case WhatsminerV3Map():
            return WhatsminerV3Server(member, device_map, login)
        case BraiinsMap():
            return BraiinsServer(member, device_map, login)
        case RedfishMap():
            return RedfishServer(member, device_map, login)
        case AntminerMap():
            return AntminerServer(member, device_map, login)
    raise SimError(f"{device_map.name}: the simulator does not speak {device_map.protocol}")
