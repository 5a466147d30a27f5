"""Imports run one way: daemon -> drivers -> ext, and within ext towards the image."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("ext", "drivers", "daemon")
CORE = (
    "step",
    "ramp",
    "window",
    "grid",
    "ballast",
    "beside",
    "bridge",
    "tree",
    "loops",
    "allocate",
    "levels",
    "bounds",
    "rest",
    "meter",
    "model",
    "thermal",
    "failsafe",
    "ladder",
    "crash",
    "neighbours",
    "witness",
    "warden",
    "guard",
)
GUARD = ("ext.witness", "ext.warden", "ext.guard")
SIM_USERS = {"daemon.simulate", "daemon.demo", "daemon.cli", "daemon.closed", "daemon.proving",
             "daemon.calls"}  # fmt: skip
CIMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import\s+\(?([\w, ]+)|c?import\s+([\w.]+))", re.MULTILINE)


def sources() -> list[Path]:
    return [
        path
        for layer in LAYERS
        for path in sorted((ROOT / layer).rglob("*"))
        if path.suffix in (".py", ".pyx", ".pxd", ".pyi")
    ]


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def by_syntax(text: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not used here"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def by_text(text: str) -> set[str]:
    """What ast cannot read: Cython. Imports and cimports alike."""
    found: set[str] = set()
    for source, names, plain in CIMPORT.findall(text):
        if plain:
            found.add(plain)
        else:
            found.update(f"{source}.{name.strip().split(' ')[0]}" for name in names.split(",") if name.strip())
    return found


def imports(path: Path) -> set[str]:
    """Full names of everything that a module imports, without the `rampd.` in front of its own."""
    text = path.read_text(encoding="utf-8")
    found = by_syntax(text) if path.suffix in (".py", ".pyi") else by_text(text)
    return {name.removeprefix("rampd.") if name.startswith("rampd.") else f"/{name}" for name in found}


ALL = {path: imports(path) for path in sources()}


def uses(path: Path, module: str) -> bool:
    return any(name == module or name.startswith(f"{module}.") for name in ALL[path])


def test_the_readers_of_imports_read_them() -> None:
    text = (
        "from rampd.ext cimport image\nfrom rampd.ext.codes cimport GOOD, RANGE\ncimport cython\nimport rampd.ext.step"
    )
    assert by_text(text) == {
        "rampd.ext.image",
        "rampd.ext.codes.GOOD",
        "rampd.ext.codes.RANGE",
        "cython",
        "rampd.ext.step",
    }
    assert by_syntax("def f():\n    from rampd.drivers import maps, plan\n    import os.path") == {
        "rampd.drivers.maps", "rampd.drivers.plan", "os.path",
    }  # fmt: skip
    names = {name_of(path): path for path in ALL if path.suffix == ".pyx"}
    assert uses(names["ext.link"], "ext.units")
    assert uses(names["ext.loop"], "ext.guard")


@pytest.mark.parametrize("path", ALL, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_imports_upwards_or_by_a_bare_folder_name(path: Path) -> None:
    layer = name_of(path).split(".")[0]
    for above in LAYERS[LAYERS.index(layer) + 1 :]:
        assert not uses(path, above), f"{layer} must not import {above}"
    for name in ALL[path]:
        assert not name.startswith(tuple(f"/{bare}" for bare in LAYERS)) or name.split(".")[0][1:] not in LAYERS, (
            f"{name[1:]}: import rampd.{name[1:]}: the bare folder name belongs to another package"
        )


@pytest.mark.parametrize("core", CORE)
def test_the_core_does_not_know_the_wire(core: str) -> None:
    for path in ALL:
        if name_of(path) == f"ext.{core}":
            for module in ("ext.link", "ext.units", "ext.decode", "ext.loop", "ext.expose"):
                assert not uses(path, module)


def test_the_guard_is_a_second_program() -> None:
    guards = [path for path in ALL if name_of(path) in GUARD]
    assert {path.suffix for path in guards} == {".py", ".pxd"}
    for path in guards:
        for module in (
            "step",
            "ramp",
            "window",
            "grid",
            "ballast",
            "beside",
            "bridge",
            "meter",
            "model",
            "tree",
            "loops",
            "allocate",
            "levels",
            "bounds",
            "rest",
            "thermal",
            "failsafe",
            "ladder",
            "crash",
            "neighbours",
        ):
            assert not uses(path, f"ext.{module}")


def test_the_wire_does_not_know_the_core() -> None:
    for path in ALL:
        if name_of(path) in ("ext.link", "ext.units", "ext.decode", "ext.expose"):
            for core in CORE:
                assert not uses(path, f"ext.{core}")


@pytest.mark.parametrize("core", [core for core in CORE if f"ext.{core}" not in GUARD])
def test_a_kernel_does_no_input_or_output(core: str) -> None:
    """The step is a pure function: no clock, no file, no socket, no randomness."""
    banned = {
        "time",
        "socket",
        "os",
        "pathlib",
        "random",
        "asyncio",
        "datetime",
        "logging",
        "io",
        "select",
        "threading",
    }
    for path, found in ALL.items():
        if name_of(path) == f"ext.{core}":
            assert not {name[1:].split(".")[0] for name in found if name.startswith("/")} & banned


def test_only_the_simulated_hall_uses_the_simulator() -> None:
    for path in ALL:
        name = name_of(path)
        if not name.startswith("drivers.sim") and name not in SIM_USERS:
            assert not uses(path, "drivers.sim"), f"{name} imports the simulator"


def test_the_simulator_reads_the_wire_with_eyes_of_its_own() -> None:
    """One fault in link or decode must not hide itself in the simulator."""
    for path in ALL:
        if name_of(path).startswith("drivers.sim"):
            for module in ("ext.link", "ext.units", "ext.decode", "drivers.modbus", "drivers.device", "drivers.plan"):
                assert not uses(path, module)
