"""The rules between the parts of a site: references, the tree, addresses, limits that contradict."""

from __future__ import annotations

import difflib
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

from rampd.daemon import deadman, sitefile
from rampd.daemon.config import Config
from rampd.daemon.equipment import Device, Rack
from rampd.daemon.filecheck import Places, files
from rampd.daemon.gridcheck import grid
from rampd.daemon.sitefile import ConfigError, Problem, nth
from rampd.daemon.traffic import FULL, traffic
from rampd.drivers import address, maps
from rampd.drivers.maphead import MapError
from rampd.drivers.maps import AnyMap
from rampd.drivers.members import MemberMap, place


def load(path: Path) -> Config:
    """The site in `path`, checked in full. Raises ConfigError with every problem."""
    config, places = sitefile.load(path)
    problems = [*references(config, places), *tree(config, places), *devices(config, places)]
    if not problems:
        problems += [*limits(config, places), *grid(config, places), *files(config, places)]
    if problems:
        raise ConfigError(problems)
    return config


def device_rows(config: Config) -> Iterator[tuple[str, str, Device]]:
    """Every device of the site as (id, map kind it must have, device)."""
    for meter in config.meters:
        yield meter.id, "meter", meter
    for node in config.nodes:
        if (device := node.device()) is not None:
            yield node.id, "pdu", device
    for loop in config.loops:
        yield loop.id, "cdu", loop
    for rack in config.racks:
        yield rack.id, "rack", rack


def _unknown(kind: str, name: str, known: Iterable[str]) -> tuple[str, str]:
    near = difflib.get_close_matches(name, list(known), n=1)
    remedy = f"did you mean {near[0]!r}?" if near else f"name one of the site's {kind}s"
    return f"there is no {kind} {name!r}", remedy


def references(config: Config, places: Places) -> Iterator[Problem]:
    """Racks name a node and a loop, the site names a meter."""
    nodes = {node.id for node in config.nodes}
    loops = {loop.id for loop in config.loops}
    meters = {meter.id for meter in config.meters}
    if not config.racks:
        yield Problem(*places["[site]"], "the site has no racks", "give fleet.racks at least one row")
    if config.site.meter not in meters:
        message, remedy = _unknown("meter", config.site.meter, meters)
        yield Problem(*places["[site]"], f"site.meter: {message}", remedy)
    if (second := config.site.second_meter) is not None and second not in meters - {config.site.meter}:
        message, remedy = _unknown("meter", second, meters - {config.site.meter})
        if second == config.site.meter:
            message, remedy = "it is the site meter itself", "name another meter at the same place, or none"
        yield Problem(*places["[site]"], f"site.second_meter: {message}", remedy)
    for rack in config.racks:
        if rack.node not in nodes:
            message, remedy = _unknown("node", rack.node, nodes)
            yield Problem(*places[rack.id], f"rack {rack.id} is on no feeder: {message}", remedy)
        if rack.loop not in loops:
            message, remedy = _unknown("loop", rack.loop, loops)
            yield Problem(*places[rack.id], f"rack {rack.id} has no cooling: {message}", remedy)


def tree(config: Config, places: Places) -> Iterator[Problem]:
    """One root of kind main; every node hangs on it; every rack has a feeder above it."""
    parents = {node.id: node.parent for node in config.nodes}
    kinds = {node.id: node.kind for node in config.nodes}
    roots = [node for node in config.nodes if not node.parent]
    if len(roots) != 1 or roots[0].kind != "main":
        names = ", ".join(node.id for node in roots) or "none"
        remedy = "exactly one node has kind main and no parent"
        yield Problem(*places["[site]"], f"the tree needs one root, found: {names}", remedy)
    lost: set[str] = set()
    for node in config.nodes:
        if node.parent and node.parent not in parents:
            message, remedy = _unknown("node", node.parent, parents)
            yield Problem(*places[node.id], f"node {node.id}: parent: {message}", remedy)
            lost.add(node.id)
        elif node.parent and node.kind == "main":
            yield Problem(*places[node.id], f"node {node.id} is main below {node.parent}", "make it a feeder")
    for node in config.nodes:
        seen = [node.id]
        while (above := parents.get(seen[-1], "")) and above not in seen:
            seen.append(above)
        if above == node.id:
            remedy = "give one of them a parent nearer to the main"
            yield Problem(*places[node.id], f"cycle in the tree: {' -> '.join([*seen, above])}", remedy)
        if above or seen[-1] in lost:
            lost.add(node.id)
    for rack in config.racks:
        chain = [rack.node]
        while (above := parents.get(chain[-1], "")) and above not in chain:
            chain.append(above)
        if rack.node in parents and rack.node not in lost and "feeder" not in {kinds.get(name) for name in chain}:
            remedy = "hang it on a feeder or below one"
            yield Problem(*places[rack.id], f"rack {rack.id} is on no feeder: {' -> '.join(chain)}", remedy)


