"""Cancellations that got lost: until Python 3.12 `asyncio.wait_for` loses one that comes together with its result.

aiomqtt and pymodbus wait by it. Who goes on after that hangs its TaskGroup, which waits for it without end. What was
cancelled before stays counted in a task whose TaskGroup failed: it is no reason to end what comes after.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


def cancels() -> int:
    """How often the running task was cancelled so far; 0 outside a task."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def heed(before: int) -> None:
    """Raises CancelledError in a task that was cancelled more often than `before`, as `cancels` said."""
    if cancels() > before:
        raise asyncio.CancelledError


async def apart(work: Coroutine[Any, Any, None]) -> None:
    """Waits for work in a task of its own: whoever is cancelled ends, also where the work fails at that moment.

    A TaskGroup that is cancelled while one of its tasks fails raises that error, and who goes on after it was never
    stopped.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait([task])
        # What it failed with is no error that nobody retrieved.
        if not task.cancelled():
            task.exception()
        raise
    task.result()
