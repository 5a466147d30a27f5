"""`rampd qualify --site`: the harmless part on a real hall: a small step down and back, scored from what it publishes.

The step goes the way of every command, within the site's limits and envelope; whatever happens, it is released.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import aiomqtt

from rampd.daemon import judge
from rampd.daemon.client import ACK, ANSWER_S, STATE, Needs, Unavailable, envelope, said
from rampd.daemon.config import Config
from rampd.daemon.mqtt import connect

RAMP_S: Final = 5.0
BEFORE_S: Final = 20.0
HOLD_S: Final = 30.0
QUIET: Final = 0.0025  # of the site's most: what a meter's own noise may be
LEASE_S: Final = 120.0
NEEDS: Final[dict[str, Needs]] = {"state": STATE, "status": {}, "tele/site": {"values": dict}}
"""What is listened to, and what must stand there; acknowledgements besides."""
SIGMAS: Final = 4.0  # telemetry has one sample a second, no mean


class Refused(Exception):
    """The hall is not in a state to be tested, or nobody confirmed; or it refused or ended the step."""


@dataclass
class Watch:
    """What the site says while it is tested; samples are (s, W)."""

    state: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    samples: list[tuple[float, float]] = field(default_factory=list)
    references: list[tuple[float, float]] = field(default_factory=list)
    acks: list[dict[str, Any]] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)  # the ids of set points, whatever became of them
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    wrong: Unavailable | None = None  # what ended the listening

    def take(self, topic: str, payload: dict[str, Any]) -> None:
        """One message of the site."""
        if topic == "state":
            self.state = payload
        elif topic == "status":
            self.status = payload
        elif topic == "tele/site":
            now_s = time.monotonic()
            for name, into in (("power_w", self.samples), ("reference_w", self.references)):
                said_of_it = payload["values"].get(name)
                value = said_of_it.get("v") if isinstance(said_of_it, dict) else None
                if isinstance(value, int | float):
                    into.append((now_s, float(value)))
        else:
            self.acks.append(payload)
        self.changed.set()


def objection(config: Config, watch: Watch, step_w: float) -> str:
    """Why this hall is left alone now; "" when it may be stepped."""
    state = watch.state
    if watch.status.get("state") != "online":
        return f"rampd is {watch.status.get('state', 'not there')}"
    if state["power_w"] is None or state["reference_w"] is None or not state["compliant"]:
        return "the purchase does not stand on its reference"
    if abs(state["response_w"] or 0.0) > 0.002 * config.site.max_mw * 1e6:
        return "the grid is off nominal, and primary response moves the purchase"
    if abs(state["regulation_w"] or 0.0) > 0.002 * config.site.max_mw * 1e6:
        return "a regulation signal moves the purchase"
    if state["command_id"] is not None or state["mode"] != "default":
        return f"somebody commands the site (mode {state['mode']}): release that first"
    if state["failsafe"]:
        held = ", ".join(f"{one['scope']}: {one['reason']}" for one in state["failsafe"])
        return f"failsafe conditions hold: {held}"
    if state["envelope"] == "emergency":
        return "the site is in an emergency"
    if abs(state["reference_w"] - config.site.default_mw * 1e6) > 0.02 * config.site.max_mw * 1e6:
        return "the site does not stand at its default, where a release would take it"
    if state["reference_w"] - step_w < max(state["min_w"], config.site.min_mw * 1e6):
        return f"there is no room for {step_w / 1e6:.3f} MW down"
    return ""


@asynccontextmanager
async def session(config: Config, name: str) -> AsyncIterator[tuple[aiomqtt.Client, Watch]]:
    """A connection whose messages go into a watch. Raises Unavailable."""
    root = f"{config.mqtt.prefix}/{config.site.id}"
    watch = Watch()
    try:
        async with connect(config.mqtt, name=f"rampd-qualify-{name[:8]}") as (bus, _):
            topics = ("status", "state", "tele/site", f"ack/{name}-down", f"ack/{name}-up")
            await bus.subscribe([(f"{root}/{topic}", 1) for topic in topics])

            async def listen() -> None:
                try:
                    async for message in bus.messages:
                        topic = str(message.topic).removeprefix(f"{root}/")
                        watch.take(topic, said(message, NEEDS.get(topic, ACK)))
                except Unavailable as error:
                    watch.wrong = error
                except aiomqtt.MqttError as error:
                    watch.wrong = Unavailable(f"broker {config.mqtt.host}:{config.mqtt.port}: {error}")
                watch.changed.set()

            listening = asyncio.create_task(listen())
            try:
                yield bus, watch
            finally:
                listening.cancel()
    except (aiomqtt.MqttError, OSError) as error:
        raise Unavailable(f"broker {config.mqtt.host}:{config.mqtt.port}: {error}") from error


async def until(done: Callable[[], object], within_s: float, watch: Watch, what: str) -> None:
    """Waits for something that the site says. Raises Unavailable."""
    try:
        async with asyncio.timeout(within_s):
            while not done():
                if watch.wrong is not None:
                    raise watch.wrong
                watch.changed.clear()
                await watch.changed.wait()
    except TimeoutError:
        raise Unavailable(f"not within {within_s:g} s: {what}") from None


async def pause(seconds: float, watch: Watch) -> None:
    """Lets the site go on. Raises Unavailable where it was not heard to the end: what it said last is not now."""
    await asyncio.sleep(seconds)
    if watch.wrong is not None:
        raise watch.wrong


async def run(config: Config, *, percent: float, confirm: Callable[[str], bool]) -> tuple[dict[str, Any], Watch]:
    """Figures of the step and what was heard. Raises Refused, Unavailable."""
    step_w = percent / 100 * config.site.max_mw * 1e6
    request = envelope("rampd qualify")
    name = request["id"]
    async with session(config, name) as (bus, watch):
        await until(lambda: watch.state and watch.status and watch.samples, ANSWER_S, watch, "a word of rampd")
        if why := objection(config, watch, step_w):
            raise Refused(f"{config.site.id}: {why}; nothing was sent")
        stood_w = float(watch.state["reference_w"])
        plan = (
            f"{config.site.id} draws {watch.state['power_w'] / 1e6:.3f} MW. This lowers its purchase by "
            f"{step_w / 1e6:.3f} MW in {RAMP_S:g} s, holds {HOLD_S:g} s, brings it back as fast and releases it."
        )
        if not await asyncio.to_thread(confirm, plan):
            raise Refused("not confirmed; nothing was sent")
        # Noise from before the step, with nobody's hand on it.
        await pause(BEFORE_S, watch)
        if why := objection(config, watch, step_w):
            raise Refused(f"{config.site.id}: {why}; nothing was sent")
        before = [w for _, w in watch.samples[-round(BEFORE_S) :]]
        noise_w = statistics.stdev(before) if len(before) > 1 else 0.0
        band = max(judge.BAND, QUIET * config.site.max_mw * 1e6 / step_w, SIGMAS * noise_w / step_w)
        try:
            down = await _step(bus, watch, config, f"{name}-down", stood_w, stood_w - step_w, band)
            up = await _step(bus, watch, config, f"{name}-up", stood_w - step_w, stood_w, band)
        finally:
            await _release(bus, watch, config)
        # The release holds by its own id until the site has come to its default.
        await until(lambda: not str(watch.state["command_id"]).startswith(name), 30.0, watch, "the release")
    found = {
        "id": config.site.id, "step_w": step_w, "band_ratio": round(band, 4), "noise_w": round(noise_w, 1),
        "down": down, "up": up, "failsafe": watch.state["failsafe"],
    }  # fmt: skip
    return {"site": found}, watch


async def _send(bus: aiomqtt.Client, config: Config, verb: str, name: str, fields: dict[str, Any]) -> None:
    payload = envelope("rampd qualify") | {"id": name} | fields
    await bus.publish(f"{config.mqtt.prefix}/{config.site.id}/cmd/{verb}", json.dumps(payload), qos=1)


async def _release(bus: aiomqtt.Client, watch: Watch, config: Config) -> None:
    """Ends what was sent and is not known to be over, by its id: whoever has taken the site meanwhile keeps it.

    Whatever does not arrive, the lease ends it.
    """
    over = {ack["id"] for ack in watch.acks if ack["stage"] in ("rejected", "ended")}
    for name in watch.sent:
        if name not in over:
            await _send(bus, config, "release", f"{name}-end", {"command_id": name})


async def _step(
    bus: aiomqtt.Client, watch: Watch, config: Config, name: str, from_w: float, target_w: float, band: float
) -> dict[str, Any]:
    """One command and its score, at the second that telemetry has. Raises Refused where the site refuses or ends it."""
    begun_s = time.monotonic()
    fields = {"power_w": target_w, "ramp_s": RAMP_S, "lease_s": LEASE_S, "envelope": "dispatched"}
    watch.sent.append(name)
    await _send(bus, config, "setpoint", name, fields)
    await until(lambda: any(ack["id"] == name for ack in watch.acks), ANSWER_S, watch, "an acknowledgement")
    await pause(RAMP_S + HOLD_S, watch)
    acks = [ack for ack in watch.acks if ack["id"] == name]
    if refused := [ack for ack in acks if ack["stage"] == "rejected"]:
        raise Refused(f"{config.site.id} rejects the step: {refused[0]['code']}: {refused[0]['message']}")
    if ended := [ack for ack in acks if ack["stage"] == "ended"]:
        raise Refused(f"{config.site.id} has ended the step: {ended[0]['code']}: {ended[0]['message']}")
    found = asdict(judge.score(watch.samples, begun_s, from_w, target_w, band=band))
    return found | {"stages": [ack["stage"] for ack in acks]}
