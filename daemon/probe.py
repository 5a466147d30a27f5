"""`rampd probe`: a device looked at before it is described, or read by a map to see what the map makes of it."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

from rampd.daemon import mapcli
from rampd.daemon.client import Unavailable, Usage
from rampd.drivers import maps, sunspec
from rampd.drivers.address import Address, AddressError, Serial, Tls, Transport, parse
from rampd.drivers.maps import DeviceMap
from rampd.drivers.probe import Found, Probe, Unreachable, sightings
from rampd.ext.units import ModbusError

FAILED: Final = 1
PORT: Final = 502


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `probe`."""
    sub = commands.add_parser("probe", help="read a device: by a map, or what it says of itself, or raw registers")
    sub.add_argument(
        "address", metavar="HOST[:PORT]",
        help="port 502 when none is given; or tls://HOST:PORT, rtu+tcp://HOST:PORT, serial:/dev/NAME",
    )  # fmt: skip
    sub.add_argument("--map", metavar="NAME", help="a map that ships, or the path of a map file: every value of it")
    sub.add_argument("--unit", type=_unit, default=1, metavar="N", help="unit number, 0 to 255 (default 1)")
    sub.add_argument("--at", type=_register, metavar="ADDR", help="raw registers from here, in all types and orders")
    sub.add_argument("--count", type=_count, default=4, metavar="N", help="how many of them (default 4)")
    sub.add_argument("--function", type=int, choices=(3, 4), default=3, help="for --at: 3 holding, 4 input registers")
    sub.add_argument(
        "--timeout", type=_timeout, default=2.0, metavar="S", help="seconds an answer may take (default 2)"
    )
    sub.add_argument("--json", action="store_true", help="one JSON object on stdout")
    sub.add_argument("--ca", type=Path, metavar="FILE", help="tls: who signed the device's certificate")
    sub.add_argument("--cert", type=Path, metavar="FILE", help="tls: our own certificate")
    sub.add_argument("--key", type=Path, metavar="FILE", help="tls: the key of our certificate")
    sub.add_argument("--baud", type=_baud, default=19200, metavar="N", help="serial: bits a second (default 19200)")
    sub.add_argument("--parity", choices=("none", "even", "odd"), default="even", help="serial (default even)")
    sub.add_argument("--stop-bits", type=int, choices=(1, 2), default=1, help="serial (default 1)")
    sub.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Probes; 0 done, 1 when the device refused something that was asked for. Raises Usage and Unavailable."""
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    transport = Transport(
        _place(args.address), Tls(args.ca, args.cert, args.key), Serial(args.baud, args.parity, args.stop_bits)
    )
    if args.map is not None and args.at is not None:
        raise Usage("either --map or --at: a map says itself where its registers are")
    probe = Probe(transport, args.unit, args.timeout)
    work: Coroutine[Any, Any, tuple[dict[str, Any], list[str], int]]
    if args.map is not None:
        work = _by_map(probe, _map(args.map))
    elif args.at is not None:
        work = _raw(probe, args.function, args.at, args.count)
    else:
        work = _survey(probe)
    try:
        found, shown, code = asyncio.run(work)
    except Unreachable as error:
        raise Unavailable(str(error)) from error
    except ModbusError as error:
        print(f"{probe.place} unit {args.unit}: {error}", file=sys.stderr)
        return FAILED
    print(json.dumps({"address": probe.place, "unit": args.unit, **found}) if args.json else "\n".join(shown))
    return code


async def _by_map(probe: Probe, device_map: DeviceMap) -> tuple[dict[str, Any], list[str], int]:
    async with probe:
        found = await probe.by_map(device_map)
    units = {name: maps.UNITS[name.rsplit("_", 1)[-1]] for name in device_map.values}
    values = {
        one.name: {"value": one.value, "quality": one.quality, "unit": units[one.name], "at": one.at, "raw": one.raw}
        for one in found.readings
    }
    body = {"map": device_map.name, "values": values, "texts": found.texts, "refused": found.refused}
    shown = [f"{device_map.name} at {probe.place} unit {probe.unit}: {device_map.title}", *_lines(found, units)]
    return body, shown, FAILED if found.refused else 0


def _lines(found: Found, units: dict[str, str]) -> list[str]:
    shown = []
    for one in found.readings:
        number = "-" if one.value is None else f"{one.value:.10g}"
        shown.append(
            f"  {one.name:<24} {number:>14} {units[one.name]:<6} {one.quality:<9} {one.at:>6} {one.raw}".rstrip()
        )
    shown += [f"  {name:<24} {text}" for name, text in found.texts.items()]
    return shown + [f"  refused: {line}" for line in found.refused]


async def _raw(probe: Probe, function: int, at: int, count: int) -> tuple[dict[str, Any], list[str], int]:
    if at + count > 65536:
        raise Usage(f"--at {at} --count {count} ends beyond register 65535")
    async with probe:
        data = await probe.read(function, at, count)
    rows = sightings(data, at)
    shown = [f"FC{function:02d} {at}+{count} of {probe.place} unit {probe.unit}"]
    for row in rows:
        numbers = "  ".join(f"{kind} {row[kind]}" for kind in row if kind not in ("at", "raw", "order"))
        shown.append(f"  {row['at']:>6} {row['order']:<4} {row['raw']:<20} {numbers}")
    return {"function": function, "at": at, "count": count, "sightings": rows}, shown, 0


async def _survey(probe: Probe) -> tuple[dict[str, Any], list[str], int]:
    async with probe:
        identity = await probe.identity()
        models = await probe.models()
        common = [model.at for model in models if model.id == sunspec.COMMON]
        texts = await probe.common_texts(common[0]) if common else {}
    numbers = {model.id for model in models}
    fitting = [
        name for name in maps.modbus_names() if (wanted := maps.modbus(name).extents()) and numbers >= set(wanted)
    ]
    body = {
        "identity": identity, "sunspec": [{"model": m.id, "at": m.at, "length": m.length} for m in models],
        "texts": texts, "maps": fitting,
    }  # fmt: skip
    shown = [f"{probe.place} unit {probe.unit}"]
    shown += [f"  {key:<14} {text}" for key, text in identity.items()] or ["  no device identification (43/14)"]
    shown += [f"  SunSpec model {m.id:<5} at {m.at}, {m.length} registers" for m in models] or ["  no SunSpec marker"]
    shown += [f"  {key:<14} {text}" for key, text in texts.items()]
    shown.append(
        f"  maps that fit: {', '.join(fitting)}"
        if fitting
        else "  look at registers with --at, or name a map with --map"
    )
    return body, shown, 0


def _map(name: str) -> DeviceMap:
    if name.endswith(".toml"):
        found = maps.parse(mapcli.text_of(Path(name)), name)
        if not isinstance(found, DeviceMap):
            raise Usage(f"{name} is for {found.protocol}, a Modbus map is needed here")
        return found
    try:
        return maps.modbus(name)
    except KeyError:
        raise Usage(f"there is no map {name!r}; known: {', '.join(maps.modbus_names())}") from None


def _place(text: str) -> Address:
    """An address as in the site file; a host alone has the usual port."""
    whole = text if ":" in text.rpartition("]")[2] else f"{text}:{PORT}"
    try:
        return parse(whole)
    except AddressError as error:
        raise Usage(f"{text!r}: {error}") from error


def _unit(text: str) -> int:
    return _within(text, 0, 255)


def _baud(text: str) -> int:
    return _within(text, 300, 1_000_000)


def _register(text: str) -> int:
    return _within(text, 0, 65535)


def _count(text: str) -> int:
    return _within(text, 1, 125)


def _within(text: str, low: int, high: int) -> int:
    try:
        number = int(text.encode("ascii"), 0)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
    if not low <= number <= high:
        raise argparse.ArgumentTypeError(f"{text} lies outside {low} to {high}")
    return number


def _timeout(text: str) -> float:
    try:
        seconds = float(text.encode("ascii"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds") from None
    if not 0.05 <= seconds <= 60:
        raise argparse.ArgumentTypeError(f"{text} lies outside 0.05 to 60 seconds")
    return seconds
