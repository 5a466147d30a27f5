"""Writes down what every tick was given and gave: a thread between the tape of the control loop and the files."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import Any, Final

from rampd.daemon.recording import WHOLE, Files, kind_of, note
from rampd.ext.tape import Tape

log = logging.getLogger("rampd.recorder")

DRAIN_S: Final = 0.25
CHUNK_S: Final = 2.0
CHUNK_BYTES: Final = 1 << 20
FILE_S: Final = 3600.0
RETRY_S: Final = 30.0
MOST_NOTES: Final = 256


class Recorder:
    """Neither the tick nor the event loop waits for it: what finds no room or no disk is dropped and counted."""

    def __init__(self, tape: Tape, files: Files) -> None:
        self.tape = tape
        self.files = files
        self.bytes_written = 0
        self._unwritten = 0
        self._pending: list[bytes] = []
        self._notes: deque[bytes] = deque(maxlen=MOST_NOTES)
        self._said = b""
        self._pending_s = self._file_s = 0.0
        self._open = False
        self._retry_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rampd-recorder", daemon=True)

    @property
    def dropped(self) -> int:
        """Ticks that stand in no file."""
        return self.tape.lost + self._unwritten

    def note(self, now_ns: int, facts: dict[str, Any]) -> None:
        """Something the core does not know; the newest stands in every file."""
        self._notes.append(note(now_ns, facts))

    def start(self) -> None:
        """Begins to write."""
        self._thread.start()

    def stop(self) -> None:
        """Writes what there is and ends; call it after the control loop has stopped. Blocks."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(DRAIN_S):
            self.turn(time.monotonic())
        self.turn(time.monotonic(), last=True)

    def turn(self, now_s: float, *, last: bool = False) -> None:
        """Takes what the loop has put on the tape, and writes it when it is worth a chunk."""
        for record in self.tape.drain():
            kind, now_ns = kind_of(record)
            if kind == WHOLE:
                self._flush(now_s)
                self._begin(now_ns, now_s)
            if self._open:
                self._pending.append(record)
                if kind == WHOLE and self._said:
                    self._pending.append(self._said)
            else:
                self._unwritten += kind != WHOLE
        while self._notes:
            self._said = self._notes.popleft()
            if self._open:
                self._pending.append(self._said)
        size = sum(map(len, self._pending))
        if last or size > CHUNK_BYTES or now_s - self._pending_s > CHUNK_S:
            self._flush(now_s)
        if last:
            self._try_close()
        elif self._open and (self.files.full or now_s - self._file_s > FILE_S):
            self._file_s = now_s
            self.tape.want_whole()
        elif not self._open and 0.0 < self._retry_s < now_s:
            self._retry_s = now_s + RETRY_S
            self.tape.want_whole()

    def _begin(self, now_ns: int, now_s: float) -> None:
        try:
            self.files.begin(now_ns)
        except OSError as error:
            self._fail(error, now_s)
            return
        if not self._open:
            log.info("recording to %s, %d MB at most", self.files.folder, self.files.most_bytes // 1_000_000)
        self._open = True
        self._file_s = now_s

    def _flush(self, now_s: float) -> None:
        self._pending_s = now_s
        records, self._pending = self._pending, []
        if not records:
            return
        before = self.files.written
        try:
            self.files.write(records)
        except OSError as error:
            self._unwritten += len(records)
            self._fail(error, now_s)
        self.bytes_written += self.files.written - before

    def _fail(self, error: OSError, now_s: float) -> None:
        """Says so once per outage and tries another file later."""
        if self._open or self._retry_s == 0.0:
            log.error("recording stopped, control is not concerned: %s; trying on", error)
        self._open = False
        self._retry_s = now_s + RETRY_S
        self._try_close()

    def _try_close(self) -> None:
        try:
            self.files.close()
        except OSError as error:
            log.error("the recording's last words are lost: %s", error)
