"""The grid's yardsticks in simulated time on the hall of `rampd qualify`, held to their bars; half an hour each."""

from __future__ import annotations

import base64
import html
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rampd.daemon import adversity, corners, qualify, scores

HOURS = 0.5
RAMPD = [sys.executable, "-m", "rampd.daemon.cli"]


@pytest.fixture(scope="module", params=(1, 3, 5, 6, 9))
def steps(request: pytest.FixtureRequest) -> dict[str, Any]:
    return qualify.steps(request.param, HOURS)


def test_down_in_five_seconds_with_dead_times_of_up_to_four(steps: dict[str, Any]) -> None:
    down = steps["step_down"]
    assert down["t_s"] <= max(5.0, down["optimum_s"] + 0.5)
    assert down["overshoot_ratio"] <= 0.02


def test_up_half_a_second_after_physics(steps: dict[str, Any]) -> None:
    up = steps["step_up"]
    assert up["t_s"] <= max(5.0, up["optimum_s"] + 0.5)
    assert up["overshoot_ratio"] <= 0.02


def test_parts_of_the_range(steps: dict[str, Any]) -> None:
    parts = steps["part_steps"]
    assert parts["late_s"] <= 2.0
    assert parts["overshoot_ratio"] <= 0.02


def test_down_with_racks_silently_dead(steps: dict[str, Any]) -> None:
    dead = steps["dead_racks"]
    assert dead["t_s"] <= max(5.0, dead["optimum_s"] + 1.0)
    assert dead["shortfall_error_ratio"] <= 0.001


def test_regulation_in_a_quiet_and_in_a_noisy_hall() -> None:
    found = qualify.regulation(1, 1.1)["regulation"]
    assert found["quiet"]["mean"] >= 0.990
    assert 0.970 <= found["quiet"]["worst_hour"] < found["quiet"]["mean"]
    assert found["noisy"]["mean"] >= 0.980
    assert 0.955 <= found["noisy"]["worst_hour"] < found["noisy"]["mean"]
    assert found["noisy"]["rmse_ratio"] <= 0.04


def test_a_quarter_of_an_hour_has_no_worst_hour() -> None:
    found = qualify.regulation(1, 0.25)["regulation"]
    assert found["quiet"]["worst_hour"] is None
    assert found["noisy"]["worst_hour"] is None
    assert found["quiet"]["mean"] >= 0.990


WORST = {
    # scores of five minutes each -> the worst hour
    "nothing":            ([], None),
    "55 minutes":         ([0.5] * 11, None),
    "one hour":           ([0.8] * 6 + [1.0] * 6, 0.9),
    "a bad hour":         ([1.0] * 12 + [0.4] * 12 + [1.0] * 12, 0.4),
    "across two hours":   ([1.0] * 6 + [0.4] * 12 + [1.0] * 6, 0.4),
    "the last is scored": ([1.0] * 12 + [0.4], 0.95),
}  # fmt: skip


@pytest.mark.parametrize(("each", "worst"), WORST.values(), ids=WORST.keys())
def test_the_worst_hour(each: list[float], worst: float | None) -> None:
    assert scores.worst_hour(np.array(each)) == (worst if worst is None else pytest.approx(worst))


@pytest.mark.parametrize("minutes", [15, 60, 75])
def test_every_five_minutes_of_a_run_are_scored(minutes: int) -> None:
    """The last five need as much again of the response, which comes late."""
    signal = np.repeat(qualify.with_tail(minutes / 60, 3), 2)
    assert len(scores.regulation(signal, signal, 1.0)) == minutes / 5


def test_base_points_every_four_seconds() -> None:
    assert qualify.base_points(1, HOURS)["udsp"]["share_within"] >= 0.995


def test_primary_response() -> None:
    """Scored with racks that answer within a second; slower ones are there as well when the windows begin."""
    found = qualify.primary(1, HOURS)["pfr"]
    for one, loose in ((found, 0.05), (found["others"], 0.05), (found["noisy"], 0.1)):
        assert one["initial"] == pytest.approx(1.0, abs=loose)
        assert one["sustained"] == pytest.approx(1.0, abs=loose)


def test_a_normal_day_keeps_its_windows_also_beside_a_training_job() -> None:
    found = qualify.normal(1, HOURS)["normal"]
    assert found["commanded_violations"] == 0
    assert found["noisy_share"] <= 0.01
    assert found["uncontrolled_share"] >= 0.60
    assert found["gpu_energy_ratio"] >= 0.90


@pytest.mark.parametrize("seed", [1, 2])
def test_chillers_fail_and_without_rampd_their_loop_trips(seed: int) -> None:
    found = qualify.cooling(seed, HOURS)["cooling"]
    assert found["max_supply_c"] < found["trip_c"]
    assert found["uncontrolled_supply_c"] > found["trip_c"] + 10.0


def test_firm_capacity_holds_and_is_worth_something() -> None:
    # A hundred calls: 0.96 of them are 90 to 100, 24 of 25 in a class are 21 at least (binomial, 1 in 300).
    found = qualify.firm(1, 0.1)["firm"]
    assert 0.90 <= found["coverage"] <= 1.0
    assert found["worst_class_coverage"] >= 0.84
    assert 0.88 <= found["sharpness"] <= 1.02


