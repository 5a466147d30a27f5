"""The tree of the repository: what is written by a program is as the program writes it, what ships is packaged."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from importlib.resources import files
from pathlib import Path

import pytest

from rampd.daemon import halls
from rampd.drivers import maps

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("daemon", "drivers", "ext")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LONGEST = 450


@pytest.mark.parametrize(("name", "racks"), [("bench-12", 12), ("hall-48mw", 400)])
def test_an_example_is_what_the_program_writes(tmp_path: Path, name: str, racks: int) -> None:
    halls.write(halls.Hall(name, racks), tmp_path)
    for file in ("site.toml", "nodes.csv", "racks.csv"):
        committed = (ROOT / "examples" / name / file).read_bytes()
        assert committed == (tmp_path / file).read_bytes(), (
            f"examples/{name}/{file}: write it anew with rampd.daemon.halls"
        )


def test_every_map_is_packaged_and_found() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["rampd.drivers"]
    folder = files("rampd.drivers") / "maps"
    for path in sorted((ROOT / "drivers" / "maps").iterdir()):
        assert any(fnmatch(f"maps/{path.name}", pattern) for pattern in patterns), f"{path.name} is not packaged"
        assert (folder / path.name).is_file()
        assert path.stem in maps.names()


def test_every_compiled_module_is_declared_with_what_it_is_made_of() -> None:
    declared = {one["name"]: one["sources"] for one in PROJECT["tool"]["setuptools"]["ext-modules"]}
    for path in sorted((ROOT / "ext").glob("*.pyx")):
        assert declared[f"rampd.ext.{path.stem}"] == [f"rampd/ext/{path.name}"]
    for name, (source,) in declared.items():
        assert (ROOT / source).is_file(), name


def test_every_cython_module_has_a_stub() -> None:
    for path in sorted((ROOT / "ext").glob("*.pyx")):
        assert path.with_suffix(".pyi").is_file(), f"{path.name} has no .pyi beside it"


def test_stubs_and_definitions_are_packaged() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["rampd.ext"]
    for path in sorted((ROOT / "ext").iterdir()):
        if path.suffix in (".pyi", ".pxd"):
            assert any(fnmatch(path.name, pattern) for pattern in patterns)


def test_no_source_is_longer_than_one_subject() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".pyx")
    }
    assert lengths
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}


def test_the_architecture_names_every_module() -> None:
    named = set(re.findall(r"`([a-z_0-9]+)`", (ROOT / "docs/architecture.md").read_text(encoding="utf-8")))
    modules = {
        path.stem for folder in FOLDERS for path in (ROOT / folder).iterdir() if path.suffix in (".py", ".pyx")
    } - {"__init__"}
    assert modules - named == set()


def test_the_import_name_is_three_links() -> None:
    for folder in FOLDERS:
        link = ROOT / "rampd" / folder
        assert link.is_symlink()
        assert link.readlink() == Path("..") / folder


def test_every_package_is_a_package_and_says_what_it_is() -> None:
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            init = path.parent / "__init__.py"
            assert init.read_text(encoding="utf-8").startswith('"""'), f"{init.relative_to(ROOT)} says nothing"
