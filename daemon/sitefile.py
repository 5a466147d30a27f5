"""Reads the site file and its fleets; every problem at once, with file, line and remedy."""

from __future__ import annotations

import csv
import difflib
import io
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from rampd.daemon import derive
from rampd.daemon.config import Config, SiteFile, Under, Window
from rampd.daemon.equipment import Link, Login, Loop, Member, Meter, Node, Rack
from rampd.drivers.maphead import MapError

Model = TypeVar("Model", bound=BaseModel)
Place = tuple[str | int, ...]


@dataclass(frozen=True, order=True, slots=True)
class Problem:
    """Something wrong in a site file; `remedy` says what to do about it."""

    file: str
    line: int
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}\n    {self.remedy}"


class ConfigError(Exception):
    """A site that cannot be run; `problems` holds all of them, in the order of the files."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__("\n".join(map(str, self.problems)))


class Positions:
    """Where each key of a TOML text stands; a key it cannot see is given its nearest table's line."""

    _TABLE: Final = re.compile(r"^\s*\[(\[)?\s*([^\[\]]+?)\s*\]")
    _KEY: Final = re.compile(r"""^\s*(?:"([^"]+)"|'([^']+)'|([\w.-]+))\s*=""")

    def __init__(self, text: str) -> None:
        self._lines: dict[Place, int] = {(): 1}
        counts: dict[str, int] = {}
        table: Place = ()
        for number, line in enumerate(text.splitlines(), 1):
            if head := self._TABLE.match(line):
                name = head[2]
                table = tuple(name.split("."))
                if head[1]:
                    counts[name] = counts.get(name, -1) + 1
                    table = (*table, counts[name])
                self._lines.setdefault(table, number)
                self._lines.setdefault(table[:1], number)
            elif key := self._KEY.match(line):
                parts = tuple((key[1] or key[2] or key[3]).split("."))
                self._lines.setdefault((*table, *parts), number)

    def line(self, place: Place) -> int:
        """Line of a key path, 1-based."""
        while place not in self._lines:
            place = place[:-1]
        return self._lines[place]


def load(path: Path) -> tuple[Config, dict[str, tuple[str, int]]]:
    """The site in `path` and where each id stands (file, line).

    Checks every file by itself; the rules between them are `sitecheck.check`. Raises ConfigError.
    """
    text = _read(path)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = int(found[1]) if (found := re.search(r"line (\d+)", str(error))) else 1
        raise ConfigError(
            [Problem(str(path), line, f"not TOML: {error}", "correct the syntax at this line")]
        ) from error
    except RecursionError as error:
        message = "not TOML that can be read: lists or tables within each other a thousand deep"
        raise ConfigError(
            [Problem(str(path), 1, message, "a site file has four levels: close the brackets")]
        ) from error
    positions = Positions(text)
    problems: list[Problem] = []
    document = _validate(SiteFile, data, lambda place: (str(path), positions.line(place)), problems)
    places: dict[str, tuple[str, int]] = {}
    for section in ("meter", "loop", "node", "login", "link", "under"):
        rows = data.get(section, [])
        for i, row in enumerate(rows if isinstance(rows, list) else []):
            at = (str(path), positions.line((section, i)))
            places[nth(section, i)] = at
            _place(row, at, places, problems)
    for section in ("site", "normal", "dispatched", "grid", "lease", "control", "mqtt"):
        places[f"[{section}]"] = (str(path), positions.line((section,)))
    racks, nodes, members = _fleets(path, data, positions, places, problems)
    if document is None or problems:
        raise ConfigError(problems)
    config = Config(
        path=path, site=document.site, control=document.control, normal=document.normal,
        dispatched=document.dispatched, restore=document.restore, grid=document.grid, under=document.under,
        lease=document.lease, mqtt=document.mqtt.beside(path.parent), http=document.http, record=document.record,
        meters=document.meter, loops=document.loop, nodes=document.node + nodes, racks=racks,
        members=members, logins=document.login, links=document.link, mirror=document.mirror,
    )  # fmt: skip
    return config, places


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError([Problem(str(path), 1, "no such file", "give the path of the site's TOML file")]) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError([Problem(str(path), line, f"not UTF-8: {error}", "save the file as UTF-8 text")]) from error
    except OSError as error:
        raise ConfigError(
            [Problem(str(path), 1, f"cannot be read: {error}", "give a text file that can be read")]
        ) from error


