"""A bound on writes that wear out flash: so many within any 24 hours."""

from __future__ import annotations

import time
from collections import deque
from typing import Final

DAY_S: Final = 86400.0


class Budget:
    """At most `most` within 24 hours of running; a restart of the daemon starts it anew."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._spent: deque[float] = deque(maxlen=max(1, most))

    def left(self) -> int:
        """How many are left now."""
        now_s = time.monotonic()
        while self._spent and now_s - self._spent[0] >= DAY_S:
            self._spent.popleft()
        return self.most - len(self._spent)

    def spend(self) -> None:
        """One was sent, whatever became of it."""
        self._spent.append(time.monotonic())
