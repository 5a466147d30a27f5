"""Who answers, as it is told: a fall at once, and what falls again and again once a minute, with how often it did."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from typing import Final, NamedTuple

QUIET_S: Final = 60.0


class Change(NamedTuple):
    """Devices that are to be told of together: all answer, or none does. `falls` of all of them since the last time."""

    state: str
    names: list[str]
    falls: int = 0


@dataclass(slots=True)
class _Fall:
    """A device that fell within the last minute, or whose falls were summed up then."""

    told_s: float
    lost: bool
    flaps: bool = False
    falls: int = 0  # since it was told


@dataclass(slots=True)
class Presence:
    """Remembers who was heard, who is lost, and of whom was told lately."""

    _heard: set[str] = field(default_factory=set)
    _lost: set[str] = field(default_factory=set)
    _fell: dict[str, _Fall] = field(default_factory=dict)

    def look(self, up: Set[str], now_s: float) -> Iterator[Change]:
        """What is to be told now; one that was never heard is the failsafe ladder's to tell."""
        back, gone = self._lost & up, self._heard - up - self._lost
        self._lost = (self._lost | gone) - up
        self._heard |= up
        lost = [name for name in gone if self._fall(name, now_s)]
        again = [name for name in back if self._return(name)]
        yield from (Change(state, sorted(names)) for state, names in (("lost", lost), ("back", again)) if names)
        yield from self._sums(now_s)

    def _fall(self, name: str, now_s: float) -> bool:
        """Whether that is to be told at once."""
        if name in self._fell:
            self._fell[name].falls += 1
            return False
        self._fell[name] = _Fall(now_s, lost=True)
        return True

    def _return(self, name: str) -> bool:
        """Whether that is to be told at once."""
        one = self._fell.get(name)
        if one is not None and (one.flaps or one.falls):
            return False
        if one is not None:
            one.lost = False
        return True

    def _sums(self, now_s: float) -> Iterator[Change]:
        """Of whom a minute has passed: those that fell again, or are not as was told."""
        summed: dict[str, list[str]] = {"lost": [], "back": []}
        falls = {"lost": 0, "back": 0}
        for name, one in list(self._fell.items()):
            if now_s - one.told_s < QUIET_S:
                continue
            lost = name in self._lost
            if not one.falls and one.lost == lost:
                del self._fell[name]
                continue
            state = "lost" if lost else "back"
            summed[state].append(name)
            falls[state] += one.falls
            self._fell[name] = _Fall(now_s, lost=lost, flaps=True)
        yield from (Change(state, sorted(names), falls[state]) for state, names in summed.items() if names)
