"""`rampd maps`: the device maps that ship, one in full, checks of own ones, and lists of other programs as drafts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, get_args

from rampd.daemon.client import Unavailable
from rampd.drivers import maps
from rampd.drivers.importers import lists
from rampd.drivers.maphead import Kind, MapError
from rampd.drivers.maps import DeviceMap, Value
from rampd.drivers.register import Register

FAILED: Final = 1
USAGE: Final = 2
CONFIGURATION: Final = 78


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `maps` with its four commands."""
    sub = commands.add_parser("maps", help="device maps")
    what = sub.add_subparsers(dest="what", metavar="list | lint | show | import", required=True)
    what.add_parser("list", help="the maps that ship with rampd").set_defaults(handler=_list)
    show = what.add_parser("show", help="one map, a line a register")
    show.add_argument("name", help="a map that ships, or the path of a map file")
    show.set_defaults(handler=_show)
    lint = what.add_parser("lint", help="check map files; without one, those that ship")
    lint.add_argument("files", nargs="*", type=Path, metavar="FILE")
    lint.set_defaults(handler=_lint)
    imported = what.add_parser(
        "import", help="a register list of Telegraf, modbus_exporter, rackmon, SunSpec or in CSV as a draft of a map"
    )
    imported.add_argument("file", type=Path, metavar="FILE")
    imported.add_argument("--format", choices=lists.FORMATS, default="", help="instead of recognising it")
    imported.add_argument("--name", default="", help="the name of the map (default: what the list calls itself)")
    imported.add_argument("--kind", choices=get_args(Kind), default="", help="what the device is")
    imported.add_argument("--pick", default="", metavar="DEVICE", help="the one of several in the file")
    imported.add_argument("-o", "--output", type=Path, metavar="FILE", help="instead of standard output")
    imported.set_defaults(handler=_import)


def place(value: Value, register: Register, device_map: DeviceMap) -> str:
    """Where a register stands: its address, or the SunSpec model and the offset from its ID register."""
    model = value.model or device_map.sunspec_model
    return str(register.at) if model is None else f"{model}+{register.at}"


def meaning(register: Register) -> str:
    """How the raw number becomes the value, and what is plausible."""
    parts = [f"bits {register.mask:#x}"] * bool(register.mask)
    if register.factor_at is not None:
        parts.append(f"x 10^[{register.factor_at}]")
    parts += [f"x {register.scale:.10g}"] * (register.scale != 1.0) + [f"{register.offset:+g}"] * (register.offset != 0)
    if register.sentinels:
        parts.append("no value " + " ".join(f"{raw:#x}" for raw in register.sentinels))
    if register.low > float("-inf"):
        parts.append(f"{register.low:g} to {register.high:g}")
    return ", ".join(parts)


def lines(device_map: DeviceMap) -> Iterator[tuple[str, str, str, str, str, str]]:
    """(place, function, type, name, unit, meaning) of every value, text and set-point register."""
    for name, value in device_map.values.items():
        register = device_map.register(name, value)
        unit = maps.UNITS[name.rsplit("_", 1)[-1]]
        yield _row(device_map, value, register, name, unit)
    for text in device_map.texts.items():
        name, line = text
        model = line.model or device_map.sunspec_model
        at = str(line.at) if model is None else f"{model}+{line.at}"
        yield at, f"FC{line.function or device_map.function:02d}", f"text {line.words}", name, "", ""
    if device_map.setpoint is not None:
        for key, part in device_map.setpoint.parts().items():
            unit = getattr(part, "unit", "s" if key in ("deadman", "ramp_s") else "")
            yield _row(device_map, part, device_map.register(key, part), f"setpoint.{key}", unit)


def _row(
    device_map: DeviceMap, value: Value, register: Register, name: str, unit: str
) -> tuple[str, str, str, str, str, str]:
    order = "" if register.words == 1 and register.order == 0 else f" {register.order.name}"
    kind = register.encoding.name.lower() + order
    return place(value, register, device_map), f"FC{register.function:02d}", kind, name, unit, meaning(register)


def _list(_: argparse.Namespace) -> int:
    for name in maps.names():
        device_map = maps.load(name)
        print(f"{name:<20} {device_map.kind:<8} {device_map.title}")
    return 0


def _show(args: argparse.Namespace) -> int:
    path = Path(args.name)
    if path.suffix == ".toml":
        device_map = maps.parse(text_of(path), str(path))
    else:
        try:
            device_map = maps.load(args.name)
        except KeyError:
            return _fail(f"there is no map {args.name!r}; known: {', '.join(maps.names())}", USAGE)
    print(f"{device_map.name}: {device_map.title}\n{device_map.verified}")
    for source in device_map.source:
        print(f"  source {source}")
    if not isinstance(device_map, DeviceMap):
        for key, value in device_map.model_dump(exclude={"name", "title", "source", "verified"}).items():
            print(f"  {key:<14} {value}")
        return 0
    for at, function, kind, name, unit, how in lines(device_map):
        print(f"  {at:>9} {function} {kind:<9} {name:<24} {unit:<6} {how}".rstrip())
    return 0


def _lint(args: argparse.Namespace) -> int:
    if not args.files:
        for name in maps.names():
            maps.load(name)
        print(f"{len(maps.names())} maps, no problem")
        return 0
    wrong: list[str] = []
    for path in args.files:
        try:
            maps.parse(text_of(path), str(path))
        except MapError as error:
            wrong += str(error).splitlines()
    if wrong:
        return _fail("\n".join([*wrong, f"{len(wrong)} problem{'s' * (len(wrong) != 1)}"]), CONFIGURATION)
    print(f"{len(args.files)} maps, no problem")
    return 0


def _import(args: argparse.Namespace) -> int:
    """The map on standard output; 0 when it may be used as it is, 1 when something is open."""
    text = text_of(args.file)
    found = lists.read(
        text, args.file.name, form=args.format, name=args.name, kind=args.kind, pick=args.pick
    )  # fmt: skip
    if args.output is None:
        print(found.text, end="")
    else:
        try:
            args.output.write_text(found.text, encoding="utf-8")
        except OSError as error:
            raise Unavailable(f"{args.output}: {error.strerror}") from error
    for line in found.open:
        print(f"to fill in: {line}", file=sys.stderr)
    return FAILED if found.open else 0


def text_of(path: Path) -> str:
    """A file's text. Raises Unavailable when it cannot be read, MapError when it is none."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise MapError(f"{path}: not UTF-8") from error


def _fail(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code