def devices(config: Config, places: Places) -> Iterator[Problem]:
    """Maps exist and fit; no two Modbus devices share an address and unit; racks of members are complete."""
    taken: dict[tuple[str, int], str] = {}
    loaded: dict[str, AnyMap | None] = {}
    for name, kind, device in device_rows(config):
        at = places[name]
        if device.map not in loaded:
            loaded[device.map] = yield from _map(config, name, kind, device.map, at)
        device_map = loaded[device.map]
        if device_map is not None and device_map.kind != kind and not (kind == "pdu" and device_map.kind == "meter"):
            message = f"{name} is a {kind}, map {device.map!r} is for a {device_map.kind}"
            yield Problem(*at, message, f"choose a {kind} map, see rampd maps list")
        if isinstance(device_map, MemberMap):
            continue
        try:
            key = (str(address.parse(device.address)).lower(), device.unit)
        except address.AddressError as error:
            if device_map is not None:
                message = f"{name}: address {device.address!r} does not lead to a Modbus device"
                yield Problem(*at, message, str(error))
            continue
        if key in taken:
            message = f"{name} and {taken[key]} share {device.address} unit {device.unit}"
            yield Problem(*at, message, "correct the address or the unit of one of them")
        taken.setdefault(key, name)
    for node in config.nodes:
        shows = None if node.map is None else loaded.get(node.map)
        if node.rating_a is not None and shows is not None and not set(maps.PHASES) <= set(shows.names):
            message = f"node {node.id} has rating_a, its map {shows.name} does not show the current of its phases"
            yield Problem(*places[node.id], message, f"choose a map with {', '.join(maps.PHASES)}, or leave it out")
    for rack in config.racks:
        yield from _members(config, rack, loaded.get(rack.map), places)
    yield from _dew_points(config, loaded, places)
    yield from _strangers(config, loaded, places)
    yield from _links(config, places)


