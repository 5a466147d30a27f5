"""Writes the lists in docs/ and the example sites from the code; `--check` only says what is out of step."""

from __future__ import annotations

import argparse
import inspect
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from rampd.daemon import cli, events, halls, mapcli, metrics, mirror, sitecheck
from rampd.daemon.config import Mirror, SiteFile, Under, Window
from rampd.daemon.equipment import Link, Login, Loop, Member, Meter, Node, Rack
from rampd.daemon.run import Daemon
from rampd.drivers import maps
from rampd.drivers.members import MemberMap
from rampd.ext import reasons
from rampd.ext.codes import Action

ROOT = Path(__file__).parent.parent
EXAMPLES = (halls.Hall("bench-12", 12), halls.Hall("hall-48mw", 400))
NOTE = "<!-- written by docs/generate.py -->\n"


def bounds(info: FieldInfo) -> str:
    """The reason a number must stay within."""
    words = []
    choices = [item for arg in get_args(info.annotation) for item in getattr(arg, "__metadata__", ())]
    for item in [*info.metadata, *(limit for choice in choices for limit in getattr(choice, "metadata", ()))]:
        for name, sign in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<=")):
            if getattr(item, name, None) is not None:
                words.append(f"{sign} {getattr(item, name):g}")
    literals = [word for arg in get_args(info.annotation) if get_origin(arg) is Literal for word in get_args(arg)]
    return " or ".join([", ".join(words), *(f'"{word}"' for word in literals)] if words else [])


def rows(model: type[BaseModel]) -> Iterator[str]:
    for name, info in model.model_fields.items():
        if name == "window" or (name in ("meter", "loop", "node", "under") and model is SiteFile):
            continue
        default = "required" if info.is_required() else json.dumps(info.default, default=str)
        yield f"| `{name}` | {bounds(info)} | {default} |"


def site_file() -> str:
    out = [NOTE, "# The site file\n", "Units stand in the keys. Unknown keys are errors.\n"]
    sections: list[tuple[str, type[BaseModel]]] = []
    for name, info in SiteFile.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            sections.append((f"[{name}]", info.annotation))
    sections += [("[[meter]]", Meter), ("[[loop]]", Loop), ("[[node]], and the columns of fleet.nodes", Node)]
    sections += [("[[under]]", Under), ("[[normal.window]] and [[dispatched.window]]", Window)]
    sections += [("[mirror]", Mirror), ("[[login]]", Login), ("[[link]]", Link)]
    sections += [("columns of fleet.racks", Rack), ("columns of fleet.members", Member)]
    for title, model in sections:
        out += [
            f"## {title}\n",
            f"{inspect.cleandoc(model.__doc__ or '')}\n",
            "| key | within | default |",
            "| --- | --- | --- |",
        ]
        out += [*rows(model), ""]
    return "\n".join(out)


def map_list() -> str:
    out = [
        NOTE,
        "# Device maps\n",
        "`rampd maps show NAME` prints one, `rampd maps lint FILE` checks your own, "
        "`rampd maps import FILE` drafts one from a list of another program. A register `203+18` stands 18 behind "
        "the ID register of SunSpec model 203; `x 10^[22]` is its scale factor.\n",
    ]
    for name in maps.names():
        found = maps.load(name)
        out += [f"## {name}\n", f"{found.title}. {found.verified[0].upper()}{found.verified[1:]}.\n"]
        out += [f"Source: {source}\n" for source in found.source]
        if isinstance(found, MemberMap):
            one = found.capability
            out += [
                f"Speaks {found.protocol}, port {found.port}. One member: {one.min_w:g} to {one.max_w:g} W"
                f"{', sleeps' if one.sleeps else ''}; limit accepted within {found.accept_s:g} s, obeyed within "
                f"{found.effect_s:g} s.\n"
            ]
            continue
        out += ["| register | function | type | value | unit | how |", "| --- | --- | --- | --- | --- | --- |"]
        out += [f"| {' | '.join(row)} |" for row in mapcli.lines(found)]
        out.append("")
    return "\n".join(out)


def metric_list() -> str:
    out = [NOTE, "# Metrics\n", "| metric | type | labels | what |", "| --- | --- | --- | --- |"]
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(sitecheck.load(halls.write(halls.Hall("docs", 12), Path(folder))))
    exposition = metrics.Exposition(daemon.sources)
    for family in exposition.registry.collect():
        labels = ", ".join(getattr(family, "_labelnames", ()))
        name = family.name + ("_total" if family.type == "counter" else "_info" if family.type == "info" else "")
        out.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
    for wide in exposition.families:
        labels = ", ".join(part.split("=")[0] for part in wide.labels[0].split('",'))
        out.append(f"| `{wide.name}` | gauge | {labels} | {wide.help} |")
    return "\n".join([*out, ""])


