"""A whole hall whose GPU racks are capped GPU by GPU over Redfish: simulator, broker and daemon as real processes."""

from __future__ import annotations

import csv
from pathlib import Path

import redfish

from rampd.daemon import sitecheck
from tests.bmc import GPUS, LOGIN
from tests.hall import Hall
from tests.waits import until

NODES = 13
FAULTS = """
[[fault]]
device = "gpu-001/3"
kind = "reboot"
at_s = 22.0
for_s = 2.0

[[fault]]
device = "gpu-002/*"
kind = "silent"
at_s = 22.0
for_s = 2.0
"""


def over_redfish(hall: Hall, name: str) -> int:
    """Rewrites the hall's site so that every GPU rack is of so many nodes by this map; how many BMCs that are."""
    folder = hall.site.parent
    with (folder / "racks.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    members = []
    for row in rows:
        row["login"] = ""
        if row["kind"] == "gpu":
            row |= {"map": name, "address": "", "period_s": "2.0", "fallback_kw": "", "login": "bmc", "min_kw": "60"}
            members += [(row["id"], f"http://127.{hall.net}.{200 + len(members)}.{k + 1}:8443") for k in range(NODES)]
    with (folder / "racks.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    lines = [f"{rack},{address}" for rack, address in members]
    (folder / "members.csv").write_text("\n".join(["rack,address", *lines, ""]), encoding="utf-8")
    (folder / "bmc.secret").write_text(LOGIN.secret, encoding="utf-8")
    text = hall.site.read_text(encoding="utf-8")
    text = text.replace('racks = "racks.csv"', 'racks = "racks.csv"\nmembers = "members.csv"')
    login = f'\n[[login]]\nid = "bmc"\nusername = "{LOGIN.user}"\nsecret_file = "bmc.secret"\n'
    hall.site.write_text(text + login, encoding="utf-8")
    hall.config = sitecheck.load(hall.site)
    return len(members)


def cap_w(hall: Hall, node: int) -> float:
    """The limit of the first GPU of a node of the first rack, as somebody else reads it."""
    client = redfish.redfish_client(
        base_url=f"http://127.{hall.net}.200.{node + 1}:8443", username=LOGIN.user, password=LOGIN.secret, timeout=5,
        max_retry=1,
    )  # fmt: skip
    client.login(auth="basic")
    try:
        return float(client.get(f"{GPUS}/GPU_1/EnvironmentMetrics").dict["PowerLimitWatts"]["SetPoint"])
    finally:
        client.logout()


def test_a_hall_of_bmcs_follows_a_command(tmp_path: Path) -> None:
    with Hall(tmp_path, faults=FAULTS) as hall:
        assert over_redfish(hall, "redfish-hgx") == 5 * NODES
        hall.start()
        with hall.client() as client:
            most_w = sum(rack.max_kw for rack in hall.config.racks) * 1000
            told = client.command("setpoint", power_w=0.4 * most_w, ramp_s=5, lease_s=600)
            until(lambda: client.of(f"ack/{told}") and hall.settled(0.4 * most_w), 25, "the hall follows")
            assert hall.limits_broken() == []
            before_w = cap_w(hall, 2)
            assert 200 < before_w < 800
            # One BMC forgets limit and session, a whole rack of them falls silent: both come back by themselves.
            hall.until_time(24.5)
            until(lambda: abs(cap_w(hall, 3) - cap_w(hall, 2)) <= 1, 30, "the restarted BMC is capped like the others")
            until(lambda: hall.settled(0.4 * most_w, for_s=3.0), 30, "the hall is back where it was")
            assert hall.limits_broken() == []
            warnings = [line for line in hall.daemon.words.splitlines() if "WARNING" in line or "ERROR" in line]
            assert not [line for line in warnings if "gpu-003" in line or "gpu-004" in line or "gpu-005" in line]
        assert hall.daemon.stop() == 0
