"""`rampd replay`: the same compiled step over what was recorded; the set points must agree to the last bit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rampd.daemon.recording import NOTE, Recording, RecordingError, facts_of, kind_of, paths
from rampd.ext import views
from rampd.ext.image import InputWall, Memory, OutputWall
from rampd.ext.loop import Loop
from rampd.ext.tape import Player

# A note of what a tick followed may stand so long after it.
NOTED_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a replay first gives something else than was recorded; W."""

    tick: int
    at: str
    what: str
    recorded_w: float
    replayed_w: float

    def __str__(self) -> str:
        return (
            f"first difference at tick {self.tick}, {self.at}: {self.what} {self.recorded_w!r} W recorded, "
            f"{self.replayed_w!r} W replayed"
        )


class Replay:
    """One recording, run again. `out` and `inputs` are as of the last tick; `notes` of commands by their numbers."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        limits = recording.limits
        self.wall, self.outputs, self.memory = InputWall(limits), OutputWall(limits), Memory(limits)
        self.loop = Loop(limits, self.wall, self.outputs, self.memory, -1)
        self.player = Player(limits, self.wall, self.memory)
        self.inputs, self.state = views.inputs(self.wall), views.state(self.memory)
        self.ticks = 0
        self.now_ns = 0
        self.difference: Difference | None = None
        self.notes: dict[str, dict[str, Any]] = {}

    @property
    def out(self) -> views.Outputs:
        """The newest snapshot; valid until the next call."""
        return views.outputs(self.outputs)

    def run(self, until_ns: int | None = None) -> Iterator[int]:
        """Tick by tick, the monotonic time of each, to the first difference, to a time or to the end.

        Raises RecordingError where the file is cut off or broken, or does not fit this core.
        """
        for record in self.recording.records():
            kind, now_ns = kind_of(record)
            if until_ns is not None and now_ns > until_ns + NOTED_NS:
                return
            try:
                if kind == NOTE:
                    facts = facts_of(record)
                    self.notes[str(facts.get("seq"))] = facts
                    continue
                if until_ns is not None and now_ns > until_ns:
                    continue
                follows, now_ns = self.player.give(record)
            except ValueError as error:
                raise RecordingError(f"{self.recording.path}: {error}") from error
            self.now_ns = now_ns
            if not follows:
                continue
            self.loop.tick_at(now_ns)
            self.ticks += 1
            if (place := self.player.differs()) >= 0:
                self.difference = self._difference(place)
                return
            yield now_ns

    def _difference(self, place: int) -> Difference:
        what = f"rack {self.recording.head.racks[place - 1]}" if place else "the reference"
        replayed_w = self.state.applied_w[place - 1] if place else self.state.reference_w
        at = self.recording.head.at(self.now_ns).isoformat(timespec="milliseconds")
        return Difference(self.state.tick, at, what, self.player.recorded_w(place), replayed_w)


def files(path: Path) -> list[Path]:
    """The file, or the recordings of a folder. Raises RecordingError."""
    if not path.is_dir():
        return [path]
    if not (found := paths(path)):
        raise RecordingError(f"{path}: no recordings in this folder")
    return found


def replay(path: Path, until: str | None) -> dict[str, Any]:
    """What came of one file, as an object for people and programs. Raises RecordingError and ValueError."""
    with Recording(path) as recording:
        head = recording.head
        run = Replay(recording)
        problem = ""
        try:
            for _ in run.run(None if until is None else head.moment(until)):
                pass
        except RecordingError as error:
            problem = str(error)
        return {
            "file": str(path), "version": head.version, "site": head.site, "config_sha256": head.config_sha256,
            "began": head.began, "ended": head.at(run.now_ns or head.began_ns).isoformat(), "ticks": run.ticks,
            "agrees": run.difference is None and run.ticks > 0 and not problem,
            "difference": None if run.difference is None else asdict(run.difference), "problem": problem,
            "reference_w": run.state.reference_w, "power_w": run.out.power_w,
        }  # fmt: skip


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The same for people."""
    yield (
        f"{found['file']}: {found['site']}, rampd {found['version']}, configuration {found['config_sha256'][:12]}, "
        f"{found['began'][:19]} to {found['ended'][11:19]} UTC"
    )
    if found["problem"]:
        yield found["problem"]
    if found["difference"] is not None:
        yield str(Difference(**found["difference"]))
    elif found["ticks"]:
        yield (
            f"{found['ticks']} ticks: the set points agree bit for bit; at the end the reference is "
            f"{found['reference_w'] / 1e6:.3f} MW and the meter reads {found['power_w'] / 1e6:.3f} MW"
        )
    else:
        yield "not a tick in it"


def as_json(found: list[dict[str, Any]]) -> str:
    """One object over all files."""
    return json.dumps({"agrees": all(one["agrees"] for one in found), "files": found})
