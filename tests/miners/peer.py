"""What a client that others wrote finds and does at a miner; run by the Python of `make test-setup` that has them.

    python peer.py pyasic HOST PASSWORD read|stop|resume
    python peer.py whatsminer HOST PASSWORD read|stop|resume|percent
    python peer.py grpcio HOST PASSWORD read|stop
    python peer.py httpx HOST:PORT PASSWORD read|stop

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


def grpcio(host: str, password: str, what: str) -> dict[str, Any]:
    """Bytes by hand, so that neither rampd's messages nor its HTTP/2 are on this side."""
    import grpc

    def call(path: str, request: bytes, token: str = "") -> bytes:
        method = channel.unary_unary(f"/braiins.bos.v1.{path}")
        return method(request, timeout=5, metadata=[("authorization", token)] if token else None)

    def text(field: int, value: str) -> bytes:
        return bytes([field << 3 | 2, len(value)]) + value.encode()

    with grpc.insecure_channel(f"{host}:50051") as channel:
        try:
            session = call("AuthenticationService/Login", text(1, "root") + text(2, password))
        except grpc.RpcError as error:
            return {"refused": error.code().name}
        token = session[2 : 2 + session[1]].decode()
        path = {"read": "MinerService/GetMinerStats", "stop": "ActionsService/PauseMining"}[what]
        return {"answer": call(path, b"", token).hex()}


def httpx(host: str, password: str, what: str) -> dict[str, Any]:
    import httpx

    auth = httpx.DigestAuth("root", password)
    with httpx.Client(base_url=f"http://{host}/cgi-bin/", auth=auth) as client:
        answer = client.get("get_miner_conf.cgi")
        if what == "read" or answer.status_code != 200:
            return {"status": answer.status_code, "answer": answer.text}
        stopped = client.post("set_miner_conf.cgi", json=answer.json() | {"miner-mode": 1, "pools": []})
        return {"status": stopped.status_code, "answer": stopped.text}


if __name__ == "__main__":
    client, *rest = sys.argv[1:]
    if client == "pyasic":
        print(json.dumps(asyncio.run(pyasic(*rest))))
    else:
        print(json.dumps({"whatsminer": whatsminer, "grpcio": grpcio, "httpx": httpx}[client](*rest)))
