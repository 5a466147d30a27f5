"""A recording as files: what stands in one, and the ring of them under a cap.

A file is MAGIC, then chunks of (length, CRC-32, zlib): head, configuration, limits, then records of `ext.tape`, the
first of them a whole one, with notes between them. Each file can be replayed by itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final

import rampd
from rampd.daemon.site import Composed
from rampd.ext import tape, views
from rampd.ext.image import Configuration

MAGIC: Final = b"rampd recording 1\n"
SUFFIX: Final = ".rec"
FILES: Final = 8
LARGEST: Final = 1 << 28
_CHUNK: Final = struct.Struct("<II")
_RECORD: Final = struct.Struct("<IIq")
FRAME: Final = 1
WHOLE: Final = 2
NOTE: Final = 3
_NS: Final = 1_000_000_000


class RecordingError(Exception):
    """A file that cannot be read as a recording, or not to its end; the message names file, place and remedy."""


def fingerprint() -> str:
    """One word for the layout of everything that step and guard see and remember."""
    structs = (views.Command, views.Inputs, views.Site, views.Limits, views.State, views.Watch)
    text = json.dumps([[cls.__name__, list(cls.__annotations__.items())] for cls in structs])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def chunk(data: bytes) -> bytes:
    """Packed, with its length and checksum."""
    packed = zlib.compress(data, 1)
    return _CHUNK.pack(len(packed), zlib.crc32(packed)) + packed


@dataclass(frozen=True, slots=True)
class Head:
    """Who recorded what, since when. `racks`, `loops` and `nodes` are names in the order of the image."""

    version: str
    layout: str
    site: str
    config_sha256: str
    racks: list[str]
    loops: list[str]
    nodes: list[str]
    began: str = ""
    began_ns: int = 0

    def at(self, now_ns: int) -> datetime:
        """Wall time of a monotonic one."""
        return datetime.fromisoformat(self.began) + timedelta(microseconds=(now_ns - self.began_ns) / 1e3)

    def moment(self, text: str) -> int:
        """The monotonic time that a text means: +90 (seconds from the beginning), 16:45:00 or a date with it; UTC.

        Raises ValueError.
        """
        began = datetime.fromisoformat(self.began)
        if found := re.fullmatch(r"\+([0-9]+(?:\.[0-9]+)?)s?", text):
            return self.began_ns + round(float(found[1]) * _NS)
        if re.fullmatch(r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?", text):
            at = datetime.fromisoformat(f"{began.date()}T{text}").replace(tzinfo=UTC)
            # A second before the recording began is the one it began in; earlier is the next day's.
            at += timedelta(days=at < began - timedelta(seconds=1))
        else:
            at = datetime.fromisoformat(text)
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return self.began_ns + round((at - began).total_seconds() * _NS)


def kind_of(record: bytes) -> tuple[int, int]:
    """FRAME, WHOLE or NOTE, and its time."""
    kind, _, now_ns = _RECORD.unpack_from(record)
    return kind, now_ns


def note(now_ns: int, facts: dict[str, Any]) -> bytes:
    """A record of something that the core does not know: whose command it follows."""
    text = json.dumps(facts).encode()
    return _RECORD.pack(NOTE, _RECORD.size + len(text), now_ns) + text


def facts_of(record: bytes) -> dict[str, Any]:
    """What a note says. Raises ValueError."""
    found = json.loads(record[_RECORD.size :])
    if not isinstance(found, dict):
        raise ValueError("a note that is no JSON object")
    return found


class Files:
    """The ring of files in a folder, `most_bytes` in all: the oldest goes. Blocks: for a thread of its own."""

    def __init__(self, composed: Composed, folder: Path, most_bytes: int) -> None:
        self.folder = folder
        self.most_bytes = most_bytes
        self.written = 0
        config = composed.config.model_dump_json().encode()
        self._head: dict[str, Any] = {
            "version": rampd.__version__, "layout": fingerprint(), "site": composed.config.site.id,
            "config_sha256": hashlib.sha256(config).hexdigest(), "racks": [rack.id for rack in composed.racks],
            "loops": [loop.id for loop in composed.config.loops], "nodes": [node.id for node in composed.nodes],
        }  # fmt: skip
        self._rest = chunk(config) + chunk(tape.limits_bytes(composed.limits))
        self._file: BinaryIO | None = None
        self._path = folder

    @property
    def full(self) -> bool:
        """Whether another file should begin."""
        return self.written >= self.most_bytes // FILES

    def begin(self, now_ns: int) -> None:
        """Another file, from a whole record at this monotonic time on. Raises OSError."""
        self.close()
        self.folder.mkdir(parents=True, exist_ok=True)
        began = datetime.now(UTC) - timedelta(microseconds=(time.monotonic_ns() - now_ns) / 1e3)
        last = max((int(path.name.split("-")[0]) for path in paths(self.folder)), default=0)
        self._path = self.folder / f"{last + 1:06d}-{began:%Y%m%dT%H%M%SZ}{SUFFIX}"
        self._file = self._path.open("xb", buffering=0)
        head = json.dumps(self._head | {"began": began.isoformat(), "began_ns": now_ns})
        self.written = 0
        self._append(MAGIC + chunk(head.encode()) + self._rest)

    def write(self, records: list[bytes]) -> None:
        """Appends records as one chunk. Raises OSError."""
        self._append(chunk(b"".join(records)))

    def _append(self, data: bytes) -> None:
        if self._file is None:
            raise OSError("no file was begun")
        self._make_room(len(data))
        if self._file.write(data) != len(data):
            raise OSError("the file took a part of it only")
        self.written += len(data)

    def _make_room(self, size: int) -> None:
        found = [(path, path.stat().st_size) for path in paths(self.folder)]
        total = sum(length for _, length in found) + size
        for path, length in found:
            if total <= self.most_bytes or path == self._path:
                return
            path.unlink()
            total -= length

    def close(self) -> None:
        """Ends the present file, durably. Raises OSError."""
        if self._file is not None:
            file, self._file = self._file, None
            with file:
                os.fsync(file.fileno())


def paths(folder: Path) -> list[Path]:
    """The recordings of a folder, the oldest first."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if re.match("[0-9]{6,}-", path.name))


