"""Example halls of any size, as site files: what `rampd demo` runs on and what stands in examples/.

Racks follow each other in rows of ten to a PDU, six PDUs to a feeder; a small hall has two feeders of one PDU. 45 % are
GPU racks of 132 kW that never go below 40 kW, the rest ASIC racks of 109 kW that shed first. Every device has a
loopback address of its own.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

GPU_KW: Final = 132.0
ASIC_KW: Final = 109.0
PORT: Final = 1502
RACKS_PER_PDU: Final = 10
PDUS_PER_FEEDER: Final = 6
RACKS_PER_LOOP: Final = 30
RACK_COLUMNS: Final = (
    "id", "kind", "node", "loop", "tier", "min_kw", "max_kw", "quantum_kw", "up_kw_per_s", "down_kw_per_s",
    "dead_up_s", "dead_down_s", "fallback_kw", "map", "address", "unit", "period_s",
)  # fmt: skip
# Purchase per kW of IT at full load: cooling, losses.
OVERHEAD: Final = 1.055
SMALLEST: Final = 4
LARGEST: Final = 2000


@dataclass(frozen=True, slots=True)
class Hall:
    """A hall to write: `net` is the second byte of its loopback addresses, so that two can run side by side."""

    id: str
    racks: int
    net: int = 20
    mqtt_port: int = 1883
    http_port: int = 9464


def address(net: int, kind: int, index: int) -> str:
    """Loopback address and port of a device; `kind` keeps meters, PDUs, loops and racks apart."""
    return f"127.{net + kind}.{index // 200}.{index % 200 + 1}:{PORT}"


def write(hall: Hall, folder: Path) -> Path:
    """Writes site.toml, nodes.csv and racks.csv; returns the site file."""
    if not SMALLEST <= hall.racks <= LARGEST:
        raise ValueError(f"a hall has {SMALLEST} to {LARGEST} racks, not {hall.racks}")
    folder.mkdir(parents=True, exist_ok=True)
    gpus = max(1, round(hall.racks * 0.45))
    kinds = ["gpu"] * gpus + ["asic"] * (hall.racks - gpus)
    it_kw = gpus * GPU_KW + (hall.racks - gpus) * ASIC_KW
    loops = _loops(kinds)
    _racks(hall, kinds, loops, folder / "racks.csv")
    _nodes(hall, kinds, folder / "nodes.csv", it_kw)
    path = folder / "site.toml"
    path.write_text(_site(hall, loops, it_kw), encoding="utf-8")
    return path


def _loops(kinds: list[str]) -> list[str]:
    """The loop of each rack; GPU and ASIC racks do not share one."""
    names: list[str] = []
    for kind in ("gpu", "asic"):
        count = kinds.count(kind)
        parts = max(1, math.ceil(count / RACKS_PER_LOOP))
        names += [f"{kind}-loop-{i * parts // count + 1}" for i in range(count)]
    return names


def _pdu(index: int, racks: int) -> str:
    return f"pdu-{index // min(RACKS_PER_PDU, math.ceil(racks / 2)) + 1:03d}"


def _racks(hall: Hall, kinds: list[str], loops: list[str], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(RACK_COLUMNS)
        for i, (kind, loop) in enumerate(zip(kinds, loops, strict=True)):
            if kind == "gpu":
                # From one BMC to the next the cap takes 0.4 to 1.2 s to act.
                follow_s = 0.4 + 0.2 * (i % 5)
                slope = round(GPU_KW / follow_s)
                row = [1, 40, GPU_KW, 0, slope, slope, 0.2, 0.2, 66]
            else:
                row = [2, 0, ASIC_KW, ASIC_KW / 32, 5.5, 218, 1.0, 0.1, 0]
            name = f"{kind}-{i + 1:03d}"
            out.writerow([name, kind, _pdu(i, hall.racks), loop, *row, "rack-power", address(hall.net, 3, i), 1, 0.5])


def _nodes(hall: Hall, kinds: list[str], path: Path, it_kw: float) -> None:
    pdus: dict[str, float] = {}
    for i, kind in enumerate(kinds):
        name = _pdu(i, hall.racks)
        pdus[name] = pdus.get(name, 0.0) + (GPU_KW if kind == "gpu" else ASIC_KW)
    feeders: dict[str, float] = {}
    for i, kw in enumerate(pdus.values()):
        name = f"feeder-{i // PDUS_PER_FEEDER + 1}" if len(pdus) > PDUS_PER_FEEDER else f"feeder-{i + 1}"
        feeders[name] = feeders.get(name, 0.0) + kw
    names = list(feeders)
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["id", "kind", "parent", "rating_kw", "derating", "map", "address", "unit", "period_s"])
        out.writerow(["main", "main", "", math.ceil(it_kw * 1.4), 0.8, "", "", "", ""])
        for name, kw in feeders.items():
            out.writerow([name, "feeder", "main", math.ceil(kw * 1.35), 0.8, "", "", "", ""])
        for i, (name, kw) in enumerate(pdus.items()):
            feeder = names[i // PDUS_PER_FEEDER if len(pdus) > PDUS_PER_FEEDER else i]
            out.writerow([name, "pdu", feeder, math.ceil(kw * 1.3), 0.8, "xerus-pdu", address(hall.net, 1, i), 1, 1.0])


def _site(hall: Hall, loops: list[str], it_kw: float) -> str:
    full_mw = it_kw * OVERHEAD / 1000
    # The purchase is capped just below what the racks could draw, so that 100 % is a power the meter can be held at.
    max_mw = _round(full_mw * 0.975)
    fast = _round(max_mw * 0.3)
    slow = _round(min(20.0, max_mw * 0.4))
    text = f"""\
#:schema ../../docs/site.schema.json
# {hall.racks} racks, {it_kw / 1000:.2f} MW of IT. Written by rampd.daemon.halls; a site of your own starts from this.

[site]
id = "{hall.id}"
name = "Example hall of {hall.racks} racks"
meter = "poi"
max_mw = {max_mw:g}            # 100 % of a percent command
min_mw = 0
import_limit_mw = {_round(full_mw * 1.02):g}   # never exceeded
default_mw = {max_mw:g}        # where the site stands without a live command
nominal_hz = 60
losses_percent = 1.5

[control]
hz = 20
meter_stale_s = 2.0
deadman_s = 30

[normal]
up_mw_per_min = {slow:g}
down_mw_per_min = {slow:g}

[dispatched]
up_mw_per_s = {fast:g}
down_mw_per_s = {fast:g}

[lease]
default_s = 900
after = "default"
raise_after = true

[mqtt]
host = "127.0.0.1"
port = {hall.mqtt_port}

[http]
host = "127.0.0.1"
port = {hall.http_port}

[fleet]
racks = "racks.csv"
nodes = "nodes.csv"

[[meter]]
id = "poi"
map = "janitza-umg"
address = "{address(hall.net, 0, 0)}"
period_s = 0.1
"""
    for i, name in enumerate(dict.fromkeys(loops)):
        supply = 32 if name.startswith("gpu") else 35
        text += f"""
[[loop]]
id = "{name}"
map = "orv3-rpu"
address = "{address(hall.net, 2, i)}"
warn_c = {supply + 6}
derate_c = {supply + 8}
max_supply_c = {supply + 13}
return_max_c = 65
min_flow_lpm = 100
"""
    return text


def _round(value: float) -> float:
    """Three significant digits, as a person would write it."""
    return float(f"{value:.3g}")
