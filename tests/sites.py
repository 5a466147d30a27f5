"""Site files to get wrong: a copy of the small example with edits, and what rampd says of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from rampd.daemon import sitecheck
from rampd.daemon.config import Config
from rampd.daemon.sitefile import ConfigError, Problem

EXAMPLES: Final = Path(__file__).resolve().parent.parent / "examples"
SITE, RACKS, NODES = "site.toml", "racks.csv", "nodes.csv"
Edit = tuple[str, str, str]
Expected = tuple[str, str, str]
RATED: Final[list[Edit]] = [
    (NODES, "derating,map", "derating,rating_a,map"), (NODES, "main,main,,1993,0.8", "main,main,,1993,0.8,"),
    (NODES, "feeder-1,feeder,main,1039,0.8", "feeder-1,feeder,main,1039,0.8,"),
    (NODES, "feeder-2,feeder,main,883,0.8", "feeder-2,feeder,main,883,0.8,"),
    (NODES, "pdu-001,pdu,feeder-1,1000,0.8", "pdu-001,pdu,feeder-1,1000,0.8,1200"),
    (NODES, "pdu-002,pdu,feeder-2,851,0.8", "pdu-002,pdu,feeder-2,851,0.8,"),
]  # fmt: skip
"""Edits that give the first PDU a limit of its phases."""


def site(folder: Path, *edits: Edit, example: str = "bench-12") -> Path:
    """The example with the first occurrence of each old text replaced by the new one."""
    shutil.copytree(EXAMPLES / example, folder, dirs_exist_ok=True)
    for name, old, new in edits:
        text = (folder / name).read_text(encoding="utf-8")
        assert old in text, f"{old!r} is not in {name}"
        (folder / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    return folder / SITE


def load(path: Path) -> Config:
    return sitecheck.load(path)


def problems(path: Path) -> list[Problem]:
    """What is wrong with a site, file names without their folder. Fails when nothing is."""
    try:
        sitecheck.load(path)
    except ConfigError as error:
        folder = f"{path.parent}/"
        return [
            Problem(p.file.replace(folder, ""), p.line, p.message.replace(folder, ""), p.remedy) for p in error.problems
        ]
    raise AssertionError("the site was taken as right")


def judge(path: Path, expected: list[Expected]) -> None:
    """Holds what is wrong with a site to a list: "file:line", a part of the message, a part of the remedy."""
    found = problems(path)
    shown = "\n".join(map(str, found))
    assert [f"{problem.file}:{problem.line}" for problem in found] == [place for place, _, _ in expected], shown
    for problem, (_, message, remedy) in zip(found, expected, strict=True):
        assert message in problem.message, shown
        assert remedy in problem.remedy, shown
