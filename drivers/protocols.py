"""Which protocol makes which member of a rack: the one place where they are all named."""

from __future__ import annotations

from rampd.drivers.members import Login, Member, MemberMap, Trust


def member(device_map: MemberMap, address: str, login: Login | None, trust: Trust) -> Member:
    """The member at an address, `[scheme://]host[:port]`. May read certificate files: not for the event loop.

    Raises DeviceError when address, login or certificates cannot be used.
    """
    raise TypeError(f"{device_map.name} at {address}: no driver speaks {device_map.protocol}")
