"""`rampd demo` from outside: what it prints, what the meter did, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hall import RAMPD
from tests.waits import until

SCORE = {"t_s", "overshoot_ratio", "final_error_ratio"}


class Demo:
    """A demo with a home and a folder for temporary files of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.temporary = folder / "tmp"
        self.pointer = folder / ".cache" / "rampd" / "demo.json"
        self.temporary.mkdir()
        self.popen = subprocess.Popen(
            [*RAMPD, "demo", *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=os.environ | {"HOME": str(folder), "TMPDIR": str(self.temporary)}, start_new_session=True,
        )  # fmt: skip

    def until_running(self) -> None:
        until(lambda: self.pointer.exists() or self.popen.poll() is not None, 60, "the demo runs")
        assert self.popen.poll() is None, self.popen.communicate()

    def children(self) -> list[int]:
        found = Path(f"/proc/{self.popen.pid}/task/{self.popen.pid}/children").read_text(encoding="ascii")
        return [int(pid) for pid in found.split()]

    def close(self) -> None:
        if self.popen.poll() is None:
            self.popen.terminate()
        self.popen.communicate(timeout=30)


@pytest.fixture(scope="module")
def dispatch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A whole demo, under way while the other tests of this file run."""
    demo = Demo(tmp_path_factory.mktemp("demo"), "--seconds", "60", "--json")
    try:
        demo.until_running()
        yield demo
    finally:
        demo.close()


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.usefixtures("dispatch")
@pytest.mark.parametrize(
    "interrupt",
    [
        pytest.param(lambda pid: os.killpg(pid, signal.SIGINT), id="Ctrl-C, which goes to all its children as well"),
        pytest.param(lambda pid: os.kill(pid, signal.SIGTERM), id="SIGTERM"),
    ],
)
def test_an_interrupted_demo_leaves_nothing_behind(tmp_path: Path, interrupt: Callable[[int], None]) -> None:
    demo = Demo(tmp_path, "--seconds", "60", "--json")
    try:
        demo.until_running()
        children = demo.children()
        assert len(children) == 3, "simulator, broker and daemon"
        interrupt(demo.popen.pid)
        out, err = demo.popen.communicate(timeout=20)
    finally:
        demo.close()
    assert demo.popen.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert [pid for pid in children if not gone(pid)] == []
    assert not demo.pointer.exists()
    assert list(demo.temporary.iterdir()) == []


def test_a_dispatch_settles_within_five_seconds(dispatch: Demo) -> None:
    out, err = dispatch.popen.communicate(timeout=150)
    assert dispatch.popen.returncode == 0, err
    assert out.count("\n") == 1, "one JSON object and nothing else on stdout"
    summary: dict[str, Any] = json.loads(out)
    assert set(summary) == {"down", "up", "limit_violations", "ticks_skipped", "racks"}
    assert set(summary["down"]) == set(summary["up"]) == SCORE
    assert summary["racks"] == 12
    assert summary["down"]["t_s"] <= 5.0, summary
    # ASIC racks wake over tens of seconds: upward, the plant is slower than the command.
    assert summary["up"]["t_s"] is not None, summary
    for step in (summary["down"], summary["up"]):
        assert 0 <= step["overshoot_ratio"] <= 0.02, summary
        assert step["final_error_ratio"] <= 0.005, summary
    assert summary["limit_violations"] == 0
    assert summary["ticks_skipped"] <= 20, "more than a second of control was missed"