def _fleets(
    path: Path, data: dict[str, Any], positions: Positions, places: dict[str, tuple[str, int]], problems: list[Problem]
) -> tuple[tuple[Rack, ...], tuple[Node, ...], tuple[Member, ...]]:
    fleet = data.get("fleet")
    if not isinstance(fleet, dict):
        return (), (), ()
    files: dict[str, str] = {}
    for key in ("racks", "nodes", "members"):
        if not isinstance(name := fleet.get(key), str):
            continue
        if not _is_file(path.parent / name):
            remedy = f"put the file beside {path.name} or correct the name"
            problems.append(Problem(str(path), positions.line(("fleet", key)), f"fleet.{key}: no file {name}", remedy))
            continue
        files[key] = name
    members = _table(Member, path.parent / files["members"], places, problems) if "members" in files else ()
    counts = Counter(member.rack for member in members)
    folder = _map_folder(path, data)

    def complete(row: dict[str, str]) -> dict[str, str]:
        return derive.complete(row, counts[row.get("id", "")], folder)

    racks = _table(Rack, path.parent / files["racks"], places, problems, complete) if "racks" in files else ()
    nodes = _table(Node, path.parent / files["nodes"], places, problems) if "nodes" in files else ()
    return racks, nodes, members


def _map_folder(path: Path, data: dict[str, Any]) -> Path | None:
    site = data.get("site")
    folder = site.get("map_folder") if isinstance(site, dict) else None
    return path.parent / folder if isinstance(folder, str) else None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for the file system
        return False


def _table(
    model: type[Model],
    path: Path,
    places: dict[str, tuple[str, int]],
    problems: list[Problem],
    complete: Callable[[dict[str, str]], dict[str, str]] = lambda row: row,
) -> tuple[Model, ...]:
    """A CSV fleet: header row of the model's keys; comma or semicolon; an empty cell is the default."""
    try:
        text = _read(path)
    except ConfigError as error:
        problems.extend(error.problems)
        return ()
    head = text.partition("\n")[0]
    delimiter = ";" if head.count(";") > head.count(",") else ","
    rows = _rows(csv.reader(io.StringIO(text), delimiter=delimiter, strict=True), path, problems)
    header = [cell.strip() for cell in next(rows, (1, []))[1]]
    for name in header:
        if name not in model.model_fields:
            problems.append(Problem(str(path), 1, f"unknown column {name!r}", _nearest(name, model)))
        elif header.count(name) > 1:
            problems.append(Problem(str(path), 1, f"column {name!r} stands twice", "keep one of them"))
    found: list[Model] = []
    for line, cells in rows:
        if not any(cell.strip() for cell in cells) or cells[0].lstrip().startswith("#"):
            continue
        if len(cells) != len(header):
            message = f"{len(cells)} cells in a table of {len(header)} columns"
            problems.append(Problem(str(path), line, message, "give every column a cell, empty for its default"))
            continue
        row = {name: cell.strip() for name, cell in zip(header, cells, strict=True) if name in model.model_fields}
        _place(row, (str(path), line), places, problems)
        try:
            row = complete({name: cell for name, cell in row.items() if cell})
        except MapError as error:
            problems.append(Problem(str(path), line, f"map: {error}", "correct the map, or its name in this row"))
            continue
        item = _validate(model, row, partial(_always, (str(path), line)), problems)
        if item is not None:
            places[nth(model.__name__.lower(), len(found))] = (str(path), line)
            found.append(item)
    return tuple(found)


def _always(at: tuple[str, int], _: Place) -> tuple[str, int]:
    """The place of a row is its line, whatever the key."""
    return at


