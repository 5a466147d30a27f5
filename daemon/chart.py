"""The demo's terminal picture: power against reference as a plot in text, racks, and what happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

HEIGHT = 14
WIDTH = 74


def plot(
    power: Sequence[tuple[float, float]], reference: Sequence[tuple[float, float]], top_w: float, span_s: float
) -> Text:
    """The last `span_s` seconds; power as dots, reference as a line, both (s, W)."""
    grid = [[" "] * WIDTH for _ in range(HEIGHT)]
    end_s = max([s for s, _ in power[-1:]] + [s for s, _ in reference[-1:]], default=0.0)

    def put(points: Sequence[tuple[float, float]], mark: str) -> None:
        for at, watts in points:
            column = WIDTH - 1 - round((end_s - at) / span_s * (WIDTH - 1))
            row = HEIGHT - 1 - round(min(max(watts / top_w, 0.0), 1.0) * (HEIGHT - 1))
            if 0 <= column < WIDTH:
                grid[row][column] = mark

    put(reference, "─")
    put(power, "●")
    out = Text()
    for row, cells in enumerate(grid):
        level = top_w * (HEIGHT - 1 - row) / (HEIGHT - 1)
        out.append(f"{level / 1e6:8.2f} MW ", style="dim")
        for cell in cells:
            out.append(cell, style={"●": "bold cyan", "─": "yellow"}.get(cell, ""))
        out.append("\n")
    out.append(f"{'':12}{-span_s:<8.0f}{'s':>{WIDTH - 12}}  now", style="dim")
    return out


def picture(
    title: str, power: Sequence[tuple[float, float]], reference: Sequence[tuple[float, float]], top_w: float,
    state: dict[str, Any] | None, events: Sequence[str], where: str,
) -> RenderableType:  # fmt: skip
    """The whole screen."""
    facts = Table.grid(padding=(0, 2))
    if state is not None:
        racks = state["racks"]
        total = max(1, sum(racks.values()))
        ready = racks["available"]
        bar = "█" * round(30 * ready / total) + "░" * (30 - round(30 * ready / total))
        others = ", ".join(f"{n} {name}" for name, n in racks.items() if n and name != "available")
        facts.add_row("racks", f"{bar} {ready}/{total} available{', ' + others if others else ''}")
        shown = state["power_w"]
        facts.add_row(
            "power",
            f"[cyan]{'-' if shown is None else f'{shown / 1e6:.3f} MW'}[/]   "
            f"reference [yellow]{(state['reference_w'] or 0) / 1e6:.3f} MW[/]   {state['mode']}, {state['envelope']}",
        )
    log = Text("\n".join(events[-8:]))
    return Group(
        Panel(plot(power, reference, top_w, 60.0), title=title, subtitle="[cyan]● meter[/]  [yellow]─ reference[/]"),
        facts, Panel(log, title="events"), Text(where, style="dim"),
    )  # fmt: skip
