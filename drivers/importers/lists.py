"""Register lists of other programs as maps: a draft in TOML, and what a person must still fill in.

Formats: Telegraf's modbus plugin (TOML), modbus_exporter (YAML), rackmon (JSON), SunSpec model definitions (JSON), CSV.
What a list does not say is not invented: a plausible range, for example, stays open and the draft says so.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rampd.drivers.importers import csv_list, exporter, rackmon, sunspec, telegraf, units
from rampd.drivers.importers.draft import Draft, Line
from rampd.drivers.maphead import MapError
from rampd.drivers.maps import NEEDED, AnyMap, parse

_READERS: Final[dict[str, Callable[[str, str, str], Draft]]] = {
    "telegraf": telegraf.read, "exporter": exporter.read, "rackmon": rackmon.read,
    "sunspec": sunspec.read, "csv": csv_list.read,
}  # fmt: skip
FORMATS: Final = tuple(_READERS)
LARGEST: Final = 1_000_000
"""Characters of a file that is read at all."""


@dataclass(frozen=True, slots=True)
class Imported:
    """The draft as TOML, what is open in it, and what was noted on the way; `map` is set when nothing is open."""

    text: str
    open: tuple[str, ...]
    notes: tuple[str, ...]
    map: AnyMap | None


def read(text: str, where: str, *, form: str = "", name: str = "", kind: str = "", pick: str = "") -> Imported:
    """Imports a list; `pick` names the device in a file of several. Raises MapError when it is none of the formats."""
    if len(text) > LARGEST:
        raise MapError(f"{where}: {len(text)} characters are no register list: {LARGEST} at most")
    form = form or sniff(text)
    if form not in _READERS:
        raise MapError(f"{where}: the format was not recognised: force one with --format {'|'.join(FORMATS)}")
    draft = _READERS[form](text, where, pick)
    if not draft.lines:
        raise MapError(f"{where}: no register that a map can hold; {'; '.join(draft.notes[:5]) or 'the list is empty'}")
    stem = re.sub(r"[^a-z0-9]+", "-", (name or pick or draft.title).lower()).strip("-")[:60] or "imported"
    return _finish(draft, stem, kind)


def sniff(text: str) -> str:
    """The format of a text, empty when it is none."""
    head = text.lstrip("\ufeff \t\r\n")
    if head.startswith("{"):
        try:
            found = json.loads(head)
        except (ValueError, RecursionError):
            return ""
        return "sunspec" if "group" in found else "rackmon" if "registers" in found else ""
    if "inputs" in text:
        try:
            return "telegraf" if "inputs" in tomllib.loads(text) else ""
        except (ValueError, RecursionError):
            return ""
    if re.search(r"^modules\s*:", text, re.MULTILINE):
        return "exporter"
    first = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    return "csv" if re.search(r"[,;\t]", first) else ""


def _finish(draft: Draft, name: str, kind: str) -> Imported:
    values, notes = _values(draft)
    kind = kind or draft.kind or "meter"
    for wanted in NEEDED.get(kind, ()):
        if wanted not in values and (found := units.canonical(set(values), wanted)) is not None:
            values = {wanted if key == found else key: line for key, line in values.items()}
            notes.append(f"{wanted}: taken from {values[wanted].name!r}")
    text = _toml(draft, name, kind, values, notes)
    try:
        return Imported(text, (), tuple(notes), parse(text, name))
    except MapError as error:
        return Imported(
            text, tuple(line.removeprefix(f"{name}: ") for line in str(error).splitlines()), tuple(notes), None
        )


def _values(draft: Draft) -> tuple[dict[str, Line], list[str]]:
    """The lines under the names of a map, in its units; and the notes."""
    values: dict[str, Line] = {}
    notes = list(draft.notes)
    places: dict[tuple[int, int, int], str] = {}
    for line in draft.lines:
        place = (line.function, line.at, line.mask)
        if place in places:
            notes.append(f"{line.name}: left out, {places[place]} is at register {line.at} as well")
            continue
        places[place] = line.name
        if not (math.isfinite(line.scale) and math.isfinite(line.offset)) or line.scale == 0.0:
            notes.append(f"{line.name}: left out, its scale is {line.scale:g}")
            continue
        given = "bits" if line.mask else line.unit or units.hint(line.name)
        known = units.unit(given)
        if known is None:
            known = ("bits" if given == "bits" else "count", 1.0, 0.0)
            if given not in ("bits", ""):
                notes.append(f"{line.name}: unit {given!r} is not known here, taken as a count")
            elif not given:
                notes.append(f"{line.name}: no unit is given, taken as a count")
        elif not line.unit and not line.mask:
            notes.append(f"{line.name}: unit {given} guessed from its name")
        suffix, factor, shift = known
        key = base = units.named(line.name, suffix, guessed=not line.unit)
        number = 2
        while key in values:
            key = f"{base.rsplit('_', 1)[0]}_{number}_{suffix}"
            number += 1
        if key != base:
            notes.append(f"{key}: the name {line.name!r} came more than once")
        line.scale, line.offset = line.scale * factor, line.offset * factor + shift
        if line.range is not None:
            line.range = (line.range[0] * factor + shift, line.range[1] * factor + shift)
        values[key] = line
    return values, notes


def _toml(draft: Draft, name: str, kind: str, values: dict[str, Line], notes: list[str]) -> str:
    out = [f"# {_plain(note)}" for note in notes]
    out += [
        f"name = {_quote(name)}",
        f"kind = {_quote(kind)}",
        f"title = {_quote(draft.title if len(draft.title) >= 5 else f'imported: {draft.title}')}",
        f"source = [{_quote(draft.source)}]",
        'verified = "imported; not checked against the vendor\'s list, not checked on hardware"',
        f"function = {draft.function}",
    ]
    if draft.model is not None:
        out += [f"sunspec_model = {draft.model}", "max_gap = 60"]
    out += ["", "[values]", *(f"{key} = {{ {', '.join(_cells(line, draft))} }}" for key, line in values.items())]
    if draft.texts:
        out += ["", "[texts]", *(f"{key} = {{ at = {at}, words = {n} }}" for key, (at, n) in _texts(draft).items())]
    return "\n".join([*out, ""])


def _texts(draft: Draft) -> dict[str, tuple[int, int]]:
    """The texts under names of their own; the first of two with one name keeps it."""
    found: dict[str, tuple[int, int]] = {}
    for number, (name, at, count) in enumerate(draft.texts):
        key = "_".join(units.words(name)) or "text"
        found[key if key not in found else f"{key}_text{number}"] = (at, count)
    return found


def _cells(line: Line, draft: Draft) -> list[str]:
    cells = [f"at = {line.at}", f"type = {_quote(line.type)}"]
    cells += [f"scale = {line.scale!r}"] * (line.scale != 1.0) + [f"binary = {line.binary}"] * (line.binary > 0)
    cells += [f"offset = {line.offset!r}"] * (line.offset != 0.0) + [f"mask = {line.mask:#x}"] * (line.mask > 0)
    cells += [f"order = {_quote(line.order)}"] * (line.order not in ("", "ABCD"))
    cells += [f"function = {line.function}"] * (line.function not in (0, draft.function))
    cells += [f"factor_at = {line.factor_at}"] * (line.factor_at is not None)
    cells += [f"nan = [{', '.join(map(hex, line.nan))}]"] * bool(line.nan)
    if line.range is not None:
        cells.append(f"range = [{line.range[0]!r}, {line.range[1]!r}]")
    return cells


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _quote(text: str) -> str:
    """A TOML string: JSON's escapes are TOML's, as long as all is ASCII below the surrogates."""
    return json.dumps(
        "".join(letter for letter in _plain(text) if not 0xD800 <= ord(letter) <= 0xDFFF), ensure_ascii=False
    )
