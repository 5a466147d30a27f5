"""Ten racks of ten kinds in one hall: Modbus, SunSpec, Redfish and five miners' protocols, real servers for each."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.bus import Client
from tests.hall import Hall
from tests.waits import until

AT_S, FOR_S = 50.0, 25.0
BROKEN = {
    "asic-luxos/3": 'kind = "silent"',
    "asic-wm2/5": 'kind = "down"',
    "asic-wm3/2": 'kind = "garbage"',
    "asic-braiins/4": 'kind = "rst"',
    "gpu-percent/1": 'kind = "half_open"',
}
LIMITS = ("rack_over_w", "node_over_w", "site_over_w")


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    faults = [
        f'[[fault]]\ndevice = "{device}"\nat_s = {AT_S}\nfor_s = {FOR_S}\n{kind}\n' for device, kind in BROKEN.items()
    ]
    faults.append(f'[[fault]]\ndevice = "gpu-chassis/2"\nkind = "reboot"\nat_s = {AT_S}\nfor_s = 4\n')
    with Hall(tmp_path_factory.mktemp("mixed"), example="mixed-10", faults="\n".join(faults)) as hall:
        hall.start()
        yield hall


@pytest.fixture(scope="module")
def bus(hall: Hall) -> Iterator[Client]:
    with hall.client() as client:
        until(lambda: client.of("state"), 20, "the first state message")
        yield client


def members(hall: Hall, state: str) -> dict[str, float]:
    return {s.labels["rack"]: s.value for s in hall.metrics().having("rampd_members", state=state)}


def racks(hall: Hall) -> list[tuple[str, float | None, float | None]]:
    """Every rack with its set point and power in W."""
    shown = hall.metrics()
    return [
        (r.id, shown.get("rampd_rack_setpoint_watts", rack=r.id), shown.get("rampd_rack_power_watts", rack=r.id))
        for r in hall.config.racks
    ]


def test_all_come_under_control(hall: Hall, bus: Client) -> None:
    until(lambda: bus.state["racks"]["available"] == 10, 30, "ten racks are available")
    until(lambda: sum(members(hall, "up").values()) == 82, 20, "every member answers")
    assert bus.state["racks"]["unresponsive"] == bus.state["racks"]["manual"] == 0
    until(lambda: hall.metric("rampd_rack_power_watts", rack="asic-stock") is not None, 15, "its PDU tells its power")


def test_a_dispatch_moves_them_together(hall: Hall, bus: Client) -> None:
    command = bus.command("setpoint", percent=40, ramp_s=5)
    reached = bus.until_stage(command, "reached", 30)
    target_w = 0.4 * hall.config.site.max_mw * 1e6
    assert reached["power_w"] == pytest.approx(target_w, rel=0.03)
    shown = hall.metrics()
    assert shown.value("rampd_writes_total", stage="failed") == 0
    for rack in ("gpu-hgx", "gpu-percent", "gpu-sunspec", "asic-luxos", "asic-wm2", "asic-wm3", "asic-braiins"):
        before = hall.config.racks[[r.id for r in hall.config.racks].index(rack)].max_kw * 1e3
        assert shown.value("rampd_rack_setpoint_watts", rack=rack) < 0.98 * before or rack.startswith("gpu"), rack


def test_members_fail_and_come_back_under_a_running_hall(hall: Hall, bus: Client) -> None:
    """One member a rack is gone, each in another way: its rack goes on with the others."""
    pid = hall.daemon.pid
    hall.until_time(AT_S)
    for rack in ("asic-luxos", "asic-wm2", "asic-wm3", "asic-braiins", "gpu-percent"):
        until(lambda rack=rack: members(hall, "down").get(rack) == 1, 20, f"one member of {rack} is down")
    # One of four BMCs is too much of gpu-percent to go on without; gpu-chassis is told anew once its BMC has booted.
    until(lambda: bus.state["racks"]["available"] == 9, 15, "the racks with one miner gone go on")
    command = bus.command("setpoint", percent=60, ramp_s=5)
    bus.until_stage(command, "started", 5)
    hall.until_time(AT_S + FOR_S)
    until(lambda: sum(members(hall, "up").values()) == 82, 20, "all members are back")
    until(lambda: bus.state["racks"]["available"] == 10, 10, "all racks are the core's again")
    assert (hall.daemon.pid, hall.daemon.code) == (pid, None), hall.daemon.words[-1000:]
    # The BMC that was restarted has its limit again, and with all racks back the purchase is what it was told.
    told_w = 0.6 * hall.config.site.max_mw * 1e6
    until(
        lambda: abs(bus.state["power_w"] - told_w) <= 0.02 * told_w, 60, "the purchase is what it was told",
        seen=lambda: (bus.state, bus.acks(command), racks(hall)),
    )  # fmt: skip


def test_no_limit_was_broken(hall: Hall, bus: Client) -> None:
    lines = [json.loads(line) for line in (hall.folder / "truth.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) > 300
    for name in LIMITS:
        assert max(line[name] for line in lines) <= 1.0, name
