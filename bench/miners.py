"""What one reading of one miner costs the daemon in CPU time, by protocol: connection, answer, validation.

The simulated miner runs in a process of its own. Besides, reads at once: how many a second one core takes. The last
line on stdout is one JSON object; milliseconds are medians of five rounds.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
import tomllib
from importlib.resources import files
from typing import Any, Final

import uvloop

from rampd.drivers.members import Login
from rampd.drivers.miners.antminer import AntminerMember
from rampd.drivers.miners.braiins import BraiinsMember
from rampd.drivers.miners.luxos import LuxosMember
from rampd.drivers.miners.maps import MINER_MAPS
from rampd.drivers.miners.whatsminer_v2 import WhatsminerV2Member
from rampd.drivers.miners.whatsminer_v3 import WhatsminerV3Member
from rampd.drivers.sim.gate import Gate
from rampd.drivers.sim.members import Member
from rampd.drivers.sim.miners.antminer import AntminerServer
from rampd.drivers.sim.miners.braiins import BraiinsServer
from rampd.drivers.sim.miners.luxos import LuxosServer
from rampd.drivers.sim.miners.whatsminer_v2 import WhatsminerV2Server
from rampd.drivers.sim.miners.whatsminer_v3 import WhatsminerV3Server
from rampd.drivers.sim.plant import Plant
from rampd.drivers.sim.spec import LoopSpec, NodeSpec, PlantSpec, RackSpec

KINDS: Final[dict[str, tuple[Any, Any]]] = {
    "luxos": (LuxosServer, LuxosMember),
    "whatsminer-v2": (WhatsminerV2Server, WhatsminerV2Member),
    "whatsminer-v3": (WhatsminerV3Server, WhatsminerV3Member),
    "braiins": (BraiinsServer, BraiinsMember),
    "antminer-stock": (AntminerServer, AntminerMember),
}
LOGIN: Final = Login("root", "bench")
ROUNDS: Final = 5
READS: Final = 400
AT_ONCE: Final = 16


def map_of(name: str) -> Any:
    raw = tomllib.loads((files("rampd.drivers") / "maps" / f"{name}.toml").read_text(encoding="utf-8"))
    return MINER_MAPS[name].model_validate(raw)


async def serve(name: str) -> None:
    """A miner until its standard input ends; prints its port."""
    rack = RackSpec("r", "asic", "n", "l", 340.0, 3400.0, 400.0, 8000.0, 1.0, 0.5, 3400.0, jitter=0.0)
    plant = Plant(PlantSpec((rack,), (NodeSpec("n", "", 1e6),), (LoopSpec("l", 25.0, 1e5),), 1e6), 1)
    device_map = map_of(name)
    member = Member(plant, 0, 0, 1, device_map.capability)
    gate = Gate(KINDS[name][0](member, device_map, LOGIN), "127.0.0.1", 0)
    await gate.open()
    print(gate.port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await gate.stop()


async def measure(name: str, port: int) -> float:
    """Milliseconds of CPU a reading, the median of the rounds."""
    miners = [KINDS[name][1]("127.0.0.1", port, map_of(name), LOGIN) for _ in range(min(AT_ONCE, 10))]
    for miner in miners:
        await miner.open()
        await miner.read()

    async def some(miner: Any) -> None:
        for _ in range(READS // len(miners)):
            await miner.read()

    rounds = []
    for _ in range(ROUNDS):
        began_s = time.process_time()
        await asyncio.gather(*(some(miner) for miner in miners))
        rounds.append((time.process_time() - began_s) / READS * 1e3)
    for miner in miners:
        await miner.close()
    return statistics.median(rounds)


def main() -> None:
    found = {}
    for name in KINDS:
        with subprocess.Popen(
            [sys.executable, __file__, "serve", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            cost_ms = uvloop.run(measure(name, int(process.stdout.readline())))
            process.stdin.close()
        found[f"{name.replace('-', '_')}_read_ms"] = round(cost_ms, 3)
        print(f"{name:16} {cost_ms:.3f} ms a reading, {1e3 / cost_ms:.0f} a second and core", file=sys.stderr)
    print(json.dumps(found))


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        uvloop.run(serve(sys.argv[2]))
    else:
        main()