class Recording:
    """A file to read. Raises RecordingError where it is none, or one of another layout."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise RecordingError(f"{path}: cannot be read: {error.strerror}") from error
        try:
            self.head, self.config, self.limits = self._begin()
        except BaseException:
            self._file.close()
            raise

    def _begin(self) -> tuple[Head, dict[str, Any], Configuration]:
        path = self.path
        if (magic := self._file.read(len(MAGIC))) != MAGIC:
            other = magic.startswith(MAGIC[:16])
            what = "a recording of another rampd: replay it with that one" if other else "no recording of rampd"
            raise RecordingError(f"{path}: {what}")
        head = json.loads(self._chunk() or b"{}")
        if head.get("layout") != fingerprint():
            by = head.get("version", "nobody")
            raise RecordingError(
                f"{path}: recorded by rampd {by}, whose core has another layout than {rampd.__version__}: "
                f"replay it with rampd {by}"
            )
        try:
            return Head(**head), json.loads(self._chunk() or b"{}"), tape.limits_from(self._chunk() or b"")
        except (TypeError, ValueError) as error:
            raise RecordingError(f"{path}: its head does not hold what one holds: {error}") from error

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _chunk(self) -> bytes | None:
        """The next chunk, None at the end of the file."""
        place = self._file.tell()
        head = self._file.read(_CHUNK.size)
        if not head:
            return None
        length, checksum = _CHUNK.unpack(head) if len(head) == _CHUNK.size else (LARGEST, 0)
        packed = self._file.read(length) if length < LARGEST else b""
        if len(packed) != length:
            raise RecordingError(f"{self.path}: cut off or broken at byte {place}: what stands before it is whole")
        if zlib.crc32(packed) != checksum:
            raise RecordingError(f"{self.path}: broken at byte {place}: the checksum does not match")
        return zlib.decompress(packed)

    @property
    def share(self) -> float:
        """How much of the file was read."""
        return self._file.tell() / max(1, self.path.stat().st_size)

    def records(self) -> Iterator[bytes]:
        """The records in their order. Raises RecordingError where the file is cut off or broken."""
        while (data := self._chunk()) is not None:
            at = 0
            while at < len(data):
                length = _RECORD.unpack_from(data, at)[1]
                yield data[at : at + length]
                at += length
