"""An hour that was recorded runs again to the same bits: the step has no memory and no clock but what it is given."""

from __future__ import annotations

import ctypes
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rampd.daemon import recording, sitecheck, whycli
from rampd.daemon.closed import START_S, ClosedLoop
from rampd.daemon.recorder import Recorder
from rampd.daemon.recording import Files, Recording, RecordingError, chunk
from rampd.daemon.replay import Replay, replay
from rampd.ext import codes, views
from rampd.ext.tape import Tape

SITE = Path(__file__).resolve().parents[2] / "examples" / "bench-12" / "site.toml"
TICKS = 72_000


class Recorded:
    """A closed loop whose ticks are recorded; `turn` does what the recorder's thread does four times a second."""

    def __init__(self, folder: Path, seed: int = 7, most_bytes: int = 1 << 30) -> None:
        self.loop = ClosedLoop(sitecheck.load(SITE), seed, recorded=True)
        assert self.loop.tape is not None
        self.tape: Tape = self.loop.tape
        self.recorder = Recorder(self.tape, Files(self.loop.composed, folder, most_bytes))
        self.random = Random("replay")

    def run(self, ticks: int, every: int = 20) -> None:
        loop, random = self.loop, self.random
        for tick in range(ticks):
            if tick == 60:
                loop.command(0.8e6, ramp_s=5.0)
            if tick % 1800 == 300:
                verb = random.choice([codes.TRACK] * 4 + [codes.HOLD, codes.STAND, codes.ESTOP])
                envelope = random.choice([codes.DISPATCHED, codes.NORMAL])
                loop.command(random.random() * 1.4e6, ramp_s=5.0, verb=verb, envelope=envelope, lease_s=60.0)
            if tick % 9000 == 4000:
                loop.fleet.dead[random.randrange(loop.count)] = True
            loop.run(loop.dt_s)
            if tick % every == every - 1:
                self.recorder.turn(loop.now_s)

    def end(self) -> None:
        self.recorder.turn(self.loop.now_s, last=True)


def only(folder: Path) -> Path:
    (path,) = recording.paths(folder)
    return path


