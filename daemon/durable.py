"""Files that a power cut leaves as they were or as they are to be: content, name and removal reach the disk.

All of it blocks: call it off the event loop. All of it raises OSError.
"""

from __future__ import annotations

import os
from pathlib import Path


def replace(path: Path, data: bytes) -> int:
    """The file has this content, or still the one before; its size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        size = _write(file.fileno(), data)
    rename(new, path)
    return size


def append(path: Path, data: bytes) -> int:
    """The file has this at its end, or a part of it after a crash; its size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        if not file.tell():
            # It may have been made just now, or by somebody who was cut off right here.
            sync_folder(path.parent)
        before = file.tell()
        return before + _write(file.fileno(), data)


def rename(path: Path, to: Path) -> None:
    """The file has its other name, and whatever had that is gone."""
    path.replace(to)
    sync_folder(to.parent)


def sync_folder(folder: Path) -> None:
    """Which files it has, and under which names: fsync of a file does not tell its folder's disk block (fsync(2))."""
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(place)
    finally:
        os.close(place)


def _write(place: int, data: bytes) -> int:
    left = memoryview(data)
    while left:
        left = left[os.write(place, left) :]
    os.fsync(place)
    return len(data)