def _rows(reader: Any, path: Path, problems: list[Problem]) -> Iterator[tuple[int, list[str]]]:
    """Rows with the lines they begin at; ends with a problem where the quoting is broken."""
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problems.append(Problem(str(path), line, f"not CSV: {error}", "close the quotation mark that begins here"))
            return
        yield line, cells


def nth(section: str, i: int) -> str:
    """The key to the place of a row that has no id."""
    return f"[[{section}]] {i}"


def _place(
    row: Mapping[str, Any], at: tuple[str, int], places: dict[str, tuple[str, int]], problems: list[Problem]
) -> None:
    name = row.get("id") if isinstance(row, Mapping) else None
    if not isinstance(name, str) or not name:
        return
    if name in places:
        file, line = places[name]
        message = f"duplicate id {name!r}, first at {file}:{line}"
        problems.append(Problem(*at, message, "ids are unique over meters, loops, nodes and racks: rename one"))
    else:
        places[name] = at


def _validate(
    model: type[Model], data: Any, locate: Callable[[Place], tuple[str, int]], problems: list[Problem]
) -> Model | None:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        items = error.errors()
        for item in items:
            place: Place = tuple(item["loc"])
            if item["type"] == "too_short" and any(
                len(o["loc"]) > len(place) and o["loc"][: len(place)] == place for o in items
            ):
                continue  # its entries are there, and wrong
            file, line = locate(place)
            key = ".".join(map(str, place))
            message = item["msg"].removeprefix("Value error, ")
            given = item.get("input")
            if item["type"] == "extra_forbidden":
                problems.append(
                    Problem(file, line, f"unknown key {key!r}", _nearest(str(place[-1]), _inside(model, place)))
                )
                continue
            if item["type"] == "missing":
                problems.append(Problem(file, line, f"{key} is missing", f"add {place[-1]} here"))
                continue
            shown = f" (got {given!r})" if isinstance(given, str | int | float) else ""
            problems.append(
                Problem(file, line, f"{key or 'file'}: {message}{shown}", _remedy(key, item["type"], given))
            )
        return None


def _inside(model: type[BaseModel], place: Place) -> type[BaseModel]:
    """The model whose key the last part of a place is."""
    named: dict[str, type[BaseModel]] = {
        "meter": Meter, "loop": Loop, "node": Node, "login": Login, "link": Link, "window": Window, "under": Under,
    }  # fmt: skip
    for part in place[:-1]:
        if isinstance(part, int):
            continue
        inner = named.get(part) or (model.model_fields[part].annotation if part in model.model_fields else None)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            model = inner
    return model


def _nearest(name: str, model: type[BaseModel]) -> str:
    known = list(model.model_fields)
    if near := difflib.get_close_matches(name, known, n=1, cutoff=0.5):
        return f"did you mean {near[0]!r}?"
    return f"known here: {', '.join(known)}"


_UNITS: Final = (
    "_mw_per_min", "_mw_per_s", "_kw_per_s", "_mw", "_kw", "_hz", "_s", "_c", "_k", "_lpm", "_percent",
)  # fmt: skip


def _remedy(key: str, kind: str, given: object) -> str:
    if kind in ("less_than_equal", "greater_than_equal", "less_than", "greater_than"):
        unit = next((u for u in _UNITS if key.endswith(u)), "")
        return f"out of reason: is the value given in the unit of its key ({unit.strip('_') or 'no unit'})?"
    if kind.startswith(("float", "int", "bool")):
        return "a plain number is needed, with a point for decimals" if kind != "bool_parsing" else "true or false"
    if kind == "value_error" and key.endswith("address"):
        return "write host:port, 10.0.3.17:502"
    if kind == "value_error" and key.endswith("host"):
        return "write broker.hall, 10.0.3.17 or fd00::17"
    if kind == "string_pattern_mismatch":
        return "letters, digits, '.', '_' and '-', starting with a letter or digit"
    return "correct the value"
