"""The kernels' sources run by the interpreter, on the same memory as the compiled ones.

They stand as `ext.<name>`, where coverage and mutation find them, and import each other, never the compiled ones.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

EXT: Final = Path(__file__).resolve().parents[1] / "ext"
# Each after what it imports.
KERNELS: Final = (
    "rest",
    "tree",
    "exchange",
    "loops",
    "window",
    "ladder",
    "meter",
    "beside",
    "allocate",
    "levels",
    "bounds",
    "bridge",
    "crash",
    "failsafe",
    "grid",
    "witness",
    "warden",
    "guard",
    "ballast",
    "identify",
    "model",
    "ramp",
    "swing",
    "foresee",
    "move",
    "thermal",
    "firm",
    "neighbours",
    "step",
)


def load(name: str, path: Path, beside: dict[str, ModuleType]) -> ModuleType:
    """The source at `path` as a module; what it imports from `rampd.ext` comes from `beside` first."""
    spec = importlib.util.spec_from_file_location(f"ext.{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    names = {f"rampd.ext.{other}": found for other, found in beside.items()}
    before = {other: sys.modules.get(other) for other in names}
    sys.modules.update(names)
    try:
        spec.loader.exec_module(module)
    finally:
        for other, found in before.items():
            if found is None:
                del sys.modules[other]
            else:
                sys.modules[other] = found
    return module


def load_all() -> dict[str, ModuleType]:
    """Every kernel by its name."""
    found: dict[str, ModuleType] = {}
    for name in KERNELS:
        found[name] = load(name, EXT / f"{name}.py", found)
    return found


_LOADED: Final = load_all()
allocate = _LOADED["allocate"]
ballast = _LOADED["ballast"]
beside = _LOADED["beside"]
bounds = _LOADED["bounds"]
bridge = _LOADED["bridge"]
crash = _LOADED["crash"]
failsafe = _LOADED["failsafe"]
firm = _LOADED["firm"]
foresee = _LOADED["foresee"]
grid = _LOADED["grid"]
guard = _LOADED["guard"]
ladder = _LOADED["ladder"]
identify = _LOADED["identify"]
levels = _LOADED["levels"]
meter = _LOADED["meter"]
model = _LOADED["model"]
ramp = _LOADED["ramp"]
rest = _LOADED["rest"]
step = _LOADED["step"]
swing = _LOADED["swing"]
move = _LOADED["move"]
neighbours = _LOADED["neighbours"]
thermal = _LOADED["thermal"]
warden = _LOADED["warden"]
witness = _LOADED["witness"]
window = _LOADED["window"]
