"""Every change that mutmut makes to the guard is noticed by its rows, but for those that change nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = """
[tool.pytest.ini_options]
addopts = "--import-mode=importlib -q"
[tool.mutmut]
source_paths = ["ext"]
only_mutate = ["ext/guard.py", "ext/warden.py", "ext/witness.py"]
also_copy = ["ext"]
pytest_add_cli_args = ["-p", "no:cacheprovider", "-x"]
pytest_add_cli_args_test_selection = ["tests/cycles"]
"""


def mutmut(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mutmut", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def change(diff: str) -> tuple[str, str]:
    """The line before and after."""
    (was,) = re.findall(r"^-(?!--)\s*(.+)$", diff, re.MULTILINE)
    (now,) = re.findall(r"^\+(?!\+\+)\s*(.+)$", diff, re.MULTILINE)
    return was, now


def test_no_mutant_of_the_guard_survives_but_the_listed_ones(tmp_path: Path) -> None:
    (tmp_path / "ext").mkdir()
    for path in (ROOT / "ext").glob("*.p*"):
        shutil.copy(path, tmp_path / "ext")
    (tmp_path / "tests" / "cycles").mkdir(parents=True)
    rows = [f"cycles/{path.name}" for path in (ROOT / "tests" / "cycles").glob("test_guard_*.py")]
    for name in ("__init__.py", "core.py", "interpreted.py", "guarding.py", *rows):
        shutil.copy(ROOT / "tests" / name, tmp_path / "tests" / name)
    (tmp_path / "pyproject.toml").write_text(SETTINGS, encoding="utf-8")
    mutmut(tmp_path, "run")
    results = mutmut(tmp_path, "results", "--all", "1")
    states = dict(re.findall(r"^\s*(ext\.\w+\.x_\S+): (.+)$", results, re.MULTILINE))
    assert len(states) > 400
    assert set(states.values()) <= {"killed", "survived", "timeout"}
    found = set()
    for name in (name for name, state in states.items() if state == "survived"):
        function = re.match(r"ext\.\w+\.x_(\w+?)__mutmut_\d+", name)
        assert function is not None
        found.add((function[1], *change(mutmut(tmp_path, "show", name))))
    listed = tomllib.loads((ROOT / "tests" / "mutants.toml").read_text(encoding="utf-8"))["equivalent"]
    assert all(len(one["reason"]) > 20 for one in listed)
    assert found == {(one["function"], one["was"], one["now"]) for one in listed}
