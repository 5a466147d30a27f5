"""What the kernels promise: one layout on both sides, no GIL in the tick, nothing but arithmetic."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from enum import IntEnum
from pathlib import Path

import pytest
from Cython.Compiler.Main import CompilationOptions, compile_multiple

from rampd.ext import codes, views
from tests.interpreted import EXT, KERNELS

ROOT = EXT.parent
GUARD = ("witness", "warden", "guard")
CTYPES = {"int64_t": "int", "double": "float", "double *": "Doubles", "int64_t *": "Longs", "int32_t *": "Ints",
          "uint8_t *": "Bytes"}  # fmt: skip
GIL = re.compile(r"PyGILState_Ensure|__Pyx_PyGILState_Ensure|PyEval_RestoreThread|__Pyx_FastGIL_Remember")
ALLOCATION = re.compile(r"\b(\w*alloc|free|PyMem_\w+|new|alloca)\s*\(")
PYTHON = re.compile(r"\b(__Pyx_)?Py(Object|Err|Number|Float|Long|List|Dict|Tuple|Unicode|Thread)_\w+|__Pyx_RaiseU?\w+")


def structs() -> dict[str, list[tuple[str, str]]]:
    """Fields of every struct of image.pxd and memories.pxd, in order, with the names of `views`' types."""
    found: dict[str, list[tuple[str, str]]] = {}
    fields: list[tuple[str, str]] = []
    text = "\n".join((EXT / name).read_text(encoding="utf-8") for name in ("image.pxd", "memories.pxd"))
    for line in text.splitlines():
        code = line.split("#")[0].rstrip()
        if start := re.match(r"cdef struct (\w+):", code):
            fields = found.setdefault(start[1], [])
        elif field := re.match(r"    (\w+) (\*?)(\w+)$", code):
            kind = f"{field[1]} {field[2]}".strip()
            fields.append((field[3], CTYPES.get(kind, field[1])))
        elif code:
            fields = []
    return found


@pytest.mark.parametrize("name", ["Command", "Inputs", "Site", "Limits", "State", "Watch", "Outputs"])
def test_views_mirror_the_structs(name: str) -> None:
    assert structs()[name] == list(getattr(views, name).__annotations__.items())


def test_codes_are_the_same_on_both_sides() -> None:
    text = (EXT / "codes.pxd").read_text(encoding="utf-8")
    compiled = [
        [(name, int(number)) for name, number in re.findall(r"^    ([A-Z_]+) = (\d+)", block, re.MULTILINE)]
        for block in text.split("cdef enum:")[1:]
    ]
    enums = [cls for cls in vars(codes).values() if isinstance(cls, type) and issubclass(cls, IntEnum)]
    ours = [[(member.name, int(member)) for member in cls] for cls in enums if cls is not IntEnum]
    assert compiled == ours
    for members in ours:
        for name, number in members:
            assert getattr(codes, name) == number
    assert float(re.search(r"RAMPD_ENDLESS (\S+)", text)[1]) == codes.ENDLESS
    assert int(re.search(r"RAMPD_SECOND_NS INT64_C\((\d+)\)", text)[1]) == codes.SECOND_NS


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The C that Cython makes of the kernels and of the loop."""
    folder = tmp_path_factory.mktemp("c")
    found = {}
    for source in [*(EXT / f"{name}.py" for name in KERNELS), EXT / "loop.pyx", EXT / "tape.pyx", EXT / "image.pyx"]:
        target = folder / f"{source.stem}.c"
        options = CompilationOptions(output_file=str(target), language_level=3, include_path=[str(ROOT)])
        path = ROOT / "rampd" / "ext" / source.name
        assert compile_multiple([str(path)], options).num_errors == 0
        found[source.stem] = target.read_text(encoding="utf-8")
    return found


def functions(text: str, module: str) -> dict[str, str]:
    """Bodies of the module's own C functions, by their names in the source."""
    starts = re.finditer(
        rf"^static [^;\n]*?__pyx_f_5rampd_3ext_{len(module)}{module}_(\w+)\([^;{{]*\) \{{$", text, re.MULTILINE
    )
    found = {}
    for start in starts:
        end = text.index("\n}\n", start.end())
        # The comments quote the source around each line.
        found[start[1]] = re.sub(r"/\*.*?\*/", "", text[start.end() : end], flags=re.DOTALL)
    return found


