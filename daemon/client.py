"""The client commands: a command over MQTT and its life, and the hall at a glance."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import uuid
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import aclosing, nullcontext
from datetime import UTC, datetime, timedelta
from getpass import getuser
from pathlib import Path
from types import UnionType
from typing import Any, Final, TypeVar

import aiomqtt
from rich.console import Console
from rich.live import Live
from rich.table import Table

from rampd.daemon import finite, sitecheck
from rampd.daemon.config import Config
from rampd.daemon.metrics import RACK_STATES
from rampd.daemon.mqtt import connect
from rampd.daemon.why import beside
from rampd.ext.reasons import TABLE

FAILED: Final = 1
ANSWER_S: Final = 5.0
Kind = type | UnionType | list[Any] | Mapping[str, Any]
Needs = Mapping[str, Kind]
"""What stands where: a type, an object that needs something itself, or a list of what its one item says."""
NUMBER: Final = float | int | None
ACK: Final[Needs] = dict.fromkeys(("id", "at", "stage", "code", "message"), str) | {"power_w": NUMBER}
STATE: Final[Needs] = (
    dict.fromkeys(("at", "mode", "envelope", "binding", "source", "control", "channel"), str)
    | dict.fromkeys(("power_w", "reference_w", "regulation_w", "response_w", "requested_w", "frequency_hz"), NUMBER)
    | dict.fromkeys(("min_w", "max_w", "firm_down_5s_w", "firm_up_5s_w"), float | int)
    | {"command_id": str | None, "compliant": bool, "racks": dict.fromkeys(RACK_STATES, int)}
    | {"failsafe": [{"scope": str, "reason": str, "action": str}]}
)
Result = TypeVar("Result")


class Unavailable(Exception):
    """Broker or daemon cannot be reached; the message says what to look at."""


class Usage(Exception):
    """Words on the command line that make no command."""


def said(message: aiomqtt.Message, needs: Needs) -> dict[str, Any]:
    """What rampd says there: a JSON object that has what it `needs`. Raises Unavailable on anything else."""
    payload = message.payload if isinstance(message.payload, bytes | bytearray | str) else b""
    try:
        found = finite.loads(payload)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict) and _fits(found, needs):
        return found
    raise Unavailable(
        f"{message.topic}: no answer of this rampd: {payload[:60]!r}; is it another version, or does somebody else "
        "publish there?"
    )


def _fits(found: Any, kind: Kind) -> bool:
    if isinstance(kind, Mapping):
        return isinstance(found, dict) and all(name in found and _fits(found[name], kind[name]) for name in kind)
    if isinstance(kind, list):
        return isinstance(found, list) and all(_fits(one, kind[0]) for one in found)
    return isinstance(found, kind)


def _quantity(text: str, examples: str) -> tuple[str, float, bool]:
    """A sign or none, and a power in W or, where it is one, a percentage. Raises Usage."""
    found = re.fullmatch(r"([+-]?)([0-9]+(?:\.[0-9]+)?)\s*(%|MW|kW|W)", text.strip())
    if found is None:
        raise Usage(f"{text!r} is no power; write {examples}, with its unit")
    return found[1], float(found[2]) * {"MW": 1e6, "kW": 1e3, "W": 1.0, "%": 1.0}[found[3]], found[3] == "%"


def power(text: str) -> dict[str, float]:
    """The power of a command: 8MW, 800kW, 500W, 40%, +2MW, -2MW. Raises Usage."""
    sign, number, percent = _quantity(text, "8MW, 800kW, 40%, +2MW or -2MW")
    if percent:
        if sign:
            raise Usage("a percentage is of the site's maximum and has no sign")
        return {"percent": number}
    return {"by_w": -number if sign == "-" else number} if sign else {"power_w": number}


def beside_set_point(text: str) -> dict[str, float]:
    """How far a signal leads beside the set point: +2MW, -500kW, 0W, -50% of what the site offers. Raises Usage."""
    sign, number, percent = _quantity(text, "+2MW, -500kW, 0W or -50%")
    signed = -number if sign == "-" else number
    return {"part": signed / 100} if percent else {"power_w": signed}


def envelope(reason: str, valid_s: float = 30.0, *, operator: bool = False) -> dict[str, Any]:
    """What every command carries; with the operator's authority where that is said."""
    now = datetime.now(UTC)
    return {
        "id": str(uuid.uuid4()),
        "issued_at": now.isoformat(timespec="milliseconds"),
        "expires_at": (now + timedelta(seconds=valid_s)).isoformat(timespec="milliseconds"),
        "who": f"{'operator:' if operator else ''}{_user()}@{os.uname().nodename}",
        "reason": reason,
    }


