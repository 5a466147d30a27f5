"""A wire to a broker that is cut whenever a client publishes to a topic that it does not grant, as some brokers do."""

from __future__ import annotations

import socket
import struct
import threading
from types import TracebackType
from typing import Self


class Strict:
    """Listens at `here` and passes everything on to `there`; `cuts` counts connections it has closed."""

    def __init__(self, here: tuple[str, int], there: tuple[str, int], topic: str) -> None:
        self.there = there
        self.cuts = 0
        # In a PUBLISH, the topic stands behind its length.
        self.mark = struct.pack(">H", len(topic)) + topic.encode()
        self._server = socket.create_server(here)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A close alone leaves it listening for as long as a thread waits in accept.
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
                broker = socket.create_connection(self.there)
            except OSError:
                return
            for pair in ((client, broker, True), (broker, client, False)):
                threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, strict: bool) -> None:
        try:
            while data := source.recv(65536):
                if strict and self.mark in data:
                    self.cuts += 1
                    break
                target.sendall(data)
        except OSError:
            pass
        finally:
            for sock in (source, target):
                sock.close()