def nogil(name: str) -> set[str]:
    """Functions that a kernel's source defines; every one of them runs in the control thread."""
    tree = ast.parse((EXT / f"{name}.py").read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_never_touches_the_gil(name: str, generated: dict[str, str]) -> None:
    bodies = functions(generated[name], name)
    assert set(bodies) == nogil(name)
    for function, body in bodies.items():
        assert not GIL.search(body), function
        assert not PYTHON.search(body), function
        assert not ALLOCATION.search(body), function


@pytest.mark.parametrize(
    ("module", "wanted"),
    [
        ("loop", {"4Loop_tick", "show", "bin_of", "monotonic_ns"}),
        ("tape", {"4Tape_after", "4Tape_frame", "4Tape_whole", "4Tape_room", "4Tape_commit", "changes", "put"}),
        ("image", {"9InputWall_latch", "10OutputWall_publish"}),
    ],
)
def test_the_tick_never_touches_the_gil(module: str, wanted: set[str], generated: dict[str, str]) -> None:
    bodies = functions(generated[module], module)
    assert wanted <= set(bodies)
    for function in wanted:
        assert not GIL.search(bodies[function]), function
        assert not PYTHON.search(bodies[function]), function
        assert not ALLOCATION.search(bodies[function]), function


def test_the_pattern_finds_the_gil_where_it_is_taken(generated: dict[str, str]) -> None:
    assert PYTHON.search(generated["loop"])
    assert "__Pyx_FastGIL_Remember" in generated["loop"] or "PyEval_RestoreThread" in generated["loop"]


def imported(name: str) -> set[str]:
    """Modules of the core that a kernel imports, in its .py and in its .pxd."""
    text = (EXT / f"{name}.py").read_text(encoding="utf-8") + (EXT / f"{name}.pxd").read_text(encoding="utf-8")
    return set(re.findall(r"from rampd\.ext\.(\w+) (?:c?import)", text))


def test_the_guard_knows_nothing_of_the_step() -> None:
    assert imported("witness") <= {"codes", "views"}
    assert imported("warden") <= {"codes", "views", "witness"}
    assert imported("guard") <= {"codes", "views", "witness", "warden"}


def test_the_core_imports_one_way() -> None:
    for at, name in enumerate(KERNELS):
        own = set() if name in GUARD else set(GUARD)
        assert imported(name) - {"codes", "views"} <= set(KERNELS[:at]) - own


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_know_no_clock_no_io_and_no_transcendental(name: str) -> None:
    """`floor` and `sqrt` are exact; everything else of libm may differ from one library to the next."""
    tree = ast.parse((EXT / f"{name}.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert [alias.name for alias in node.names] == ["cython"]
        elif isinstance(node, ast.ImportFrom) and node.module == "math":
            assert {alias.name for alias in node.names} <= {"floor", "sqrt"}
        elif isinstance(node, ast.ImportFrom):
            assert node.module in {"__future__", "typing"} or node.module.startswith("rampd.ext.")
        elif isinstance(node, ast.Pow | ast.Raise | ast.Try | ast.With | ast.Global):
            raise AssertionError(f"{name}.py: {type(node).__name__}")
    pxd = (EXT / f"{name}.pxd").read_text(encoding="utf-8")
    assert set(re.findall(r"from libc\.math cimport (.+)", pxd)) <= {"floor", "sqrt"}


@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_function_is_declared_nogil(name: str) -> None:
    pxd = (EXT / f"{name}.pxd").read_text(encoding="utf-8")
    declared = re.findall(r"cdef [\w ]+?(\w+)\(([^)]*)\) (noexcept nogil)?", pxd)
    assert {function for function, _, _ in declared} == nogil(name)
    assert all(kind == "noexcept nogil" for _, _, kind in declared)


INCLUDE = "--include=" + ",".join(f"*/ext/{name}.py" for name in GUARD)


def test_every_branch_of_the_guard_is_covered(tmp_path: Path) -> None:
    data, report = tmp_path / "coverage", tmp_path / "report.json"
    rows = [str(path) for path in (ROOT / "tests" / "cycles").glob("test_guard_*.py")]
    coverage = [sys.executable, "-m", "coverage"]
    for arguments in (
        [
            "run",
            "--branch",
            f"--data-file={data}",
            INCLUDE,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            *rows,
        ],
        ["json", f"--data-file={data}", INCLUDE, "-o", str(report)],
    ):
        done = subprocess.run([*coverage, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    files = json.loads(report.read_text(encoding="utf-8"))["files"]
    assert len(files) == len(GUARD)
    for found in files.values():
        assert found["missing_lines"] == []
        assert found["missing_branches"] == []
    assert sum(found["summary"]["num_branches"] for found in files.values()) > 50
