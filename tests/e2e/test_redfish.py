"""A GPU node by Redfish, end to end: our client on the simulated BMC, over real sockets."""

from __future__ import annotations

import asyncio
import time

import pytest

from rampd.drivers.members import DeviceError, Login, Reading, Trust
from rampd.drivers.redfish.member import RedfishMember
from rampd.drivers.sim.redfish import MOST_SESSIONS
from tests.bmc import GPUS, LOGIN, NAMES, Bmc, board, scripted, shipped, simulated


def settle(bmc: Bmc) -> None:
    """Lets the node's power follow its limit."""
    now_s = max(time.monotonic(), bmc.member._plant.now_s)
    for k in range(1, 40):
        bmc.member._plant.step(now_s + 0.1 * k)


@pytest.mark.parametrize("name", NAMES)
async def test_a_node_is_opened_read_and_capped(name: str) -> None:
    device_map = shipped(name)
    async with simulated(device_map) as bmc:
        ours = bmc.client(device_map)
        ability = await ours.open()
        about = device_map.capability
        assert (ability.min_w, ability.max_w, ability.step_w) == (about.min_w, about.max_w, about.step_w)
        assert await ours.read() == Reading(about.max_w, about.max_w)
        for steps in (0, 7, (about.max_w - about.min_w) // about.step_w):
            limit_w = about.min_w + steps * about.step_w
            await ours.set_limit(limit_w)
            settle(bmc)
            assert bmc.member.limit_w == pytest.approx(limit_w)
            assert await ours.read() == Reading(pytest.approx(limit_w, abs=1.0), pytest.approx(limit_w))
        await ours.close()
        assert bmc.server.sessions == {}


async def test_odd_watts_are_spread_over_the_gpus() -> None:
    device_map = shipped("redfish-hgx")
    async with simulated(device_map) as bmc:
        ours = bmc.client(device_map)
        await ours.open()
        await ours.set_limit(6003.0)
        assert sorted(bmc.server.tree.limits()) == [375.0] * 5 + [376.0] * 3
        assert (await ours.read()).limit_w == 6003.0
        await ours.close()


async def test_one_session_is_used_for_everything_and_ended() -> None:
    device_map = shipped("redfish-hgx")
    async with simulated(device_map) as bmc:
        ours = bmc.client(device_map)
        for _ in range(3):
            await ours.open()
            await asyncio.gather(ours.read(), ours.read())
            await ours.set_limit(5000.0)
            assert len(bmc.server.sessions) == 1
        assert bmc.server.asked["POST", 201] == 1
        await ours.close()
        assert bmc.server.sessions == {}
        await ours.open()
        assert len(bmc.server.sessions) == 1
        await ours.close()


async def test_a_bmc_that_restarts_is_logged_in_to_again_and_its_lost_limit_shows() -> None:
    device_map = shipped("redfish-hgx")
    async with simulated(device_map) as bmc:
        ours = bmc.client(device_map)
        await ours.open()
        await ours.set_limit(5000.0)
        bmc.server.power_on()
        assert (await ours.read()).limit_w == 8600.0
        await ours.set_limit(5000.0)
        assert (await ours.read()).limit_w == 5000.0
        assert len(bmc.server.sessions) == 1
        await ours.close()


async def test_a_limit_that_is_accepted_and_dropped_shows_when_read() -> None:
    device_map = shipped("redfish-hgx")
    async with simulated(device_map) as bmc:
        ours = bmc.client(device_map)
        await ours.open()
        bmc.member.writes = "dropped"
        await ours.set_limit(5000.0)
        assert (await ours.read()).limit_w == 8600.0
        bmc.member.writes = "done"
        await ours.set_limit(5000.0)
        bmc.member.set_limit(7000.0)
        assert (await ours.read()).limit_w == 7000.0, "what a second writer set"
        bmc.member.absent = True
        assert await ours.read() == Reading(None, None)
        await ours.close()


async def test_a_second_writer_does_not_stop_us_where_etags_are_matched() -> None:
    device_map = shipped("redfish-chassis")
    async with simulated(device_map) as bmc:
        ours, theirs = bmc.client(device_map), bmc.client(device_map)
        await ours.open()
        await ours.read()
        await theirs.open()
        await theirs.set_limit(4000.0)
        await ours.set_limit(5000.0)
        assert bmc.server.asked["PATCH", 412] == 1
        assert (await theirs.read()).limit_w == 5000.0
        await ours.close()
        await theirs.close()


async def test_a_disabled_control_is_refused_and_nothing_is_written() -> None:
    device_map = shipped("redfish-control")
    async with simulated(device_map) as bmc:
        ours = bmc.client(device_map)
        await ours.open()
        await ours.set_limit(5000.0)
        bmc.server.tree.mode = "Disabled"
        assert (await ours.read()).limit_w == 10200.0, "a limit that is not enforced is none"
        with pytest.raises(DeviceError, match="ControlMode is Disabled, its limit does nothing: set it to") as refused:
            await ours.set_limit(4000.0)
        assert refused.value.refused
        assert bmc.member.limit_w == 5000.0
        await ours.close()


async def test_a_limit_that_would_switch_the_node_off_is_refused() -> None:
    device_map = shipped("redfish-power")
    async with simulated(device_map) as bmc:
        bmc.server.tree.exception = "HardPowerOff"
        ours = bmc.client(device_map)
        await ours.open()
        with pytest.raises(DeviceError, match="would switch the node off at its limit: set LimitException to"):
            await ours.set_limit(4000.0)
        assert bmc.member.limit_w == 10200.0
        await ours.close()


@pytest.mark.parametrize("limit_w", [0.0, 2999.0, 10202.0, float("nan"), float("inf"), -1.0])
async def test_what_the_node_cannot_take_is_refused_before_anything_is_sent(limit_w: float) -> None:
    device_map = shipped("redfish-chassis")
    async with simulated(device_map) as bmc:
        ours = bmc.client(device_map)
        await ours.open()
        with pytest.raises(DeviceError, match=r"is not within 3000 to 10200 W"):
            await ours.set_limit(limit_w)
        assert not any(method == "PATCH" for method, _ in bmc.server.asked)
        await ours.close()


async def test_the_bmc_itself_refuses_what_is_out_of_range() -> None:
    device_map = shipped("redfish-hgx")
    async with simulated(device_map) as bmc:
        ours = bmc.client(device_map)
        await ours.open()
        bmc.server.tree._low_w = 300.0
        with pytest.raises(DeviceError, match=r"8 of 8 failed: PATCH .*GPU_1/Env.*: 400: The value 200 .* not within"):
            await ours.set_limit(4600.0)
        assert bmc.member.limit_w == 8600.0
        await ours.close()


async def test_a_wrong_secret_is_tried_once_and_then_left_alone() -> None:
    device_map = shipped("redfish-chassis")
    async with simulated(device_map) as bmc:
        ours = bmc.client(device_map, Login("rampd", "S3cret?"))
        with pytest.raises(DeviceError, match=r"401: The user name or password is wrong.*does not know this user"):
            await ours.open()
        for _ in range(3):
            with pytest.raises(DeviceError, match="the login was refused; tried again in 30 s, lest the account"):
                await ours.open()
        assert bmc.server.asked["POST", 401] == 1
        await ours.close()


async def test_a_wrong_secret_of_basic_authentication_is_tried_once_and_then_left_alone() -> None:
    device_map = shipped("redfish-hgx", auth="basic", in_flight=1)
    async with simulated(device_map) as bmc:
        ours = bmc.client(device_map, Login("rampd", "S3cret?"))
        for words in ("401: There is no valid session", "the login was refused; tried again in", "tried again in"):
            with pytest.raises(DeviceError, match=words):
                await ours.open()
        assert bmc.server.asked == {("GET", 401): 1}
        await ours.close()


def test_a_user_that_basic_authentication_cannot_name() -> None:
    with pytest.raises(DeviceError, match="user a:b: basic authentication has no colon in a user's name"):
        RedfishMember("bmc-1", shipped("redfish-hgx", auth="basic"), Login("a:b", "x"), Trust())


async def test_no_session_left_is_said() -> None:
    device_map = shipped("redfish-chassis")
    async with simulated(device_map) as bmc:
        others = [bmc.client(device_map) for _ in range(MOST_SESSIONS)]
        for other in others:
            await other.open()
        ours = bmc.client(device_map)
        with pytest.raises(DeviceError, match=r"503: The session establishment failed.*end stale sessions on it"):
            await ours.open()
        await others.pop().close()
        await ours.open()
        for one in (ours, *others):
            await one.close()
        assert bmc.server.sessions == {}


@pytest.mark.parametrize("login", [LOGIN, None])
async def test_without_sessions(login: Login | None) -> None:
    device_map = shipped("redfish-hgx", auth="basic")
    async with simulated(device_map, login) as bmc:
        ours = bmc.client(device_map, login)
        await ours.open()
        await ours.set_limit(5000.0)
        assert (await ours.read()).limit_w == 5000.0
        await ours.close()
        assert ("POST", 201) not in bmc.server.asked


async def test_a_caller_that_gives_up_leaves_no_session_behind() -> None:
    device_map = shipped("redfish-chassis")
    async with simulated(device_map) as bmc:
        for at in range(12):
            ours = bmc.client(device_map)
            opening = asyncio.create_task(ours.open())
            for _ in range(at):
                await asyncio.sleep(0.0005)
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            await ours.close()
            assert bmc.server.sessions == {}


async def test_a_call_that_is_cut_off_does_not_harm_the_next() -> None:
    device_map = shipped("redfish-hgx")
    async with simulated(device_map) as bmc:
        ours = bmc.client(device_map)
        await ours.open()
        for k in range(30):
            call = asyncio.create_task(ours.set_limit(5000.0 + k) if k % 2 else ours.read())
            await asyncio.sleep(0.0004 * (k % 10))
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        await ours.set_limit(6000.0)
        assert (await ours.read()).limit_w == 6000.0
        assert len(bmc.server.sessions) == 1
        await ours.close()


async def test_the_requests_to_a_bmc_are_bounded() -> None:
    under_way = most = 0

    async def count() -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1

    async with scripted(board([700] * 8)) as bmc:
        bmc.before = count
        ours = bmc.client(shipped("redfish-hgx", in_flight=3))
        await ours.open()
        await ours.read()
        await ours.close()
        assert most == 3


# Power smoothing.


async def test_power_smoothing_is_set_once_and_seen() -> None:
    wanted = {
        "path": f"{GPUS}/{{id}}/Oem/Nvidia/PowerSmoothing",
        "preset": 2,
        "ramp_up_w_per_s": 400.0,
        "ramp_down_w_per_s": 800.0,
        "hysteresis_s": 0.5,
    }
    device_map = shipped("redfish-hgx", smoothing=wanted)
    async with simulated(device_map) as bmc:
        ours = bmc.client(device_map)
        await ours.open()
        for firmware in bmc.server.tree.firmware:
            assert (firmware.enabled, firmware.preset) == (True, 2)
            assert firmware.applied == {
                "RampUpWattsPerSecond": 400.0,
                "RampDownWattsPerSecond": 800.0,
                "RampDownHysteresisSeconds": 0.5,
            }
        done = dict(bmc.server.asked)
        await ours.open()
        assert {key: bmc.server.asked[key] for key in done if key[0] != "GET"} == {
            key: count for key, count in done.items() if key[0] != "GET"
        }, "what stands is not written again"
        await ours.close()


async def test_power_smoothing_that_does_not_take_hold_is_said() -> None:
    path = f"{GPUS}/{{id}}/Oem/Nvidia/PowerSmoothing"
    device_map = shipped("redfish-hgx", points=1, smoothing={"path": path, "preset": 9})
    async with simulated(device_map) as bmc:
        ours = bmc.client(device_map)
        with pytest.raises(DeviceError, match="ActivatePresetProfile: 400: 9 is no profile"):
            await ours.open()
        await ours.close()


async def test_nobody_listens() -> None:
    device_map = shipped("redfish-chassis")
    async with scripted({}) as bmc:
        pass
    ours = bmc.client(device_map)
    with pytest.raises(DeviceError, match=r"no connection: .*: check address and port") as failed:
        await ours.open()
    assert not failed.value.refused
    await ours.close()


async def test_a_silent_bmc_is_given_up_in_time_and_closed_within_a_second() -> None:
    device_map = shipped("redfish-hgx", points=2).model_copy(update={"timeout_s": 0.2})
    async with scripted(board([700] * 2)) as bmc:
        ours = bmc.client(device_map)
        await ours.open()
        awake = asyncio.Event()

        async def sleep() -> None:
            await awake.wait()

        bmc.before = sleep
        for call in (ours.read, lambda: ours.set_limit(4000.0), ours.open):
            with pytest.raises(DeviceError, match=r"no answer within 0.2 s") as failed:
                await call()
            assert not failed.value.refused
            if call == ours.open:
                break
        began_s = time.monotonic()
        await ours.close()
        assert time.monotonic() - began_s < 1.5
        awake.set()
        bmc.before = None
        await ours.open()
        assert bmc.times("POST", "/redfish/v1/SessionService/Sessions") == 1, "the session was kept"
        await ours.close()
