"""Cancellations that got lost: until Python 3.12 `asyncio.wait_for` loses one that comes together with its result.

aiomqtt and pymodbus wait by it. Who goes on after that hangs its TaskGroup, which waits for it without end. What was
cancelled before stays counted in a task whose TaskGroup failed: it is no reason to end what comes after.
"""

from __future__ import annotations

import asyncio


def cancels() -> int:
    """How often the running task was cancelled so far; 0 outside a task."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def heed(before: int) -> None:
    """Raises CancelledError in a task that was cancelled more often than `before`, as `cancels` said."""
    if cancels() > before:
        raise asyncio.CancelledError
