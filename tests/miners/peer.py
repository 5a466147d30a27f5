"""What a client that others wrote finds and does at a miner; run by the Python that has pyasic and whatsminer.

    python peer.py pyasic HOST PASSWORD read|stop|resume
    python peer.py whatsminer HOST PASSWORD read|stop|resume|percent

Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import sys
import warnings
from typing import Any

warnings.simplefilter("ignore")


async def pyasic(host: str, password: str, what: str) -> dict[str, Any]:
    import pyasic
    from pyasic import settings

    for key in ("default_whatsminer_rpc_password", "default_bosminer_password", "default_antminer_web_password"):
        settings.update(key, password)
    miner = await pyasic.get_miner(host)
    if miner is None:
        return {"class": None}
    if hasattr(miner.rpc, "salt"):
        miner.rpc.pwd = password
    if what == "stop":
        return {"done": await miner.stop_mining()}
    if what == "resume":
        return {"done": await miner.resume_mining()}
    data = await miner.get_data(include=["wattage", "wattage_limit", "is_mining"])
    return {
        "class": type(miner).__name__,
        "firmware": str(miner.firmware),
        "watts": data.wattage,
        "limit": data.wattage_limit,
        "mining": data.is_mining,
    }


def whatsminer(host: str, password: str, what: str) -> dict[str, Any]:
    from whatsminer import WhatsminerAccessToken, WhatsminerAPI

    token = WhatsminerAccessToken(ip_address=host, admin_password=password)
    if what == "read":
        return WhatsminerAPI.get_read_only_info(token, "summary")
    command, more = {
        "stop": ("power_off", {"respbefore": "true"}),
        "resume": ("power_on", None),
        "percent": ("set_power_pct", {"percent": "60"}),
    }[what]
    return WhatsminerAPI.exec_command(token, command, more)


if __name__ == "__main__":
    client, *rest = sys.argv[1:]
    print(json.dumps(asyncio.run(pyasic(*rest)) if client == "pyasic" else whatsminer(*rest)))
