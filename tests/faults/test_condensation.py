"""Moist air comes to a loop of a running hall: its racks keep what they draw and do not rise, the others do."""

from __future__ import annotations

from pathlib import Path

from tests.bus import Client
from tests.hall import Hall
from tests.waits import until

MAPS = Path(__file__).resolve().parents[2] / "drivers" / "maps"
AT = 20.0
LASTS_S = 25.0
CLEAR_S = 10.0
FAULT = f"""
[[fault]]
device = "gpu-loop-1"
kind = "humid"
at_s = {AT}
for_s = {LASTS_S}
dew_point_c = 31.0
"""


def wet_hall(folder: Path) -> Hall:
    """The small hall, whose GPU loop shows a dew point; its supply is at 32 degC."""
    text = (MAPS / "orv3-rpu.toml").read_text(encoding="utf-8").replace('"orv3-rpu"', '"wet-rpu"')
    dew = '[values]\ndew_point_c = { at = 45000, type = "s16", scale = 0.1, range = [-40.0, 60.0] }\n'
    (folder / "wet-rpu.toml").write_text(text.replace("[values]\n", dew), encoding="utf-8")
    edit = {
        "min_mw = 0\n": 'min_mw = 0\nmap_folder = "."\n',
        'id = "gpu-loop-1"\nmap = "orv3-rpu"': 'id = "gpu-loop-1"\nmap = "wet-rpu"',
    }
    return Hall(folder, edit=edit, columns={"asic.up_kw_per_s": "109"}, faults=FAULT)


def gpu_w(hall: Hall) -> list[float]:
    samples = hall.metrics().having("rampd_rack_setpoint_watts")
    return [s.value for s in samples if s.labels["rack"].startswith("gpu-")]


def reasons(client: Client) -> dict[tuple[str, str], str]:
    return {(one["scope"], one["reason"]): one["action"] for one in client.next_state()["failsafe"]}


def test_racks_in_moist_air_keep_what_they_draw(tmp_path: Path) -> None:
    with wet_hall(tmp_path) as hall:
        hall.start()
        with hall.client() as client:
            until(lambda: client.of("state") and not client.state["failsafe"], 15, "all is well")
            full_w = hall.config.site.max_mw * 1e6
            client.command("setpoint", percent=25, ramp_s=5)
            until(lambda: hall.settled(0.25 * full_w, ratio=0.03), AT - 1, "the hall is at a quarter")
            until(lambda: ("gpu-loop-1", "condensation") in reasons(client), AT, "condensation is said")
            assert reasons(client) == {("gpu-loop-1", "condensation"): "no_raise"}
            assert hall.metrics().value("rampd_failsafe_active", scope="gpu-loop-1", reason="condensation") > 0
            stood_w = gpu_w(hall)
            client.command("setpoint", percent=55, ramp_s=5)
            until(lambda: hall.settled(0.55 * full_w, ratio=0.02), 20, "the other racks bring what is asked")
            # They may fall a little with their share, and none rises.
            assert all(0.98 * stood <= now <= stood for now, stood in zip(gpu_w(hall), stood_w, strict=True))
            hall.until_time(AT + LASTS_S)
            until(lambda: not reasons(client), CLEAR_S + 10, "it has cleared")
            until(lambda: sum(gpu_w(hall)) > 1.02 * sum(stood_w), 20, "they rise again")
            assert hall.limits_broken(since_s=10) == []
