"""`rampd qualify --site` on a running hall: it asks, steps a little down and back, scores, and leaves no command."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bus import Client
from tests.hall import RAMPD, Hall
from tests.waits import until


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    with Hall(tmp_path_factory.mktemp("site"), columns={"asic.up_kw_per_s": "109"}) as hall:
        hall.start()
        yield hall


@pytest.fixture(scope="module")
def bus(hall: Hall) -> Iterator[Client]:
    with hall.client() as client:
        until(lambda: client.of("state") and client.state["compliant"], 60, "the purchase stands on its reference")
        yield client


def qualify(hall: Hall, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RAMPD, "qualify", "--site", str(hall.site), *options],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip


def test_without_a_terminal_it_needs_a_yes(hall: Hall, bus: Client) -> None:
    done = qualify(hall)
    assert done.returncode == 2
    assert "--yes" in done.stderr


def test_at_a_terminal_it_says_what_it_will_do_and_takes_no_for_no(hall: Hall, bus: Client) -> None:
    before = len(bus.messages)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*RAMPD, "qualify", "--site", str(hall.site)], stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        os.write(ours, b"no\n")
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        os.close(ours)
        os.close(theirs)
    assert process.returncode == 1
    assert "This lowers its purchase by 0.073 MW in 5 s" in err
    assert "nothing was sent" in err
    assert not [m for m in bus.messages[before:] if m.topic.startswith("cmd/")]


def test_a_hall_that_somebody_commands_is_left_alone(hall: Hall, bus: Client) -> None:
    command = bus.command("hold", lease_s=60)
    until(lambda: bus.state["command_id"] == command, 10, "the hold is live")
    done = qualify(hall, "--yes")
    assert done.returncode == 1
    assert "somebody commands the site" in done.stderr
    bus.command("release")
    until(lambda: bus.state["command_id"] is None and bus.state["compliant"], 30, "the site is at its default")


def test_a_small_step_down_and_back_is_scored_and_released(hall: Hall, bus: Client, tmp_path: Path) -> None:
    stood_w = bus.state["reference_w"]
    done = qualify(hall, "--yes", "--step", "10", "--json", "--report", str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["site"]
    assert found["step_w"] == pytest.approx(0.1e6 * hall.config.site.max_mw)
    for way in ("down", "up"):
        assert found[way]["stages"][:3] == ["received", "accepted", "started"]
        assert found[way]["final_error_ratio"] <= found["band_ratio"]
        assert found[way]["overshoot_ratio"] <= 2 * found["band_ratio"]
        assert found[way]["t_s"] is not None, found
    assert bus.next_state()["command_id"] is None
    assert bus.state["reference_w"] == stood_w
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 1
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["site"] == found
