"""`rampd why`: asks the running site, or runs a recording up to a moment and asks that."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import uuid
from pathlib import Path
from typing import Any, Final

import aiomqtt

from rampd.daemon import sitecheck
from rampd.daemon.client import ANSWER_S, Unavailable, Usage, said
from rampd.daemon.config import Config
from rampd.daemon.mqtt import connect
from rampd.daemon.recording import Recording, RecordingError
from rampd.daemon.replay import Replay, files
from rampd.daemon.why import Asked, Moment, Names, lines
from rampd.ext import views

STATE: Final = Path("/var/lib/rampd")


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """What `rampd why` takes besides the site."""
    sub.add_argument("rack", nargs="?", metavar="RACK", help="one rack; without it the site and all racks by reason")
    sub.add_argument("--at", metavar="TIME", help="a moment of a recording: +90, 16:45:00 or a date; UTC")
    sub.add_argument(
        "--recording", type=Path, metavar="PATH", help="file or folder (default: /var/lib/rampd/SITE/recordings)"
    )


def why(args: argparse.Namespace, site: Path | None) -> int:
    """Prints the answer. `site` may be None where a recording is named. Raises Unavailable, Usage, RecordingError."""
    if args.at is None:
        if args.recording is not None:
            raise Usage("--recording needs --at TIME")
        if site is None:
            raise Usage("which site? give --config SITE")
        found = asyncio.run(_ask(sitecheck.load(site), args.rack))
    else:
        folder = args.recording
        if folder is None and site is not None:
            # As the service is called: by the folder in /etc/rampd, also where that is a link, which resolve() follows.
            folder = STATE / Path(os.path.abspath(site)).parent.name / "recordings"  # noqa: PTH100
        if folder is None:
            raise Usage("which recording? give --recording PATH")
        found = at_moment(folder, args.at, args.rack)
    if "error" in found:
        raise Usage(str(found["error"]))
    print(json.dumps(found) if args.json else "\n".join(lines(found)))
    return 0


async def _ask(config: Config, rack: str | None) -> dict[str, Any]:
    root, name = f"{config.mqtt.prefix}/{config.site.id}", uuid.uuid4().hex
    try:
        async with connect(config.mqtt, name=f"rampd-why-{name[:8]}") as (bus, _):
            await bus.subscribe(f"{root}/answer/{name}", qos=1)
            await bus.publish(f"{root}/ask/why", json.dumps({"id": name, "rack": rack}), qos=1)
            try:
                async with asyncio.timeout(ANSWER_S):
                    return said(await anext(bus.messages), {})
            except TimeoutError:
                raise Unavailable(
                    f"rampd does not answer on {root}: is it running, and on {config.mqtt.host}:{config.mqtt.port}?"
                ) from None
    except (aiomqtt.MqttError, OSError) as error:
        raise Unavailable(f"broker {config.mqtt.host}:{config.mqtt.port}: {error}") from error


def at_moment(path: Path, when: str, rack: str | None) -> dict[str, Any]:
    """The answer at a moment of the file, or of the newest in the folder that had begun by then.

    In a folder, a file that is none is passed over: a disk that was full, or a crash, may have left an empty one.
    """
    for file in reversed(files(path)):
        try:
            opened = Recording(file)
        except RecordingError as error:
            if file == path:
                raise
            print(f"{error}; passed over", file=sys.stderr)
            continue
        with opened as recording:
            head = recording.head
            try:
                until_ns = head.moment(when)
            except ValueError as error:
                raise Usage(f"--at {when}: {error}; write +90, 16:45:00 or 2026-01-31T16:45:00") from error
            if until_ns < head.began_ns:
                continue
            run = Replay(recording)
            for _ in run.run(until_ns):
                pass
            if run.difference is not None:
                raise RecordingError(f"{file}: not the same core as recorded: {run.difference}")
            if not run.ticks:
                continue
            names, note = Names(head.racks, head.loops, head.nodes), run.notes.get(str(run.out.seq))
            asked = None if note is None else Asked(str(note["id"]), str(note["who"]), str(note["source"]))
            return Moment(names, views.limits(recording.limits), run.inputs, run.out, head.at, asked).explain(rack)
    raise Usage(f"--at {when}: no recording in {path} had begun by then")
