"""An address that faults close or leave half-open, each for as long as it stands; several may at once."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Doors(ABC):
    """Counts the causes; what closing and reading on mean is the address's own."""

    def __init__(self) -> None:
        self._down_by: set[object] = set()
        self._deaf_by: set[object] = set()

    @abstractmethod
    def close(self) -> None:
        """Listens no more and drops every connection."""

    @abstractmethod
    def wake(self) -> None:
        """Reads on what has waited."""

    @property
    def deaf(self) -> bool:
        """Half-open: connections stay and are accepted, nothing is read any more."""
        return bool(self._deaf_by)

    def take_down(self, cause: object) -> None:
        """Closes for as long as any cause stands."""
        self._down_by.add(cause)
        self.close()

    def bring_up(self, cause: object) -> bool:
        """Removes a cause; True when it was the last, and the address is to be opened again."""
        self._down_by.discard(cause)
        return not self._down_by

    def deafen(self, cause: object) -> None:
        """Reads no connection, old or new, for as long as any cause stands."""
        self._deaf_by.add(cause)

    def hear(self, cause: object) -> None:
        """Removes a cause; with the last one reading goes on where it stopped."""
        self._deaf_by.discard(cause)
        if not self._deaf_by:
            self.wake()
