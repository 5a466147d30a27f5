"""Miners that rest after they were switched off, over a kill and a start of the daemon: what the plant does counts."""

from __future__ import annotations

import json
from pathlib import Path
from signal import SIGKILL

from rampd.daemon import halls
from tests.hall import Hall
from tests.waits import until

OFF_S = 40.0
COLUMNS = {
    "asic.levels_kw": "0 109", "asic.quantum_kw": "0", "asic.up_kw_per_s": "109", "asic.min_on_s": "5",
    "asic.min_off_s": f"{OFF_S:g}",
}  # fmt: skip


def test_miners_that_were_switched_off_rest_over_a_kill(tmp_path: Path) -> None:
    with Hall(tmp_path, racks=halls.SMALLEST, state=True, columns=COLUMNS) as hall, hall.start().client() as bus:
        gpus_w = 1.15e3 * sum(rack.max_kw for rack in hall.config.racks if rack.kind == "gpu")
        full_w = hall.config.site.max_mw * 1e6
        miner_w = max(rack.max_kw for rack in hall.config.racks if rack.kind == "asic") * 1e3
        kept = tmp_path / "state" / "commands.json"
        assert gpus_w < 0.7 * full_w
        bus.until_stage(bus.command("setpoint", percent=35, ramp_s=2), "started", 5)
        until(lambda: hall.settled(0.35 * full_w, ratio=0.05), 30, "the miners are off")
        began_s = hall.since_s
        until(lambda: len(json.loads(kept.read_text())["rest"].get("rests", {})) == 2, 5, "the journal has both")
        hall.daemon.stop(SIGKILL)
        hall.start_daemon()
        hall.until_ready()
        bus.until_stage(bus.command("setpoint", percent=100, ramp_s=2), "started", 10)
        until(lambda: hall.truth()[-1]["poi_w"] > 0.85 * gpus_w, 15, "the others rise")
        until(lambda: hall.truth()[-1]["poi_w"] > gpus_w + 0.5 * miner_w, OFF_S + 20, "a miner is back")
        # They had been off for some seconds when the purchase had settled.
        assert hall.since_s > began_s + OFF_S - 12
        assert hall.limits_broken() == []
