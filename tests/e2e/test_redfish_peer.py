"""The simulated BMC to Redfish software that nobody here wrote: DMTF's client `redfish` and its protocol validator."""

from __future__ import annotations

import asyncio
import csv
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import redfish

from tests.bmc import GPUS, LOGIN, NAMES, shipped, simulated

NODE = "/redfish/v1/Chassis/Chassis_0"
GPU_1 = f"{GPUS}/GPU_1/EnvironmentMetrics"
NOT_MET: Final = {
    "PROTO_HTTP_UNSUPPORTED_METHODS",  # aiohttp refuses a method of a made-up name before we see it
    "SEC_BASIC_AUTH_OVER_HTTPS",  # the simulator speaks plain HTTP
    "SEC_SESSION_CREATE_HTTPS_ONLY",
    "SEC_PRIV_SUPPORT_PREDEFINED_ROLES",  # it has one user and no roles
}
"""What DSP0266 demands and the simulated BMC has not."""


def use(url: str, work: Any) -> Any:
    """Runs something with the PyPI client `redfish`, logged in."""
    client = redfish.redfish_client(base_url=url, username=LOGIN.user, password=LOGIN.secret, max_retry=1, timeout=5)
    client.login(auth="session")
    try:
        return work(client)
    finally:
        client.logout()


@pytest.mark.parametrize(
    ("name", "path", "low", "good", "high"),
    [
        ("redfish-chassis", ("EnvironmentMetrics", "PowerLimitWatts", "SetPoint"), 2999, 4000, 10201),
        ("redfish-control", ("Controls/PowerLimit", "SetPoint"), 2999, 4000, 10201),
        ("redfish-control-percent", ("Controls/PowerLimit", "SetPoint"), 29, 50, 101),
        ("redfish-hgx", (GPU_1, "PowerLimitWatts", "SetPoint"), 1, 400, 701),
    ],
)
async def test_an_independent_client_reads_and_caps_our_bmc(
    name: str, path: tuple[str, ...], low: int, good: int, high: int
) -> None:
    place = path[0] if path[0].startswith("/") else f"{NODE}/{path[0]}"

    def payload(value: Any) -> Any:
        for part in reversed(path[1:]):
            value = {part: value}
        return value

    def work(client: Any) -> None:
        before = client.get(place)
        assert before.status == 200
        for wrong in (low, high, "x", None):
            refused = client.patch(place, body=payload(wrong))
            assert refused.status == 400
            assert refused.dict["error"]["@Message.ExtendedInfo"][0]["MessageId"].startswith("Base.")
        assert client.get(place).getheader("ETag") == before.getheader("ETag")
        done = client.patch(place, body=payload(good), headers={"If-Match": before.getheader("ETag")})
        assert done.status == 204
        assert client.patch(place, body=payload(good), headers={"If-Match": before.getheader("ETag")}).status == 412
        shown = client.get(place).dict
        for part in path[1:]:
            shown = shown[part]
        assert shown == good

    device_map = shipped(name)
    async with simulated(device_map) as bmc:
        await asyncio.to_thread(use, bmc.url, work)
        assert bmc.server.sessions == {}
        ours = bmc.client(device_map)
        await ours.open()
        assert (await ours.read()).limit_w == pytest.approx(bmc.member.limit_w)
        assert bmc.member.limit_w < device_map.capability.max_w
        await ours.close()


async def test_an_independent_client_caps_by_the_older_power_resource() -> None:
    def work(client: Any) -> None:
        place = f"{NODE}/Power"
        assert client.patch(place, body={"PowerControl": [{"PowerLimit": {"LimitInWatts": 4000}}]}).status == 400
        assert client.patch(place, body={"PowerControl": [{"PowerLimit": {"LimitInWatts": 4000}}, {}]}).status == 204
        control = client.get(place).dict["PowerControl"]
        assert control[0]["PowerLimit"]["LimitInWatts"] == 4000
        assert control[1]["Name"] == "Fans"

    device_map = shipped("redfish-power")
    async with simulated(device_map) as bmc:
        await asyncio.to_thread(use, bmc.url, work)
        ours = bmc.client(device_map)
        await ours.open()
        assert (await ours.read()).limit_w == 4000.0
        await ours.close()


@pytest.mark.parametrize("name", NAMES)
async def test_an_independent_client_walks_our_bmc(name: str) -> None:
    """Every link leads to a resource that knows its own name."""

    def links(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["@odata.id"]] if isinstance(value.get("@odata.id"), str) else []
            return own + [path for one in value.values() for path in links(one)]
        return [path for one in value for path in links(one)] if isinstance(value, list) else []

    def walk(client: Any) -> set[str]:
        seen: set[str] = set()
        left = ["/redfish/v1/"]
        while left:
            path = left.pop()
            if path in seen:
                continue
            seen.add(path)
            answer = client.get(path)
            assert answer.status == 200, path
            assert answer.dict["@odata.id"].rstrip("/") == path.rstrip("/")
            left += links(answer.dict)
        return seen

    device_map = shipped(name)
    async with simulated(device_map) as bmc:
        seen = await asyncio.to_thread(use, bmc.url, walk)
    assert any(path.endswith(("EnvironmentMetrics", "PowerLimit", "Power")) for path in seen)


async def test_an_independent_client_is_kept_out_without_the_secret() -> None:
    async with simulated(shipped("redfish-chassis")) as bmc:

        def work() -> None:
            client = redfish.redfish_client(base_url=bmc.url, username="rampd", password="no", max_retry=1, timeout=5)
            with pytest.raises(redfish.rest.v1.InvalidCredentialsError):
                client.login(auth="session")
            assert client.get(f"{NODE}/EnvironmentMetrics").status == 401
            client.logout()

        await asyncio.to_thread(work)
        assert bmc.server.sessions == {}


def findings(folder: Path) -> list[dict[str, str]]:
    (report,) = folder.glob("*.tsv")
    return list(csv.DictReader(report.read_text(encoding="utf-8").splitlines(), delimiter="\t"))


async def test_the_protocol_validator_of_dmtf_finds_nothing_else(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("rf_protocol_validator")
    async with simulated(shipped("redfish-hgx")) as bmc:
        validator = await asyncio.create_subprocess_exec(
            program, "-u", LOGIN.user, "-p", LOGIN.secret, "-r", bmc.url, "--no-cert-check", "--report-type", "tsv",
            "--report-dir", tmp_path,
            cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(120):
            words, _ = await validator.communicate()
    rows = await asyncio.to_thread(findings, tmp_path)
    passed = [row for row in rows if row["Result"] == "PASS"]
    failed = [row for row in rows if row["Result"] == "FAIL" and row["Assertion"] not in NOT_MET]
    assert len(passed) > 100, words.decode()
    assert [(row["Assertion"], row["Method"], row["URI"], row["Message"]) for row in failed] == []