def _user() -> str:
    try:
        return getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def set_power(args: argparse.Namespace, site: Path) -> int:
    """`rampd set`."""
    return _run(_command("setpoint", set_point(args), sitecheck.load(site), as_json=args.json))


def set_point(args: argparse.Namespace) -> dict[str, Any]:
    """The command of `rampd set`. Raises Usage."""
    command = envelope(args.reason, operator=args.operator) | power(args.power)
    if args.ramp is not None:
        command["ramp_s"] = args.ramp
    if args.lease is not None:
        command["lease_s"] = args.lease
    if args.shape != "linear":
        command["shape"] = args.shape
    if args.best_effort:
        command["best_effort"] = True
    return command


def regulate(args: argparse.Namespace, site: Path) -> int:
    """`rampd regulate`."""
    return _run(_command("regulation", signal(args), sitecheck.load(site), as_json=args.json))


def signal(args: argparse.Namespace) -> dict[str, Any]:
    """The signal of `rampd regulate`. Raises Usage."""
    command = envelope(args.reason) | beside_set_point(args.power)
    if args.lease is not None:
        command["lease_s"] = args.lease
    return command


def verb(name: str, args: argparse.Namespace, site: Path) -> int:
    """`rampd release`, `hold`, `estop`, `reset`."""
    # Who stands at the console resets as its operator.
    command = envelope(args.reason, operator=args.operator or name == "reset")
    if getattr(args, "lease", None) is not None:
        command["lease_s"] = args.lease
    if getattr(args, "command_id", None) is not None:
        command["command_id"] = args.command_id
    return _run(_command(name, command, sitecheck.load(site), as_json=args.json))


def status(args: argparse.Namespace, site: Path) -> int:
    """`rampd status`."""
    return _run(_status(sitecheck.load(site), watch=args.watch, as_json=args.json))


def _run(work: Awaitable[Result]) -> Result:
    async def run() -> Result:
        return await work

    return asyncio.run(run())


async def _command(name: str, command: dict[str, Any], config: Config, *, as_json: bool) -> int:
    """Publishes and prints the life of the command; 0 when it was reached or, for the other verbs, accepted."""
    ends = {"rejected": FAILED, "reached": 0, "partial": FAILED, "failed": FAILED, "ended": FAILED}
    if name in ("release", "reset", "regulation"):
        ends["accepted"] = 0
    acks: list[dict[str, Any]] = []
    try:
        async with aclosing(_life(name, command, config)) as life:
            async for ack in life:
                acks.append(ack)
                if not as_json:
                    _print_ack(ack)
                if ack["stage"] in ends:
                    break
    finally:
        # Also of a life whose end was not heard.
        if as_json and acks:
            print(json.dumps(acks[-1] | {"stages": acks}), flush=True)
    return ends[acks[-1]["stage"]]


async def _life(name: str, command: dict[str, Any], config: Config) -> AsyncGenerator[dict[str, Any], None]:
    """Publishes a command; every stage of it. Raises Unavailable."""
    root = f"{config.mqtt.prefix}/{config.site.id}"
    try:
        async with connect(config.mqtt, name=f"rampd-cli-{command['id']}") as (bus, _):
            await bus.subscribe(f"{root}/ack/{command['id']}", qos=1)
            await bus.publish(f"{root}/cmd/{name}", json.dumps(command), qos=1)
            messages = bus.messages
            heard = False
            while True:
                try:
                    async with asyncio.timeout(None if heard else ANSWER_S):
                        message = await anext(messages)
                except TimeoutError:
                    raise Unavailable(
                        f"rampd does not answer on {root}: is it running, and on {config.mqtt.host}:{config.mqtt.port}?"
                    ) from None
                heard = True
                yield said(message, ACK)
    except (aiomqtt.MqttError, OSError) as error:
        raise Unavailable(f"broker {config.mqtt.host}:{config.mqtt.port}: {error}") from error


