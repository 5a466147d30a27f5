"""Which protocol makes which member of a rack: the one place where they are all named."""

from __future__ import annotations

from rampd.drivers.address import AddressError
from rampd.drivers.members import DeviceError, Login, Member, MemberMap, Trust, place
from rampd.drivers.miners.antminer import AntminerMember
from rampd.drivers.miners.braiins import BraiinsMember
from rampd.drivers.miners.luxos import LuxosMember
from rampd.drivers.miners.maps import AntminerMap, BraiinsMap, LuxosMap, WhatsminerV2Map, WhatsminerV3Map
from rampd.drivers.miners.whatsminer_v2 import WhatsminerV2Member
from rampd.drivers.miners.whatsminer_v3 import WhatsminerV3Member
from rampd.drivers.redfish.map import RedfishMap
from rampd.drivers.redfish.member import RedfishMember


def member(device_map: MemberMap, address: str, login: Login | None, trust: Trust) -> Member:
    """The member at an address, `[scheme://]host[:port]`. May read certificate files: not for the event loop.

    Raises DeviceError when address, login or certificates cannot be used.
    """
    if isinstance(device_map, RedfishMap):
        return RedfishMember(address, device_map, login, trust)
    try:
        host, port = place(address, device_map)
    except AddressError as error:
        raise DeviceError(f"{address}: {error}") from error
    match device_map:
        case RedfishMap():
            return RedfishMember(address, device_map, login, trust)
        case LuxosMap():
            return LuxosMember(host, port, device_map, login)
        case WhatsminerV2Map():
            return WhatsminerV2Member(host, port, device_map, login)
        case WhatsminerV3Map():
            return WhatsminerV3Member(host, port, device_map, login)
        case BraiinsMap():
            return BraiinsMember(host, port, device_map, login)
        case AntminerMap():
            return AntminerMember(host, port, device_map, login)
    raise DeviceError(f"{device_map.name} at {address}: no driver speaks {device_map.protocol}")
