"""What is shipped: the sdist holds everything, a wheel built from it works in an environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import rampd
from rampd.daemon import halls
from tests.hall import ROOT


@dataclass(frozen=True)
class Built:
    """The archives, and an environment into which nothing but the wheel was installed."""

    sdist: Path
    wheel: Path
    bin: Path

    def rampd(self, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Runs the installed program; its dependencies come from the environment of the tests."""
        env = os.environ | {"PYTHONPATH": sysconfig.get_path("purelib")}
        return subprocess.run(
            [str(self.bin / "rampd"), *arguments],
            cwd=cwd,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def sources() -> list[str]:
    """The tracked files; in an unpacked sdist, where there is no git, all of them."""
    if not (ROOT / ".git").exists():
        skip = {".venv", "build", "dist", "__pycache__"}
        found = (p.relative_to(ROOT) for p in ROOT.rglob("*") if p.is_symlink() or p.is_file())
        return [str(p) for p in found if skip.isdisjoint(p.parts) and p.suffix not in (".so", ".c", ".cpp")]
    return run("git", "ls-files", "-z", cwd=ROOT).rstrip("\0").split("\0")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("packaging")
    tree = folder / "tree"
    for name in sources():
        source, target = ROOT / name, tree / name
        if source.is_symlink() or source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    # The wheel is built from the sdist, so that what the sdist lacks is missed here.
    run(sys.executable, "-m", "build", "-q", "-n", "--outdir", str(folder / "dist"), str(tree), cwd=folder)
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    (wheel,) = (folder / "dist").glob("*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", str(folder / "venv"), cwd=folder)
    bin_folder = folder / "venv" / "bin"
    pip = [sys.executable, "-m", "pip", "--python", str(bin_folder / "python"), "--disable-pip-version-check"]
    run(*pip, "install", "-q", "--no-deps", "--no-index", str(wheel), cwd=folder)
    yield Built(sdist, wheel, bin_folder)


def test_the_sdist_holds_what_a_builder_needs(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    # What the import name links to is there under that name.
    code = {f"rampd/{name}" for name in sources() if name.startswith(("daemon/", "drivers/", "ext/"))}
    beside = {name for name in sources() if name.startswith(("tests/", "systemd/", "examples/", "docs/"))}
    assert (code | beside) - names == set()
    assert {"pyproject.toml", "LICENSE", "rampd/__init__.py", "rampd/py.typed"} <= names
    assert not [name for name in names if name.endswith((".so", ".pyc"))]


def test_the_wheel_holds_the_package_and_nothing_else(built: Built) -> None:
    names = set(zipfile.ZipFile(built.wheel).namelist())
    tops = {name.split("/")[0] for name in names}
    assert tops == {"rampd", f"rampd-{rampd.__version__}.dist-info"}
    assert {"rampd/__init__.py", "rampd/py.typed", "rampd/drivers/maps/rack-power.toml"} <= names
    compiled = {name.split("/")[-1].split(".")[0] for name in names if name.endswith(".so")}
    assert {"image", "loop", "link", "decode", "expose", "step", "guard"} <= compiled
    maps = {name for name in sources() if name.startswith("drivers/maps/")}
    assert {f"rampd/{name}" for name in maps} <= names


def test_the_installed_program_runs(built: Built, tmp_path: Path) -> None:
    done = built.rampd("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"rampd {rampd.__version__}\n"), done.stderr
    where = subprocess.run(
        [str(built.bin / "python"), "-c", "import rampd.ext.image as i; print(i.__file__)"], cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": sysconfig.get_path("purelib")}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert str(built.bin.parent) in where.stdout, "the tests' own installation was used"


def test_the_installed_program_finds_its_maps_and_checks_a_site(built: Built, tmp_path: Path) -> None:
    done = built.rampd("maps", "lint", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "no problem" in done.stdout
    site = halls.write(halls.Hall("shipped", 12), tmp_path)
    done = built.rampd("check", str(site), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "12 racks" in done.stdout
    site.write_text(site.read_text(encoding="utf-8").replace("max_mw", "max_mv", 1), encoding="utf-8")
    done = built.rampd("check", str(site), cwd=tmp_path)
    assert done.returncode == 78
    assert "max_mw" in done.stderr