def failsafe() -> str:
    """The failsafe table as the core has it."""
    out = [
        NOTE,
        "# The failsafe ladder\n",
        inspect.cleandoc((reasons.__doc__ or "").split("\n\n", 1)[1]) + "\n",
        "Steps: " + " < ".join(action.name.removeprefix("ACT_").lower() for action in Action) + ".\n",
        "`rampd status`, `state.failsafe` on MQTT and `rampd_failsafe_active{scope,reason}` show which reasons act.\n"
        "What needs a reset stays, over a restart as well, until `rampd reset` is given while its condition is gone.\n"
        "An under-frequency step and a return go on after a restart, the step until its end was seen.\n"
        "A site meter that was not believed is doubted on: the hall is taken over by its racks and the last rest.\n"
        "Racks are counted, not listed; those of a common loss are counted there, and what a link explains is no\n"
        "loss of its feeder.\n",
        "| reason | acts for | when | step | what is done | clears after | reset |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for line in reasons.TABLE:
        step = line.action.name.removeprefix("ACT_").lower()
        clear = f"{line.clear_s:g} s" if line.clear_s else "at once"
        out.append(
            f"| `{line.name}` | {line.scope} | {line.when} | {step} | {line.does} | {clear} | "
            f"{'yes' if line.reset else ''} |"
        )
    return "\n".join([*out, ""])


def event_list() -> str:
    """What is told on event/, as the code has it."""
    out = [
        NOTE,
        "# Events\n",
        "What happened is told on `PREFIX/SITE/event/TYPE`, QoS 1, not retained: "
        '`{"seq": ..., "at": ..., "type": ..., ...}`.\n'
        "`seq` goes up by one, over restarts as well. No number is given twice: after a crash, or where the disk took\n"
        f"nothing, `seq` goes on up to {events.AHEAD} further up; where the file was spoiled, at the Unix time in s.\n"
        f"While the disk takes nothing, {events.AHEAD // 2} to {events.AHEAD} events are told and then none, and\n"
        "none at all if it took nothing since the start: `unwritable` says so then, without a number, kept nowhere.\n"
        "What the broker has not acknowledged is kept in `events.jsonl`\n"
        f"in the state directory, {events.MOST} at most, and sent in order after a reconnect or a restart;\n"
        "`rampd_events_pending` counts it. At the bound the oldest go: an event `dropped` stands in their place, and\n"
        "`rampd_events_dropped_total` counts them. An event may come twice, with the same `seq`. Fields without a\n"
        "value are left out.\n",
        "| type | when | fields |",
        "| --- | --- | --- |",
    ]
    for name, (when, fields) in events.TYPES.items():
        out.append(f"| `{name}` | {when} | {', '.join(f'`{one}`' for one in fields.split(', '))} |")
    return "\n".join([*out, ""])


def commands() -> str:
    top = cli.parser()
    out = [NOTE, "# The command rampd\n"]
    actions: Any = next(action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    for name, sub in actions.choices.items():
        sub.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=100)
        out += [f"## rampd {name}\n", f"```text\n{sub.format_help().strip()}\n```\n"]
    out.append("Exit codes: 0 done, 1 failed, 2 usage, 69 service unavailable, 78 configuration.\n")
    return "\n".join(out)


def documents() -> dict[Path, str]:
    """Every generated file with its content."""
    found = {
        ROOT / "docs" / "site-file.md": site_file(),
        ROOT / "docs" / "maps.md": map_list(),
        ROOT / "docs" / "metrics.md": metric_list(),
        ROOT / "docs" / "failsafe.md": failsafe(),
        ROOT / "docs" / "events.md": event_list(),
        ROOT / "docs" / "cli.md": commands(),
        ROOT / "docs" / "mirror.md": NOTE + mirror.table(),
        ROOT / "docs" / "site.schema.json": json.dumps(SiteFile.model_json_schema(), indent=1) + "\n",
        ROOT / "docs" / "map.schema.json": json.dumps(maps.DeviceMap.model_json_schema(), indent=1) + "\n",
    }
    for hall in EXAMPLES:
        with tempfile.TemporaryDirectory() as folder:
            halls.write(hall, Path(folder))
            for path in sorted(Path(folder).iterdir()):
                found[ROOT / "examples" / hall.id / path.name] = path.read_text(encoding="utf-8")
    return found


def main() -> int:
    checking = "--check" in sys.argv[1:]
    wrong = []
    for path, text in documents().items():
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        wrong.append(path)
        if not checking:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for path in wrong:
        print(f"{path.relative_to(ROOT)}: {'out of step, run make docs' if checking else 'written'}")
    return 1 if checking and wrong else 0


if __name__ == "__main__":
    sys.exit(main())
