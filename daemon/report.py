"""The report of `rampd qualify`: one HTML file with plots, the figures as JSON beside it.

Needs matplotlib (the extra `report`).
"""

from __future__ import annotations

import base64
import html
import io
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure

import rampd
from rampd.daemon.proving import Keep, Trace

STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse } td, th { padding: .2em 1em .2em 0; text-align: left; border-bottom: 1px solid #ddd }
td + td { font-variant-numeric: tabular-nums } img { max-width: 100% } h2 { margin-top: 2em }
"""


class Report:
    """Collects what was measured; `write` makes the files."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.traces: dict[str, list[Trace]] = {}

    def keep(self, name: str) -> Keep:
        """Takes the traces of one yardstick."""
        return self.traces.setdefault(name, []).append

    def write(self, folder: Path, figures: dict[str, Any]) -> Path:
        """`report.html` and `report.json` in the folder. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        found = {"title": self.title, "version": rampd.__version__, "at": datetime.now(UTC).isoformat(), **figures}
        (folder / "report.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        path = folder / "report.html"
        path.write_text("\n".join(self._html(found, figures)) + "\n", encoding="utf-8")
        return path

    def _html(self, found: dict[str, Any], figures: dict[str, Any]) -> Iterator[str]:
        title = html.escape(self.title)
        yield f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        yield f"<style>{STYLE}</style></head><body><h1>{title}</h1>"
        on = html.escape(os.uname().nodename)
        yield f"<p>rampd {html.escape(found['version'])}, {found['at'][:19]} UTC, on {on}.</p>"
        yield "<h2>Figures</h2><table>"
        for name, value in flat(figures):
            yield f"<tr><td>{html.escape(name)}</td><td>{html.escape(str(value))}</td></tr>"
        yield "</table>"
        for name, rows in grids(figures):
            columns = list(next(iter(rows.values())))
            yield f"<h3>{html.escape(name)}</h3><table>"
            yield f"<tr><th></th>{''.join(f'<th>{html.escape(column)}</th>' for column in columns)}</tr>"
            for row, values in rows.items():
                cells = "".join(f"<td>{html.escape(str(values[column]))}</td>" for column in columns)
                yield f"<tr><td>{html.escape(row)}</td>{cells}</tr>"
            yield "</table>"
        for name, traces in self.traces.items():
            yield f"<h2>{html.escape(name)}</h2>"
            for one in traces:
                data = base64.b64encode(plot(one)).decode("ascii")
                yield f'<p><img alt="{html.escape(one.title)}" src="data:image/png;base64,{data}"></p>'
        yield "</body></html>"


def flat(figures: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Nested figures as dotted names, but for what has a table of its own."""
    for name, value in figures.items():
        if not isinstance(value, dict):
            yield before + name, value
        elif not is_grid(value):
            yield from flat(value, f"{before}{name}.")


def grids(figures: dict[str, Any], before: str = "") -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
    """What has a table of its own, by its dotted name."""
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from [(before + name, value)] if is_grid(value) else grids(value, f"{before}{name}.")


def is_grid(figures: dict[str, Any]) -> bool:
    """Whether these are several rows of the same columns."""
    rows = list(figures.values())
    return len(rows) > 2 and all(isinstance(row, dict) and row.keys() == rows[0].keys() for row in rows)


def plot(trace: Trace) -> bytes:
    """A trace as a PNG. No window system and no global state of pyplot is used."""
    figure = Figure(figsize=(9.0, 3.2), layout="constrained")
    axes = figure.subplots()
    for name, mw in trace.mw.items():
        dashed = name == "reference"
        axes.plot(trace.at_s, mw, label=name, linewidth=1.2, linestyle="--" if dashed else "-", zorder=2 - dashed)
    axes.set_title(trace.title, fontsize=10, loc="left")
    axes.set_xlabel("s")
    axes.set_ylabel("MW")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=8, frameon=False)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110)
    return out.getvalue()
