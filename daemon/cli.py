"""The command `rampd`: parses, calls, prints.

Exit codes: 0 done, 1 failed, 2 usage, 69 service unavailable, 78 configuration.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TextIO, cast

import uvloop
from rich.console import Console
from rich.progress import Progress, TaskID

import rampd
from rampd.daemon import client, demo, halls, mapcli, probe, qualifycli, replay, simulate, sitecheck, summary, whycli
from rampd.daemon.onsite import Refused
from rampd.daemon.recording import RecordingError
from rampd.daemon.run import Daemon
from rampd.daemon.site import compose
from rampd.daemon.sitefile import ConfigError
from rampd.daemon.web import WebError
from rampd.drivers.maphead import MapError
from rampd.drivers.members import DeviceError
from rampd.drivers.server import ListenError
from rampd.drivers.sim.spec import SimError

FAILED: Final = 1
USAGE: Final = 2
UNAVAILABLE: Final = 69
CONFIGURATION: Final = 78


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(prog="rampd", description="Ramps a hall's grid purchase within five seconds.")
    top.add_argument("--version", action="version", version=f"rampd {rampd.__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    run = commands.add_parser("run", help="the daemon (what systemd starts)")
    run.add_argument("--config", type=Path, required=True, metavar="SITE", help="the site file")
    run.add_argument("--shadow", action="store_true", help="compute everything, write nothing to racks")
    run.add_argument("--verbose", action="store_true", help="log at debug level")
    run.set_defaults(handler=_run)

    check = commands.add_parser("check", help="every problem of a site file with its remedy, then what the site is")
    check.add_argument("site", type=Path, metavar="SITE")
    check.add_argument("--json", action="store_true", help="the site as one JSON object")
    check.set_defaults(handler=_check)

    sim = commands.add_parser("sim", help="the hall's devices as real servers, with a plant model behind them")
    sim.add_argument("--config", type=Path, required=True, metavar="SITE")
    sim.add_argument("--faults", type=Path, metavar="FILE", help="faults to inject, TOML")
    sim.add_argument("--seed", type=int, default=1, help="same seed, same hall (default 1)")
    sim.add_argument("--truth", type=Path, metavar="FILE", help="what the plant truly did, a JSON object a line")
    sim.set_defaults(handler=_sim)

    show = commands.add_parser(
        "demo", help="a simulated hall, a broker, the daemon and a dispatch: 100 %% -> 40 %% -> 100 %%"
    )
    show.add_argument("--racks", type=_racks, default=12, help="size of the hall (default 12)")
    show.add_argument("--seconds", type=_seconds, default=90.0, help="length of the dispatch (default 90)")
    show.add_argument("--seed", type=int, default=1, help="same seed, same hall (default 1)")
    show.add_argument("--json", action="store_true", help="only the summary, one JSON object")
    show.set_defaults(handler=_demo)

    qualifycli.add_command(commands)
    again = commands.add_parser("replay", help="the same compiled step over a recording: whether the bits agree")
    again.add_argument("recording", type=Path, metavar="RECORDING", help="a file, or a folder of them")
    again.add_argument("--until", metavar="TIME", help="+90 (seconds from its beginning), 16:45:00 or a date; UTC")
    again.add_argument("--json", action="store_true", help="one JSON object on stdout")
    again.set_defaults(handler=_replay)
    _client_commands(commands)
    mapcli.add_commands(commands)
    probe.add_command(commands)
    return top


def _client_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    def add(name: str, text: str, as_json: str = "one JSON object on stdout") -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text)
        sub.add_argument(
            "--config",
            type=Path,
            metavar="SITE",
            help="the site file (default: $RAMPD_CONFIG, the only one in /etc/rampd, the running demo)",
        )
        sub.add_argument("--json", action="store_true", help=as_json)
        return sub

    def record(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--reason", default="", help="for the record")
        sub.add_argument("--operator", action="store_true", help="with the operator's authority: outranks the grid's")

    setter = add("set", "a set point over MQTT, then its life until reached, partial or failed")
    # A change downward is a power, not an option.
    setter._negative_number_matcher = re.compile(r"-[0-9]+(\.[0-9]+)?(MW|kW|W)?$")
    setter.add_argument("power", metavar="POWER", help="8MW, 800kW, 40%%, +2MW or -2MW")
    setter.add_argument("--in", dest="ramp", type=_duration, metavar="TIME", help="ramp in so long: 5s, 2min")
    setter.add_argument("--shape", choices=("linear", "s-curve"), default="linear", help="of the ramp (default linear)")
    setter.add_argument("--lease", type=_duration, metavar="TIME", help="how long it holds: 15m")
    setter.add_argument("--best-effort", action="store_true", help="as far as the hall can go")
    record(setter)
    setter.set_defaults(handler=lambda args: client.set_power(args, _site(args)))
    regulate = add("regulate", "a regulation signal over MQTT: so far beside the set point, for some seconds")
    regulate._negative_number_matcher = re.compile(r"-[0-9]+(\.[0-9]+)?(MW|kW|W|%)?$")
    regulate.add_argument("power", metavar="POWER", help="+2MW, -500kW, 0W, or -50%% of grid.regulation_mw")
    regulate.add_argument("--lease", type=_duration, metavar="TIME", help="how long it holds: 8s")
    regulate.add_argument("--reason", default="", help="for the record")
    regulate.set_defaults(handler=lambda args: client.regulate(args, _site(args)))
    for verb, text in (
        ("release", "end the live command: back to the default"),
        ("hold", "stay at the present power"),
        ("estop", "all racks to their least at once; holds until reset"),
        ("reset", "end an emergency stop"),
    ):
        sub = add(verb, text)
        record(sub)
        if verb == "hold":
            sub.add_argument("--lease", type=_duration, metavar="TIME", help="how long it holds: 15m")
        if verb == "release":
            sub.add_argument("--command", dest="command_id", metavar="ID", help="only this one, holding or waiting")
        sub.set_defaults(handler=lambda args, verb=verb: client.verb(verb, args, _site(args)))
    reason = add("why", "the binding constraint, from the site down to a rack")
    whycli.add_arguments(reason)
    reason.set_defaults(handler=lambda args: whycli.why(args, None if args.recording else _site(args)))
    status = add("status", "the hall at a glance", "one JSON object on stdout, with --watch one a line")
    status.add_argument("--watch", action="store_true", help="until interrupted")
    status.set_defaults(handler=lambda args: client.status(args, _site(args)))


class Output:
    """Standard output that knows its own errors from those of files, sockets and devices."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """As the stream does it."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        """As the stream does it."""
        try:
            self._stream.flush()
        except OSError as error:
            self.error = error
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    # None with a descriptor that was closed before the start: prints go nowhere then.
    output = None if sys.stdout is None else Output(sys.stdout)
    try:
        with contextlib.redirect_stdout(cast("TextIO", output)):
            try:
                return _command(argv)
            finally:
                # What waits in the buffer fails here, where it can be told, and not at exit.
                print(end="", flush=True)
    except OSError as error:
        if output is None or error is not output.error:
            raise
        # Nothing more can be said there, also at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        # A reader who goes away has read enough.
        return FAILED if isinstance(error, BrokenPipeError) else _fail(f"standard output: {error.strerror}", FAILED)


def _command(argv: list[str] | None) -> int:
    args = parser().parse_args(argv)
    handler: Callable[[argparse.Namespace], int] = args.handler
    try:
        return handler(args)
    except ConfigError as error:
        return _fail(f"{error}\n{len(error.problems)} problem{'s' * (len(error.problems) != 1)}", CONFIGURATION)
    except MapError as error:
        return _fail(str(error), CONFIGURATION)
    except (RecordingError, Refused) as error:
        return _fail(str(error), FAILED)
    except (client.Unavailable, WebError, ListenError, SimError, DeviceError) as error:
        return _fail(str(error), UNAVAILABLE)
    except client.Usage as error:
        return _fail(str(error), USAGE)
    except KeyboardInterrupt:
        return 130


def _fail(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code


def _duration(text: str) -> float:
    """Seconds from 5, 5s, 2min, 1.5h."""
    units = {"ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "": 1.0}
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([a-z]*)", text)
    if found is None or found[2] not in units:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 5s, 15m or 1.5h")
    seconds = float(found[1]) * units[found[2]]
    if not 0 < seconds < 1e7:
        raise argparse.ArgumentTypeError(f"{text!r} is out of reason")
    return seconds


def _shown(bar: Progress, task: TaskID) -> Callable[[float], None]:
    return lambda share: bar.update(task, completed=share)


def _replay(args: argparse.Namespace) -> int:
    found = []
    for path in replay.files(args.recording):
        try:
            with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
                task = bar.add_task(path.name, total=1.0)
                found.append(replay.replay(path, args.until, _shown(bar, task)))
        except ValueError as error:
            return _fail(f"--until {args.until}: {error}; write +90, 16:45:00 or 2026-01-31T16:45:00", USAGE)
        if not args.json:
            print("\n".join(replay.lines(found[-1])), flush=True)
    if args.json:
        print(replay.as_json(found))
    return 0 if all(one["agrees"] for one in found) else FAILED


def _racks(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text) or not halls.SMALLEST <= int(text) <= halls.LARGEST:
        raise argparse.ArgumentTypeError(f"a hall has {halls.SMALLEST} to {halls.LARGEST} racks, not {text}")
    return int(text)


def _seconds(text: str) -> float:
    seconds = _duration(text)
    if seconds < demo.SHORTEST_S:
        raise argparse.ArgumentTypeError(f"a dispatch takes {demo.SHORTEST_S:g} s at least")
    return seconds


def _site(args: argparse.Namespace) -> Path:
    """The site file of a client command."""
    if args.config is not None:
        return Path(args.config)
    if named := os.environ.get("RAMPD_CONFIG"):
        return Path(named)
    installed = sorted(Path("/etc/rampd").glob("*/site.toml"))
    if len(installed) == 1:
        return installed[0]
    running = demo.running()
    if running is None:
        raise client.Usage("which site? give --config SITE or set RAMPD_CONFIG; no demo is running here")
    return running


def _log(*, verbose: bool = False) -> None:
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO, stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )  # fmt: skip
    logging.getLogger("pymodbus").setLevel(logging.WARNING)


def _run(args: argparse.Namespace) -> int:
    _log(verbose=args.verbose)
    config = sitecheck.load(args.config)
    state = os.environ.get("STATE_DIRECTORY")
    daemon = Daemon(config, shadow=args.shadow, state_dir=Path(state) if state else None)
    uvloop.run(daemon.run())
    return 0


def _check(args: argparse.Namespace) -> int:
    composed = compose(sitecheck.load(args.site))
    if args.json:
        print(json.dumps(summary.summary(composed)))
    else:
        print("\n".join(summary.lines(composed)))
    return 0


def _sim(args: argparse.Namespace) -> int:
    config = sitecheck.load(args.config)
    uvloop.run(
        simulate.run(
            config, seed=args.seed, faults=args.faults, truth=args.truth,
            ready=lambda text: print(f"rampd sim: {text}", file=sys.stderr, flush=True),
        )
    )  # fmt: skip
    return 0


def _demo(args: argparse.Namespace) -> int:
    return asyncio.run(demo.run(racks=args.racks, seconds=args.seconds, seed=args.seed, as_json=args.json))


if __name__ == "__main__":
    sys.exit(main())
