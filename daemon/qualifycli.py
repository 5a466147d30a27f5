"""The command `rampd qualify`: yardsticks in simulated time, or a small step of a real hall; figures and a report."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rampd.daemon import onsite, sitecheck
from rampd.daemon.client import Unavailable, Usage

if TYPE_CHECKING:
    from rampd.daemon.report import Report

STEP_PERCENT = 5.0
LARGEST_PERCENT = 20.0


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `rampd qualify`."""
    text = "the grid's yardsticks on a simulated hall, in simulated time, or a small step of a real one"
    sub = commands.add_parser("qualify", help=text)
    sub.add_argument("yardsticks", nargs="*", metavar="YARDSTICK", help="some of them only (default: all)")
    hours = "of signals and of the normal day (default 1, the least that has a worst hour)"
    sub.add_argument("--hours", type=_hours, default=1.0, help=hours)
    sub.add_argument("--seed", type=int, default=1, help="same seed, same hall and signals (default 1)")
    sub.add_argument("--json", action="store_true", help="only the figures, one JSON object")
    sub.add_argument("--report", type=Path, metavar="DIR", help="write report.html with plots, and report.json")
    sub.add_argument("--site", type=Path, metavar="SITE", help="step the running hall of this site file down and back")
    sub.add_argument(
        "--step", type=_step, default=STEP_PERCENT, metavar="PERCENT",
        help=f"of the site's most, with --site (default {STEP_PERCENT:g})",
    )  # fmt: skip
    sub.add_argument("--yes", action="store_true", help="with --site: do not ask")
    sub.set_defaults(handler=run)


def _hours(text: str) -> float:
    hours = float(text.encode("ascii"))
    if not 0.25 <= hours <= 48.0:
        raise argparse.ArgumentTypeError("0.25 to 48 hours: no score of regulation takes less than a quarter of one")
    return hours


def _step(text: str) -> float:
    percent = float(text.encode("ascii"))
    if not 1.0 <= percent <= LARGEST_PERCENT:
        raise argparse.ArgumentTypeError(f"1 to {LARGEST_PERCENT:g} percent")
    return percent


def run(args: argparse.Namespace) -> int:
    """Measures, prints, writes. Raises Unavailable, Usage, Refused."""
    report = None if args.report is None else _report(args)
    found = _simulated(args, report) if args.site is None else _real(args, report)
    if args.json:
        print(json.dumps(found))
    if report is not None:
        try:
            path = report.write(args.report, found)
        except OSError as error:
            raise Usage(f"--report {args.report}: {error}; name a folder that can be written") from error
        print(f"report: {path}", file=sys.stderr)
    return 0


def _report(args: argparse.Namespace) -> Report:
    try:
        from rampd.daemon.report import Report  # noqa: PLC0415 (matplotlib is needed for a report alone)
    except ImportError as error:
        raise Unavailable(f"a report needs matplotlib: install rampd with its extra 'report' ({error})") from error
    where = "a simulated hall of 48 MW" if args.site is None else f"the hall of {args.site}"
    return Report(f"Qualification of {where}")


def _simulated(args: argparse.Namespace, report: Report | None) -> dict[str, Any]:
    try:
        from rampd.daemon import qualify  # noqa: PLC0415 (numpy is needed for this command alone)
    except ImportError as error:
        raise Unavailable(f"rampd qualify: {error}: install rampd with its extra 'report'") from error
    if wrong := [name for name in args.yardsticks if name not in qualify.YARDSTICKS]:
        raise Usage(f"rampd qualify: no yardstick {wrong[0]!r}: {', '.join(qualify.YARDSTICKS)}")

    def say(line: str) -> None:
        print(line, file=sys.stderr if args.json else sys.stdout, flush=True)

    if report is None:
        return qualify.run(args.yardsticks, seed=args.seed, hours=args.hours, say=say)
    return qualify.run(args.yardsticks, seed=args.seed, hours=args.hours, say=say, keep=report.keep)


def _real(args: argparse.Namespace, report: Report | None) -> dict[str, Any]:
    if args.yardsticks:
        raise Usage(f"--site takes no yardstick: {args.yardsticks[0]} is for a simulated hall")
    if not args.yes and not sys.stdin.isatty():
        raise Usage("a real hall is stepped after a confirmation at a terminal, or with --yes")
    config = sitecheck.load(args.site)
    found, watch = asyncio.run(onsite.run(config, percent=args.step, confirm=lambda plan: args.yes or _confirmed(plan)))
    if not args.json:
        site = found["site"]
        for way in ("down", "up"):
            print(f"{way}: {site[way]}")
        print(f"band {100 * site['band_ratio']:.1f} % of {site['step_w'] / 1e6:.3f} MW")
    if report is not None:
        _trace(report, config.site.id, watch)
    return found


def _confirmed(plan: str) -> bool:
    print(plan, "Go on? Type yes: ", sep="\n", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() == "yes"


def _trace(report: Report, name: str, watch: onsite.Watch) -> None:
    import numpy as np  # noqa: PLC0415 (as above)

    from rampd.daemon.proving import Trace  # noqa: PLC0415

    count = min(len(watch.samples), len(watch.references))
    at_s = np.array([at for at, _ in watch.samples[:count]])
    mw = {
        "purchase": np.array([w for _, w in watch.samples[:count]]) / 1e6,
        "reference": np.array([w for _, w in watch.references[:count]]) / 1e6,
    }
    report.keep("site")(Trace(f"{name}: a step down and back", at_s - at_s[0], mw))
