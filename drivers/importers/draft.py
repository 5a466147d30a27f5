"""A register list of another program as far as it was understood, before it becomes a map."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Line:
    """One number of a list, in its own words: `unit` as written there, `name` too."""

    name: str
    at: int
    type: str
    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0
    binary: int = 0
    mask: int = 0
    order: str = ""
    function: int = 0
    factor_at: int | None = None
    nan: tuple[int, ...] = ()
    range: tuple[float, float] | None = None


@dataclass(slots=True)
class Draft:
    """A list as far as it was understood. `notes` say what was left out or changed, and why."""

    title: str
    source: str
    kind: str = ""
    function: int = 3
    model: int | None = None
    lines: list[Line] = field(default_factory=list)
    texts: list[tuple[str, int, int]] = field(default_factory=list)  # name, at, words
    notes: list[str] = field(default_factory=list)