@pytest.fixture(scope="module")
def sensors() -> dict[str, Any]:
    return adversity.sensors(1, HOURS)["sensors"]


def test_no_bad_reading_breaks_a_limit_or_brings_more_than_was_asked(sensors: dict[str, Any]) -> None:
    assert set(sensors) == set(adversity.FAULTS)
    assert {name: one["limit_violations"] for name, one in sensors.items()} == dict.fromkeys(sensors, 0)
    assert max(one["over_ratio"] for one in sensors.values()) <= 0.02


def test_without_a_meter_nothing_is_raised(sensors: dict[str, Any]) -> None:
    for fault in ("meter_lost", "meter_nan", "meter_frozen"):
        assert sensors[fault]["raised_ratio"] <= 0.002, fault


@pytest.mark.parametrize(
    ("fault", "down", "up"),
    [
        ("meter_noisy", 0.01, 0.01),
        ("meter_late", 0.005, 0.005),
        # Who shows the same whatever it is given is taken to want no more: a fifth less, for a quarter of the racks.
        ("racks_frozen", 0.005, 0.06),
        # Blind, it errs downwards: the way up is barred.
        ("meter_lost", 0.10, 0.55),
        ("meter_nan", 0.10, 0.55),
        # It is found out by the move down, and is a lost one from then on.
        ("meter_frozen", 0.01, 0.55),
    ],
)
def test_the_error_under_bad_readings_is_bounded(sensors: dict[str, Any], fault: str, down: float, up: float) -> None:
    assert sensors[fault]["down_error_ratio"] <= down
    assert sensors[fault]["up_error_ratio"] <= up


def test_a_job_that_ends_at_once_is_told_within_a_second() -> None:
    found = adversity.crash(1, HOURS)["crash"]
    assert found["told_s"] <= 1.0
    # Half of what its return would break without us is the least that must be prevented.
    assert found["return_violations"] <= 0.5 * found["uncontrolled_violations"]
    assert found["uncontrolled_violations"] >= 60


def test_a_perfect_response_scores_one_and_delay_costs() -> None:
    signal = np.repeat(qualify.regulation_signal(1.0, 3), 40)
    late = [scores.regulation(signal, np.roll(signal, round(s / 0.05)), 0.05).mean() for s in (0.0, 0.5, 1.0, 2.0)]
    assert late[0] == pytest.approx(1.0, abs=1e-9)
    assert late == sorted(late, reverse=True)
    assert late[1] == pytest.approx(0.998, abs=0.003)
    assert scores.regulation(signal, np.zeros_like(signal), 0.05).mean() < 0.5
    # A signal that stands still counts by precision alone.
    assert scores.regulation(np.ones(24_000), np.full(24_000, 0.9), 0.05).tolist() == pytest.approx([0.9, 0.9, 0.9])


def test_the_least_time_of_a_step() -> None:
    room_w, slope_w, dead_s = np.array([10.0, 10.0]), np.array([10.0, 5.0]), np.array([1.0, 2.0])
    assert scores.optimum(room_w, slope_w, dead_s, 10.0) == pytest.approx(2.0)
    assert scores.optimum(room_w, slope_w, dead_s, 15.0) == pytest.approx(3.0)
    assert scores.optimum(room_w, slope_w, dead_s, 20.1) == np.inf


def test_windows_are_counted() -> None:
    ramp = np.repeat(np.linspace(0.0, 60.0, 61), 20)
    assert scores.beyond(ramp, 0.05, 15.0, 14.0).all()
    assert not scores.beyond(ramp, 0.05, 15.0, 16.0).any()


def test_the_command_prints_one_object() -> None:
    done = subprocess.run(
        [*RAMPD, "qualify", "cooling", "pfr", "--json"],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert set(json.loads(done.stdout)) == {"cooling", "pfr"}
    wrong = subprocess.run([*RAMPD, "qualify", "nothing"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "no yardstick" in wrong.stderr


def test_a_report_has_a_plot_of_each_run_and_its_figures_beside(tmp_path: Path) -> None:
    done = subprocess.run(
        [*RAMPD, "qualify", "cooling", "margins", "--json", "--report", str(tmp_path)],
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    figures = json.loads(done.stdout)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    images = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert [base64.b64decode(image)[:4] for image in images] == [b"\x89PNG"] * 2
    for name in ("max_supply_c", "uncontrolled_supply_c"):
        assert f"<td>cooling.{name}</td><td>{figures['cooling'][name]}</td>" in page
    worst = figures["margins"]["table"]["1.5/1.3"]
    cells = "".join(f"<td>{html.escape(str(worst[column]))}</td>" for column in ("formula", *corners.HALLS))
    assert f"<tr><td>1.5/1.3</td>{cells}</tr>" in page
    beside = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert {name: beside[name] for name in figures} == figures
    assert "http" not in page, "the page needs nothing from anywhere"


@pytest.mark.parametrize(("missing", "options"), [("matplotlib", ["--report", "x"]), ("numpy", [])])
def test_without_the_extra_it_says_which(missing: str, options: list[str]) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None; from rampd.daemon.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, "qualify", "margins", *options],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 69
    assert "install rampd with its extra 'report'" in done.stderr
    assert "Traceback" not in done.stderr
