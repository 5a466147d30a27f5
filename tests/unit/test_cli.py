"""The command line: exit codes, and which stream says what."""

from __future__ import annotations

import argparse
import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rampd
from rampd.daemon import cli, demo, halls, whycli
from tests.hall import RAMPD

NET = 96


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A sound site whose broker nobody runs."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    return halls.write(halls.Hall("here", 4, NET, port, 0), tmp_path)


@pytest.fixture(autouse=True)
def nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No site but the test's own: neither one of the environment nor a running demo."""
    monkeypatch.delenv("RAMPD_CONFIG", raising=False)
    monkeypatch.setattr(demo, "POINTER", tmp_path / "nowhere.json")


def run(*arguments: str | Path) -> int:
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as ended:
        return int(ended.code or 0)


def parsers(top: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """It and all below it."""
    yield top
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from parsers(below)


@pytest.mark.parametrize("parser", list(parsers(cli.parser())), ids=lambda parser: parser.prog)
def test_every_command_has_its_help(parser: argparse.ArgumentParser) -> None:
    assert parser.format_help().startswith(f"usage: {parser.prog}")


# Usage: 2, with a word on stderr and nothing on stdout.


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["dance"], ["run"], ["sim"], ["check"], ["maps"], ["maps", "dance"], ["run", "--config"],
        ["demo", "--racks", "3"], ["demo", "--racks", "2001"], ["demo", "--racks", "many"], ["demo", "--seconds", "59"],
        ["demo", "--seconds", "soon"], ["demo", "--seconds", "-60"], ["set"], ["set", "40%", "--in", "0s"],
        ["set", "40%", "--in", "soon"], ["set", "40%", "--lease", "1y"], ["set", "40%", "--lease", "1e99s"],
        ["set", "40%", "--in", "\u0665s"], ["set", "40%", "--in", "nan"], ["set", "40%", "--lease", "1_0s"],
        ["set", "\u0661MW", "--config", "x"], ["demo", "--racks", "\u00b2\u2070"], ["demo", "--racks", "\u0661\u0662"],
        ["probe", "h", "--unit", "\u0661"], ["probe", "h", "--timeout", "\u0661"], ["qualify", "--step", "\u0661"],
        ["qualify", "--hours", "0.2"],
        ["status", "--watch", "now"], ["maps", "show", "no-such-map"], ["release"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_usage(arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "Path", lambda name: Path("/nonexistent") if name == "/etc/rampd" else Path(name))
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.strip()
    assert "Traceback" not in err


@pytest.mark.parametrize("power", ["8", "fast", "8GW", ""])
def test_words_that_are_no_power(site: Path, power: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("set", "--config", site, "--", power) == 2
    assert "write 8MW" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5", 5), ("5s", 5), ("250ms", 0.25), ("2min", 120), ("2m", 120), ("1.5h", 5400), (".5s", 0.5), ("5.s", 5)],
)
def test_times(text: str, seconds: float) -> None:
    assert cli.parser().parse_args(["set", "40%", "--in", text]).ramp == seconds


@pytest.mark.parametrize("power", ["-2MW", "-500kW", "+2MW"])
def test_a_change_is_no_option(site: Path, power: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("set", power, "--config", site) == 69
    assert "broker" in capsys.readouterr().err


# Configuration: 78, with every problem and its place.

BROKEN = {
    "no such file": (None, "", "no such file"),
    "no TOML": ("site.toml", "[site\n", "not TOML"),
    "unknown key": ("site.toml", ("max_mw =", "max_mv ="), "did you mean 'max_mw'?"),
    "missing key": ("site.toml", ("min_mw = 0\n", ""), None),
    "out of reason": ("site.toml", ("hz = 20", "hz = 2000"), "control.hz"),
    "no number": ("site.toml", ("hz = 20", 'hz = "fast"'), "control.hz"),
    "limits contradict": ("site.toml", ("min_mw = 0", "min_mw = 50"), "contradict"),
    "no such fleet": ("site.toml", ('"racks.csv"', '"rucks.csv"'), "rucks.csv"),
    "no such map": ("racks.csv", ("rack-power", "rack-powers"), "did you mean 'rack-power'?"),
    "unknown column": ("racks.csv", ("fallback_kw", "falback_kw"), "fallback_kw"),
    "a duplicate": ("racks.csv", ("gpu-002", "gpu-001"), "duplicate"),
    "no such node": ("racks.csv", ("pdu-001", "pdu-009"), "pdu-009"),
    "no such parent": ("nodes.csv", ("feeder,main", "feeder,mein"), "mein"),
}


@pytest.mark.parametrize("name", [name for name, broken in BROKEN.items() if broken[2] is not None])
@pytest.mark.parametrize("command", ["check", "run", "sim", "set", "status"])
def test_configuration(site: Path, name: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    file, change, words = BROKEN[name]
    if file is None:
        site.unlink()
    elif isinstance(change, str):
        site.write_text(change, encoding="utf-8")
    else:
        path = site.parent / file
        text = path.read_text(encoding="utf-8")
        assert change[0] in text
        path.write_text(text.replace(*change, 1), encoding="utf-8")
    arguments: dict[str, list[str | Path]] = {
        "check": [site], "run": ["--config", site], "sim": ["--config", site], "set": ["--config", site, "40%"],
        "status": ["--config", site],
    }  # fmt: skip
    assert run(command, *arguments[command]) == 78
    out, err = capsys.readouterr()
    assert out == ""
    assert words is not None
    assert words in err
    assert str(site.parent) in err, "the file stands before the problem"
    assert err.rstrip().splitlines()[-1].split()[1].startswith("problem")


def test_all_problems_at_once(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = site.read_text(encoding="utf-8").replace("hz = 20", "hz = 2000").replace("deadman_s = 30", "deadman_s = 1")
    site.write_text(text, encoding="utf-8")
    assert run("check", site) == 78
    assert "2 problems" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "code"),
    [("nonsense", 78), ('name = "x"\n', 78), (None, 69)],
)
def test_a_map_that_is_none(tmp_path: Path, text: str | None, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.toml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    assert run("maps", "lint", path) == code
    assert "mine.toml" in capsys.readouterr().err


def test_a_map_that_is_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe")
    assert run("maps", "lint", path) == 78
    assert "UTF-8" in capsys.readouterr().err


# Unavailable: 69, with what to look at.


@pytest.mark.parametrize(
    "command",
    [["set", "40%"], ["regulate", "-50%"], ["release"], ["hold"], ["estop"], ["reset"], ["status"]],
    ids=" ".join,
)
def test_no_broker(site: Path, command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command[0], "--config", site, *command[1:]) == 69
    out, err = capsys.readouterr()
    assert out == ""
    assert "broker 127.0.0.1:" in err


def test_a_port_that_is_taken(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        text = site.read_text(encoding="utf-8").replace("port = 0", f"port = {port}")
        site.write_text(text, encoding="utf-8")
        assert run("run", "--config", site) == 69
    assert f"127.0.0.1:{port}" in capsys.readouterr().err


def test_a_device_address_that_is_taken(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((f"127.{NET}.0.1", halls.PORT))
        sock.listen()
        assert run("sim", "--config", site) == 69
    assert f"127.{NET}.0.1" in capsys.readouterr().err


@pytest.mark.parametrize("faults", ["", '[[fault]]\ndevice = "nobody"\nkind = "down"\n', '[[fault]]\ndevice = "*"\n'])
def test_a_fault_file_that_cannot_be_used(site: Path, faults: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = site.parent / "faults.toml"
    if faults:
        path.write_text(faults, encoding="utf-8")
    assert run("sim", "--config", site, "--faults", path) == 69
    assert "faults.toml" in capsys.readouterr().err or "nobody" in faults


# Done: 0.


def test_what_a_site_is(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", site) == 0
    assert "4 racks" in capsys.readouterr().out
    assert run("check", site, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["site"], found["racks"], found["without_dead_man"]) == ("here", 4, [])


def test_maps(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("maps", "list") == 0
    assert "rack-power" in capsys.readouterr().out
    assert run("maps", "lint") == 0
    assert "no problem" in capsys.readouterr().out
    assert run("maps", "show", "rack-power") == 0
    assert "limit_w" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"rampd {rampd.__version__}\n"


# Which site: the option, the environment, the running demo.


def test_the_environment_names_the_site(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAMPD_CONFIG", str(site))
    assert run("release") == 69
    assert "broker" in capsys.readouterr().err


@pytest.mark.parametrize(("alive", "code"), [(True, 69), (False, 2)])
def test_a_running_demo_is_found(
    site: Path, alive: bool, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pointer = site.parent / "demo.json"
    pid = os.getpid() if alive else 2**22 + 1
    pointer.write_text(json.dumps({"pid": pid, "site": str(site)}), encoding="utf-8")
    monkeypatch.setattr(demo, "POINTER", pointer)
    assert run("release") == code
    assert ("broker" if code == 69 else "which site?") in capsys.readouterr().err


@pytest.mark.parametrize("name", ["north", "../north", "link"])
def test_recordings_are_looked_for_where_the_service_of_the_site_writes_them(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the folder that the site file is named in, which may be a link: rampd@link writes to rampd/link."""
    (tmp_path / "etc" / "north").mkdir(parents=True)
    (tmp_path / "etc" / "link").symlink_to("north")
    monkeypatch.chdir(tmp_path / "etc" / "north" if name.startswith("..") else tmp_path / "etc")
    monkeypatch.setattr(whycli, "STATE", tmp_path)
    assert run("why", "--at", "+5", "--config", f"{name}/site.toml") == 1
    assert f"{tmp_path / Path(name).name / 'recordings'}: " in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": "x"}'])
def test_a_broken_pointer_is_no_demo(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pointer = tmp_path / "demo.json"
    pointer.write_text(text, encoding="utf-8")
    monkeypatch.setattr(demo, "POINTER", pointer)
    assert demo.running() is None


def test_a_reader_that_goes_away_is_no_trouble(site: Path) -> None:
    """`rampd maps show NAME | head -1`, with the pipe closed before anything was written."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*RAMPD, "maps", "show", "rack-power"], stdout=write, stderr=subprocess.PIPE, cwd=site.parent, timeout=60,
        check=False, env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    os.close(write)
    assert done.returncode == 1
    assert done.stderr == b""
    assert sys.executable in RAMPD


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "arguments",
    [["maps", "list"], ["maps", "show", "rack-power"], ["check", "site.toml"], ["check", "site.toml", "--json"]],
    ids=" ".join,
)
def test_an_output_that_takes_nothing_more_is_told(site: Path, arguments: list[str], unbuffered: str) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*RAMPD, *arguments], stdout=full, stderr=subprocess.PIPE, cwd=site.parent, timeout=60, check=False,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, b"standard output: No space left on device\n")


def test_an_output_that_is_closed_is_none(site: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *RAMPD, "maps", "list"], capture_output=True, cwd=site.parent, timeout=60,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EPIPE])
def test_an_error_of_something_else_is_none_of_the_output(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A disk or a socket that fails names no file either."""

    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(cli.sitecheck, "load", fails)
    stream = sys.stdout
    with pytest.raises(OSError, match=os.strerror(number)):
        cli.main(["check", "site.toml"])
    assert sys.stdout is stream
    assert capsys.readouterr() == ("", "")