def _map(
    config: Config, name: str, kind: str, wanted: str, at: tuple[str, int]
) -> Generator[Problem, None, AnyMap | None]:
    try:
        return maps.load(wanted, config.map_folder)
    except KeyError:
        known = [name for name in maps.names() if maps.load(name).kind == kind]
        near = difflib.get_close_matches(wanted, known, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        yield Problem(*at, f"{name}: there is no map {wanted!r}", remedy)
    except MapError as error:
        yield Problem(*at, f"{name}: map {wanted!r} cannot be used: {error}", "correct the map file")
    return None


def _members(config: Config, rack: Rack, device_map: AnyMap | None, places: Places) -> Iterator[Problem]:
    """A rack's members, login and source of power."""
    at = places[rack.id]
    listed = [member for member in config.members if member.rack == rack.id]
    if isinstance(device_map, MemberMap):
        if bool(listed) == bool(rack.address):
            message = f"rack {rack.id} has {'both members and' if listed else 'neither members nor'} an address"
            yield Problem(*at, message, "list its BMCs or miners in fleet.members, or give it the address of the one")
        logins = {login.id for login in config.logins}
        if rack.login and rack.login not in logins:
            message, remedy = _unknown("login", rack.login, logins)
            yield Problem(*at, f"rack {rack.id}: {message}", remedy)
    elif device_map is not None and listed:
        message = f"rack {rack.id} has members, but its map {rack.map} is for one Modbus device"
        yield Problem(*at, message, "choose a map of BMCs or miners, or take its rows out of fleet.members")
    if rack.power_from:
        sources = {name for name, kind, _ in device_rows(config) if kind in ("meter", "pdu")}
        sources -= {config.site.meter, config.site.second_meter or config.site.meter}
        if rack.power_from not in sources:
            message, remedy = _unknown("meter", rack.power_from, sources)
            yield Problem(*at, f"rack {rack.id}: power_from: {message}", remedy)


def _dew_points(config: Config, loaded: dict[str, AnyMap | None], places: Places) -> Iterator[Problem]:
    """Who is named as source of a dew point shows one."""
    sources = {name: loaded.get(device.map) for name, kind, device in device_rows(config) if kind != "rack"}
    for loop in config.loops:
        name = loop.dew_point_from
        if name and name not in sources:
            message, remedy = _unknown("device", name, sources)
            yield Problem(*places[loop.id], f"loop {loop.id}: dew_point_from: {message}", remedy)
        elif name and (device_map := sources[name]) is not None and "dew_point_c" not in device_map.names:
            message = f"loop {loop.id}: dew_point_from: {name} shows no dew point, its map is {device_map.name}"
            yield Problem(*places[loop.id], message, "name a device whose map has the value dew_point_c")


def _links(config: Config, places: Places) -> Iterator[Problem]:
    """Each [[link]] belongs to the address of a device, and to one."""
    used = {device.address for _, _, device in device_rows(config)}
    seen: set[str] = set()
    for i, link in enumerate(config.links):
        at = places[nth("link", i)]
        if link.address not in used:
            message = f"link {link.address}: no device has this address"
            yield Problem(*at, message, "write it as the device does, or take the [[link]] out")
        elif link.address in seen:
            yield Problem(*at, f"link {link.address} stands twice", "keep one of them")
        seen.add(link.address)


def _strangers(config: Config, loaded: dict[str, AnyMap | None], places: Places) -> Iterator[Problem]:
    """Members of racks that are not there, and what is named twice."""
    racks = {rack.id: loaded.get(rack.map) for rack in config.racks}
    rows = [(places[nth("member", i)], member.rack, member.address) for i, member in enumerate(config.members)]
    rows += [(places[rack.id], rack.id, rack.address) for rack in config.racks if rack.address]
    seen: dict[tuple[str, int], str] = {}
    for at, rack_id, text in rows:
        if rack_id not in racks:
            message, remedy = _unknown("rack", rack_id, racks)
            yield Problem(*at, f"fleet.members: {text}: {message}", remedy)
        if not isinstance(device_map := racks.get(rack_id), MemberMap):
            continue
        if text.startswith("https://") and not device_map.has_tls:
            message = f"{text}: members of map {device_map.name} are spoken to without TLS"
            yield Problem(*at, message, "leave https:// out, and keep them in a network of their own")
        try:
            key = place(text, device_map)
        except address.AddressError as error:
            yield Problem(*at, f"{rack_id}: address {text!r} does not lead to a BMC or miner", str(error))
            continue
        if key in seen:
            message = f"{text} stands in {seen[key]} and {rack_id}"
            yield Problem(*at, message, "a BMC or miner belongs to one rack: take one of the rows out")
        seen.setdefault(key, rack_id)
    measured: dict[str, str] = {}
    for rack in config.racks:
        if rack.power_from and rack.power_from in measured:
            message = f"racks {measured[rack.power_from]} and {rack.id} have the same power_from, {rack.power_from}"
            yield Problem(*places[rack.id], message, "it must measure one rack alone: give each its own")
        measured.setdefault(rack.power_from, rack.id)


def read_every_s(device: Device, device_map: AnyMap) -> float:
    """How often a device is read: members of a rack have nothing new to tell more often than their map says."""
    return max(device.period_s, device_map.update_s) if isinstance(device_map, MemberMap) else device.period_s


def limits(config: Config, places: Places) -> Iterator[Problem]:
    """What the racks need must fit what the tree and the site allow."""
    parents = {node.id: node.parent for node in config.nodes}
    need = dict.fromkeys(parents, 0.0)
    for rack in config.racks:
        name = rack.node
        while name:
            need[name] += rack.min_kw
            name = parents[name]
    for node in config.nodes:
        limit = node.rating_kw * node.derating
        if need[node.id] > limit:
            message = f"limits contradict: racks below {node.id} need {need[node.id]:g} kW, its limit is {limit:g} kW"
            yield Problem(*places[node.id], message, "rating_kw x derating must carry the min_kw of its racks")
    site = config.site
    top = sum(rack.max_kw for rack in config.racks) / 1000
    floor = sum(rack.min_kw for rack in config.racks) / 1000
    if floor > site.max_mw:
        message = f"limits contradict: the racks' min_kw add up to {floor:g} MW, max_mw is {site.max_mw:g}"
        yield Problem(*places["[site]"], message, "raise max_mw or lower the racks' min_kw")
    if site.max_mw > 3 * top:
        message = f"max_mw {site.max_mw:g} is far above what the racks can draw, {top:g} MW"
        yield Problem(*places["[site]"], message, "out of reason: is max_mw given in MW and max_kw in kW?")
    yield from _dead_men(config, places)
    period = 1.0 / config.control.hz
    yield from _periods(config, places)
    yield from _pauses(config, places)
    if config.control.actuation_deadline_s < 4 * period:
        message = "limits contradict: actuation_deadline_s is shorter than four ticks"
        yield Problem(*places["[control]"], message, "raise it or raise hz")
    if config.control.deadman_s <= config.control.actuation_deadline_s:
        message = "limits contradict: deadman_s must be longer than actuation_deadline_s"
        yield Problem(*places["[control]"], message, "a device must not fall back while rampd still writes")


def _dead_men(config: Config, places: Places) -> Iterator[Problem]:
    """Racks that hold their limit for ever when rampd dies draw no more than the site accepts."""
    most_mw = config.site.max_deadman_mw
    found = deadman.worst([(rack, maps.load(rack.map, config.map_folder)) for rack in config.racks])
    if most_mw is not None and found.held_mw > most_mw:
        names = ", ".join(found.holding[:5]) + (", ..." if len(found.holding) > 5 else "")
        message = (
            f"limits contradict: when rampd dies, racks hold {found.held_mw:g} MW for ever, max_deadman_mw is "
            f"{most_mw:g}: {names}"
        )
        yield Problem(*places["[site]"], message, "give them controllers that fall back, or raise the limit on purpose")


def _periods(config: Config, places: Places) -> Iterator[Problem]:
    """Every device is read often enough for its readings to be fresh."""
    control = config.control
    for name, kind, device in device_rows(config):
        device_map = maps.load(device.map, config.map_folder)
        if isinstance(device_map, MemberMap):
            continue  # stale after two and a half of its periods at the earliest
        stale = control.rack_stale_s
        if name in (config.site.meter, config.site.second_meter):
            stale = control.meter_stale_s
        elif kind == "cdu":
            stale = control.loop_stale_s
        if device.period_s > stale / 2:
            message = f"limits contradict: {name} is read every {device.period_s:g} s but stale after {stale:g} s"
            yield Problem(*places[name], message, "period_s at most half of the stale time in [control]")


def _pauses(config: Config, places: Places) -> Iterator[Problem]:
    """The pauses that the devices of a link need leave time to read them all."""
    rows = [(name, device) for name, _, device in device_rows(config)]
    links = traffic((device, maps.load(device.map, config.map_folder)) for _, device in rows)
    for link in links.values():
        if link.paused > FULL:
            name = next(name for name, device in rows if device.address == link.address)
            message = (
                f"limits contradict: {link.requests_per_s:.1f} requests/s to {link.address} with pauses of "
                f"{link.pace.gap_s * 1e3:g} ms take {link.paused:.0%} of the time"
            )
            yield Problem(*places[name], message, "read its devices less often (period_s), or divide them over links")