def _print_ack(ack: dict[str, Any]) -> None:
    at_power = "" if ack["power_w"] is None else f"{ack['power_w'] / 1e6:9.3f} MW"
    code = "" if ack["code"] == "ok" else f"{ack['code']}: "
    print(f"{ack['at'][11:23]}  {ack['stage']:<9}{at_power}  {code}{ack['message']}".rstrip(), flush=True)


async def _status(config: Config, *, watch: bool, as_json: bool) -> int:
    console = Console()
    async with aclosing(_seen(config)) as states:
        with Live(console=console, auto_refresh=False) if watch and not as_json else nullcontext() as live:
            async for seen in states:
                if as_json:
                    print(json.dumps({"status": seen["status"], "state": seen["state"]}), flush=True)
                elif isinstance(live, Live):
                    live.update(table(config, seen), refresh=True)
                else:
                    console.print(table(config, seen))
                if not watch:
                    break
    return 0 if seen["status"].get("state") == "online" else FAILED


async def _seen(config: Config) -> AsyncGenerator[dict[str, dict[str, Any]], None]:
    """Status and state of the site, at every message once both are known. Raises Unavailable."""
    root = f"{config.mqtt.prefix}/{config.site.id}"
    seen: dict[str, dict[str, Any]] = {}
    try:
        async with connect(config.mqtt, name=f"rampd-status-{uuid.uuid4().hex[:8]}") as (bus, _):
            await bus.subscribe([(f"{root}/status", 1), (f"{root}/state", 1)])
            messages = bus.messages
            while True:
                try:
                    async with asyncio.timeout(ANSWER_S):
                        message = await anext(messages)
                except TimeoutError:
                    raise Unavailable(f"nothing on {root}/state: is rampd running?") from None
                topic = str(message.topic).rsplit("/", 1)[-1]
                seen[topic] = said(message, STATE if topic == "state" else {})
                if "state" in seen and "status" in seen:
                    yield seen
    except (aiomqtt.MqttError, OSError) as error:
        raise Unavailable(f"broker {config.mqtt.host}:{config.mqtt.port}: {error}") from error


def table(config: Config, seen: dict[str, dict[str, Any]]) -> Table:
    """The hall at a glance."""
    state = seen["state"]

    def mw(key: str) -> str:
        value = state.get(key)
        return "-" if value is None else f"{value / 1e6:.3f} MW"

    out = Table(box=None, show_header=False, pad_edge=False)
    out.add_column(style="dim")
    out.add_column()
    out.add_row("site", f"{config.site.id}  {seen['status'].get('state', '?')}  {state['at']}")
    reference = mw("reference_w") + beside(state["regulation_w"] or 0.0, state["response_w"] or 0.0)
    out.add_row("power", f"{mw('power_w')}  reference {reference}  requested {mw('requested_w')}")
    out.add_row("mode", f"{state['mode']}, {state['envelope']} envelope, held by {state['binding']}")
    out.add_row("followed", f"{state['source']}, control {state['control']}, channel {state['channel']}")
    out.add_row("range", f"{mw('min_w')} to {mw('max_w')}")
    out.add_row("in 5 s", f"{mw('firm_down_5s_w')} down, {mw('firm_up_5s_w')} up")
    hertz = state.get("frequency_hz")
    out.add_row("frequency", "-" if hertz is None else f"{hertz:.3f} Hz")
    out.add_row("racks", ", ".join(f"{n} {name}" for name, n in state["racks"].items() if n))
    out.add_row("failsafe", "\n".join(failsafe_words(one) for one in state["failsafe"]) or "none")
    if state.get("command_id"):
        out.add_row("command", state["command_id"])
    return out


def failsafe_words(one: dict[str, Any]) -> str:
    """A reason of the ladder in words; one that this version does not know by its name."""
    line = next((line for line in TABLE if line.name == one["reason"]), None)
    count = f", {one['racks']} racks" if one.get("racks") else ""
    reset = "; needs rampd reset" if one.get("needs_reset") else ""
    words = f": {line.when}" if line is not None else ""
    return f"{one['scope']}: {one['reason']} ({one['action']}{count}){words}{reset}"
