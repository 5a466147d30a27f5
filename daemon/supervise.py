"""systemd's view: READY when the site is under control, WATCHDOG last, while all that must move moves."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger("rampd.supervise")


def notify(message: str) -> bool:
    """Tells the service manager (sd_notify); False when there is none."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return False
    # Non-blocking: a manager that does not read must not stop control.
    kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    with socket.socket(socket.AF_UNIX, kind) as sock:
        try:
            sock.sendto(message.encode(), "\0" + path[1:] if path.startswith("@") else path)
        except OSError as error:
            log.warning("the service manager does not listen: %s", error)
            return False
    return True


def watchdog_s() -> float | None:
    """How often to feed the watchdog: a third of what systemd allows; None when it does not watch us."""
    micros = os.environ.get("WATCHDOG_USEC", "")
    if not micros.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(micros) / 3e6


@dataclass
class Watch:
    """What must have moved since the last look. Each check returns "" or what stands still."""

    tick: Callable[[], int]
    fault: Callable[[], int]
    actuation_ns: Callable[[], int]
    overdue: Callable[[], int]
    allowed_ns: int
    last_tick: int = -1

    def problem(self, now_ns: int) -> str:
        """Empty while the tick advances without a fault and actuation follows."""
        tick = self.tick()
        if tick == self.last_tick:
            return "the control loop stands still"
        self.last_tick = tick
        if fault := self.fault():
            return f"the control loop reports fault {fault}"
        if now_ns - self.actuation_ns() > self.allowed_ns:
            return "actuation does not follow the control loop"
        if late := self.overdue():
            return f"{late} set points wait too long to be written"
        return ""
