"""An hour that was recorded runs again to the same bits: the step has no memory and no clock but what it is given."""

from __future__ import annotations

import ctypes
import hashlib
from array import array
from pathlib import Path
from random import Random

from rampd.daemon import sitecheck
from rampd.daemon.closed import START_S, ClosedLoop
from rampd.ext import codes, views
from rampd.ext.image import InputWall, Memory, OutputWall
from rampd.ext.loop import Loop

SITE = Path(__file__).resolve().parents[2] / "examples" / "bench-12" / "site.toml"
TICKS = 72_000
NS = 1_000_000_000


def image(loop: ClosedLoop, rack_state: bytes) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    """Everything that the core was given in this tick; what becomes of the racks is known after it, for the next."""
    return (
        loop.value.tobytes(), loop.at_ns.tobytes(), loop.quality.tobytes(), rack_state, bytes(loop.inputs.command),
    )  # fmt: skip


def result(out: views.Outputs, racks: int) -> bytes:
    scalars = (out.reference_w, out.total_w, out.disturbance_w, out.model_w, out.least_w, out.most_w)
    return bytes(array("d", [*scalars, *(out.setpoint_w[i] for i in range(racks))]))


def test_a_recorded_hour_replays_to_the_same_bits() -> None:
    loop = ClosedLoop(sitecheck.load(SITE), 7)
    random = Random("replay")
    frames: list[tuple[int, tuple[bytes, ...]]] = []
    first, seen = hashlib.sha256(), [b""] * 5
    for tick in range(TICKS):
        if tick % 1800 == 300:
            verb = random.choice([codes.TRACK] * 4 + [codes.HOLD, codes.STAND, codes.ESTOP])
            envelope = random.choice([codes.DISPATCHED, codes.NORMAL])
            loop.command(random.random() * 1.4e6, ramp_s=5.0, verb=verb, envelope=envelope, lease_s=60.0)
        if tick % 9000 == 4000:
            loop.fleet.dead[random.randrange(loop.count)] = True
        rack_state = loop.state.tobytes()
        out = loop.run(loop.dt_s)
        # What has changed since the tick before, as a recording holds it.
        now = image(loop, rack_state)
        frames.append(
            (round((START_S + loop.now_s) * NS), tuple(b"" if a == b else a for a, b in zip(now, seen, strict=True)))
        )
        seen = list(now)
        first.update(result(out, loop.count))
    limits = loop.composed.limits
    wall, outputs, memory = InputWall(limits), OutputWall(limits), Memory(limits)
    again, inputs, second = Loop(limits, wall, outputs, memory, -1), views.inputs(wall), hashlib.sha256()
    places = [inputs.value, inputs.at_ns, inputs.quality, inputs.rack_state, ctypes.pointer(inputs.command)]
    for now_ns, parts in frames:
        for place, part in zip(places, parts, strict=True):
            if part:
                ctypes.memmove(ctypes.cast(place, ctypes.c_void_p), part, len(part))
        wall.publish(now_ns)
        assert again.tick_at(now_ns)
        second.update(result(views.outputs(outputs), loop.count))
    assert first.digest() == second.digest()
    assert views.outputs(outputs).tick == TICKS
