"""Waiting for what real processes do: a condition with a bound, never a sleep."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def until(
    done: Callable[[], Found], within_s: float, what: str, *, every_s: float = 0.05, seen: Callable[[], object] = str
) -> Found:
    """Waits for a condition and returns its first true value; shows what is `seen` where it does not come."""
    deadline_s = time.monotonic() + within_s
    while not (found := done()):
        assert time.monotonic() < deadline_s, f"not within {within_s:g} s: {what} {seen()}"
        time.sleep(every_s)
    return found


def ever(done: Callable[[], object], for_s: float, *, every_s: float = 0.05) -> bool:
    """Whether a condition comes true within a time that must pass anyway."""
    deadline_s = time.monotonic() + for_s
    while time.monotonic() < deadline_s:
        if done():
            return True
        time.sleep(every_s)
    return False