@pytest.fixture(scope="module")
def minute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute in one file."""
    folder = tmp_path_factory.mktemp("minute")
    made = Recorded(folder)
    made.run(1200)
    made.end()
    return only(folder)


def test_a_recorded_hour_replays_to_the_same_bits(tmp_path: Path) -> None:
    made = Recorded(tmp_path)
    made.run(TICKS)
    made.end()
    with Recording(only(tmp_path)) as found:
        again = Replay(found)
        assert sum(1 for _ in again.run()) == TICKS - 1
        assert again.difference is None
        # Beyond what is compared in each tick: everything that is remembered came out the same.
        first, second = made.loop.memory, again.memory
        scalars = views.State.asked_w.offset
        assert ctypes.string_at(first.state_address, scalars) == ctypes.string_at(second.state_address, scalars)
    assert made.recorder.dropped == 0


def test_what_was_under_way_before_a_restart_is_in_the_recording(tmp_path: Path) -> None:
    made = Recorded(tmp_path)
    told, begin_ns = made.loop.inputs, round(START_S * 1e9)
    told.returning, told.return_ns, told.return_cap_w, told.command.resumed = 1, begin_ns - 10**10, 0.7e6, 1
    for i in range(made.loop.count):
        told.free_ns[i], told.worn_ns[i] = begin_ns + (i + 1) * 10**9, begin_ns + (i + 2) * 10**9
    made.run(1200)
    made.end()
    with Recording(only(tmp_path)) as found:
        again = Replay(found)
        assert sum(1 for _ in again.run()) == 1199
        assert again.difference is None
        racks = range(made.loop.count)
        assert [again.inputs.free_ns[i] for i in racks] == [told.free_ns[i] for i in racks]
        assert (again.inputs.return_cap_w, again.state.returning) == (0.7e6, 1)
        first, second = made.loop.memory, again.memory
        scalars = views.State.asked_w.offset
        assert ctypes.string_at(first.state_address, scalars) == ctypes.string_at(second.state_address, scalars)


def test_every_file_of_the_ring_begins_with_all_that_is_remembered(tmp_path: Path) -> None:
    made = Recorded(tmp_path, most_bytes=1_000_000)
    made.recorder.note(round(START_S * 1e9), {"seq": 1, "id": "c-1", "who": "ann", "source": "remote"})
    made.run(12_000, every=5)
    made.end()
    files = recording.paths(tmp_path)
    for path in files:
        with Recording(path) as found:
            again = Replay(found)
            assert sum(1 for _ in again.run()) > 0
            assert again.notes["1"]["who"] == "ann", "the newest note stands in every file"
    assert 3 <= len(files) <= recording.FILES + 2
    assert files[0].name > "000001"
    assert sum(path.stat().st_size for path in files) <= 1_000_000
    assert all(replay(path, None)["agrees"] for path in files)


def test_what_finds_no_room_is_counted_and_the_next_file_begins_after_it(tmp_path: Path) -> None:
    made = Recorded(tmp_path)
    made.run(100)
    # Nobody takes anything off the tape until it is full.
    made.run(60_000, every=1_000_000)
    assert made.recorder.dropped > 0
    lost = made.recorder.dropped
    made.recorder.turn(made.loop.now_s)
    made.run(200)
    made.end()
    files = recording.paths(tmp_path)
    found = [replay(path, None) for path in files]
    assert len(files) == 2
    assert all(one["agrees"] for one in found)
    # A tick that a whole record follows needs no frame of its own.
    assert sum(one["ticks"] for one in found) + lost in (60_300 - 1, 60_300 - 2)


def test_a_disk_that_takes_nothing_stops_the_recording_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "recordings").write_text("no folder")
    made = Recorded(tmp_path / "recordings")
    made.run(100)
    made.end()
    assert made.recorder.dropped == 99
    assert made.recorder.bytes_written == 0


def test_another_bit_is_found_where_it_is(minute: Path) -> None:
    with Recording(minute) as found:
        again = Replay(found)
        for number, _ in enumerate(again.run()):
            if number == 200:
                # A reading that the recorded core did not see.
                again.inputs.value[views.limits(found.limits).site.power_slot] += 1e5
        assert again.difference is not None
        assert 202 <= again.difference.tick <= 222
        assert again.difference.recorded_w != again.difference.replayed_w
        assert str(again.difference).startswith(f"first difference at tick {again.difference.tick}")


def test_until_a_time(minute: Path) -> None:
    assert replay(minute, "+30")["ticks"] == 600
    with Recording(minute) as found:
        at = found.head.at(found.head.began_ns + 30_000_000_000)
    assert replay(minute, at.isoformat())["ticks"] == 600
    assert replay(minute, at.strftime("%H:%M:%S.%f"))["ticks"] in (599, 600, 601)
    with pytest.raises(ValueError, match="isoformat"):
        replay(minute, "noon")


def test_a_file_that_is_cut_off_replays_to_the_cut_and_says_so(minute: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.rec"
    path.write_bytes(minute.read_bytes()[:-100])
    found = replay(path, None)
    assert not found["agrees"]
    assert found["ticks"] > 1000
    assert "cut off or broken at byte" in found["problem"]
    assert found["difference"] is None


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: b"", "no recording of rampd"),
        (lambda data: b"[site]\n" * 9, "no recording of rampd"),
        (lambda data: data.replace(b"recording 1", b"recording 9"), "replay it with that one"),
        (lambda data: data[:40], "cut off or broken at byte"),
        (lambda data: data[:60] + b"??" + data[62:], "checksum does not match"),
        (lambda data: recording.MAGIC + chunk(b'{"version": "0.0.1", "layout": "x"}'), "replay it with rampd 0.0.1"),
    ],
)
def test_a_file_that_is_none_gets_one_clear_error(tmp_path: Path, minute: Path, damage, words: str) -> None:
    path = tmp_path / "bad.rec"
    path.write_bytes(damage(minute.read_bytes()))
    with pytest.raises(RecordingError, match=words) as caught:
        replay(path, None)
    assert str(path) in str(caught.value)
    with pytest.raises(RecordingError, match="cannot be read"):
        replay(tmp_path / "nothing.rec", None)


@pytest.mark.parametrize("data", [b"", b"rampd", b"something else entirely"])
def test_an_empty_file_in_the_folder_does_not_hide_the_others(
    minute: Path, tmp_path: Path, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "000001-20260101T000000Z.rec").write_bytes(minute.read_bytes())
    empty = tmp_path / "000002-20260101T000100Z.rec"
    empty.write_bytes(data)
    assert whycli.at_moment(tmp_path, "+30", None)["site"]["power_w"] is not None
    assert f"{empty}: no recording of rampd; passed over" in capsys.readouterr().err
    with pytest.raises(RecordingError, match="no recording of rampd"):
        whycli.at_moment(empty, "+30", None)


def test_records_of_another_site_are_refused(minute: Path, tmp_path: Path) -> None:
    data = minute.read_bytes()
    path = tmp_path / "mixed.rec"
    # A frame that names a word which the site does not have.
    record = (1).to_bytes(4, "little") + (28).to_bytes(4, "little") + bytes(8) + b"\xff\xff\xff\x7f" + bytes(8)
    path.write_bytes(data + chunk(record))
    assert "another site" in replay(path, None)["problem"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_damage_passes_for_a_recording(minute: Path, tmp_path: Path, data: st.DataObject) -> None:
    whole = bytearray(minute.read_bytes())
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        whole[at] ^= data.draw(st.integers(1, 255))
    else:
        del whole[at:]
    path = tmp_path / "damaged.rec"
    path.write_bytes(whole)
    try:
        found = replay(path, None)
    except RecordingError as error:
        assert str(path) in str(error)
        return
    assert found["difference"] is None
    # A cut between two chunks is a shorter recording.
    assert found["problem"] or found["ticks"] < 1199
