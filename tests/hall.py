"""A hall of its own for a test: simulator, broker and daemon as real processes, seen only from outside.

Every hall has loopback addresses of its own, also for its broker and its HTTP port, and holds a lock on them, so that
any number of test processes can run side by side.
"""

from __future__ import annotations

import csv
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Self

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from rampd.daemon import halls, sitecheck
from rampd.daemon.config import Config
from rampd.daemon.equipment import Rack
from tests.bus import Client
from tests.waits import Found, until

ROOT: Final = Path(__file__).resolve().parents[1]
RAMPD: Final = [sys.executable, "-m", "rampd.daemon.cli"]
MOSQUITTO: Final = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
FIRST_NET: Final = 100
START_S: Final = 60.0


def get(url: str, accept: str = "*/*") -> tuple[int, str, str]:
    """Status, content type and text of a GET; status 0 when nothing listens."""
    request = urllib.request.Request(url, headers={"Accept": accept})
    try:
        with urllib.request.urlopen(request, timeout=5.0) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()
    except OSError:
        return 0, "", ""


def tool(name: str, package: str) -> str:
    """The path of a program that the tests need; its absence fails the test."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    assert found is not None, f"{name} is not installed: apt-get install {package}"
    return found


class Process:
    """A child process with its output in a file; ended with the block."""

    def __init__(self, name: str, command: list[str], folder: Path, env: dict[str, str] | None = None) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, env=os.environ | (env or {})
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._popen.poll()

    @property
    def words(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def check(self) -> None:
        assert self.code is None, f"{self.name} ended with {self.code}:\n{self.words[-3000:]}"

    def send(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM, within_s: float = 15.0) -> int:
        """Sends a signal and waits for the end; returns the exit code."""
        self.send(number)
        return self._popen.wait(within_s)

    def close(self) -> None:
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGCONT)
            self._popen.terminate()
            try:
                self._popen.wait(10.0)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()


def take_net() -> tuple[int, IO[str]]:
    """Second byte of four neighbouring loopback nets, and the lock that keeps them ours."""
    for net in range(FIRST_NET, 250, 4):
        lock = (Path(tempfile.gettempdir()) / f"rampd-test-net-{net}.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as sock:
                host, _, port = halls.address(net, 0, 0).partition(":")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((host, int(port)))
        except OSError:
            lock.close()
            continue
        return net, lock
    raise AssertionError("no loopback addresses are free for a hall")


def _set_columns(path: Path, columns: dict[str, str]) -> None:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for name, value in columns.items():
        kind, _, column = name.rpartition(".")
        assert column in rows[0] or column in Rack.model_fields, column
        for row in rows:
            row[column] = value if kind in ("", row["kind"]) else row.get(column, "")
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        out.writeheader()
        out.writerows(rows)


@dataclass
class Hall:
    """A written hall and the processes that run it.

    `edit` changes site.toml; `columns` sets columns of racks.csv, `node_columns` of nodes.csv: "limit_kw", or
    "gpu.limit_kw" for the rows of one kind. With `example`, it is that one of examples/ at addresses of its own.
    """

    folder: Path
    racks: int = 12
    edit: dict[str, str] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    node_columns: dict[str, str] = field(default_factory=dict)
    faults: str = ""
    state: bool = False
    mqtt_version: str = ""
    example: str = ""

    site: Path = field(init=False)
    config: Config = field(init=False)
    parts: dict[str, Process] = field(init=False, default_factory=dict)
    born_s: float = field(init=False, default=0.0)

    def __enter__(self) -> Self:
        self.net, self._lock = take_net()
        self.broker_host = f"127.{self.net}.255.1"
        self.http_host = f"127.{self.net}.255.2"
        written = halls.Hall("hall", self.racks, self.net)
        self.site = self._example() if self.example else halls.write(written, self.folder)
        text = self.site.read_text(encoding="utf-8")
        mqtt_extra = f'\nversion = "{self.mqtt_version}"' if self.mqtt_version else ""
        changes = {
            '[mqtt]\nhost = "127.0.0.1"': f'[mqtt]\nhost = "{self.broker_host}"{mqtt_extra}',
            '[http]\nhost = "127.0.0.1"': f'[mirror]\nhost = "{self.http_host}"\n\n[http]\nhost = "{self.http_host}"',
        }
        for old, new in (changes | self.edit).items():
            assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in site.toml"
            text = text.replace(old, new)
        self.site.write_text(text, encoding="utf-8")
        _set_columns(self.site.parent / "racks.csv", self.columns)
        _set_columns(self.site.parent / "nodes.csv", self.node_columns)
        if self.faults:
            (self.folder / "faults.toml").write_text(self.faults, encoding="utf-8")
        self.config = sitecheck.load(self.site)
        return self

    def _example(self) -> Path:
        """A copy of the example; its second address byte becomes ours, and [mirror] is written as all halls have it."""
        for path in (ROOT / "examples" / self.example).iterdir():
            text = path.read_text(encoding="utf-8").replace("127.12.", f"127.{self.net}.")
            text = text.replace('[mirror]\nhost = "127.0.0.1"\nport = 1502\n', "")
            (self.folder / path.name).write_text(text, encoding="utf-8")
        return self.folder / "site.toml"

    def __exit__(self, *_: object) -> None:
        try:
            for part in reversed(self.parts.values()):
                part.close()
        finally:
            self._lock.close()

    # Processes.

    def _start(self, name: str, command: list[str], env: dict[str, str] | None = None) -> Process:
        if name in self.parts:
            self.parts[name].close()
        self.parts[name] = Process(name, command, self.folder, env)
        return self.parts[name]

    def start_sim(self) -> Process:
        """The devices; returns once all listen. `since` counts from here."""
        faults = ["--faults", str(self.folder / "faults.toml")] if self.faults else []
        truth = ["--truth", str(self.folder / "truth.jsonl")]
        sim = self._start("sim", [*RAMPD, "sim", "--config", str(self.site), *truth, *faults])

        def listens() -> bool:
            sim.check()
            return "devices listen" in sim.words

        until(listens, START_S, "the simulated devices listen")
        self.born_s = time.monotonic()
        return sim

    def start_broker(self, port: int = 0) -> Process:
        """mosquitto; returns once it listens. With a port of its own, something stands between it and the site."""
        user = "user root\n" if os.geteuid() == 0 else ""
        conf, port = self.folder / "mosquitto.conf", port or self.config.mqtt.port
        conf.write_text(
            f"listener {port} {self.broker_host}\nallow_anonymous true\npersistence false\n{user}",
            encoding="utf-8",
        )
        return self.start_other_broker([tool("mosquitto", "mosquitto"), "-c", str(conf)], port)

    def start_other_broker(self, command: list[str], port: int = 0) -> Process:
        """Any broker that listens where the site file says."""
        broker = self._start("broker", command)

        def listens() -> bool:
            broker.check()
            with socket.socket() as sock:
                return sock.connect_ex((self.broker_host, port or self.config.mqtt.port)) == 0

        until(listens, START_S, "the broker listens")
        return broker

    def start_daemon(self, *options: str, env: dict[str, str] | None = None) -> Process:
        """rampd run; does not wait."""
        state = {"STATE_DIRECTORY": str(self.folder / "state")} if self.state else {}
        return self._start("daemon", [*RAMPD, "run", "--config", str(self.site), *options], state | (env or {}))

    def start(self) -> Self:
        """Everything; returns once the site is under control."""
        self.start_sim()
        self.start_broker()
        self.start_daemon()
        self.until_ready()
        return self

    @property
    def broker(self) -> Process:
        return self.parts["broker"]

    @property
    def daemon(self) -> Process:
        return self.parts["daemon"]

    def until_ready(self, within_s: float = START_S) -> None:
        def ready() -> bool:
            self.daemon.check()
            return self.ready[0] == 200

        until(ready, within_s, "rampd is ready")

    # What it shows.

    @property
    def since_s(self) -> float:
        """Time of the simulated hall, in which the fault file counts."""
        return time.monotonic() - self.born_s

    def url(self, path: str) -> str:
        return f"http://{self.http_host}:{self.config.http.port}{path}"

    @property
    def ready(self) -> tuple[int, str]:
        status, _, text = get(self.url("/readyz"))
        return status, text.strip()

    def until_time(self, at_s: float) -> None:
        """Waits for a moment of the fault file. Fails when it has passed: the hall came up too slowly."""
        assert self.since_s < at_s, f"the hall is at {self.since_s:.1f} s already"
        until(lambda: self.since_s >= at_s, at_s + 1, f"{at_s:g} s of the hall's time")

    @property
    def root(self) -> str:
        return f"{self.config.mqtt.prefix}/{self.config.site.id}"

    def client(self, version: int = 5) -> Client:
        return Client(self.broker_host, self.config.mqtt.port, self.root, version=version)

    def metrics(self) -> Samples:
        status, _, text = get(self.url("/metrics"))
        assert status == 200, status
        return Samples(text)

    def metric(self, name: str, **labels: str) -> float | None:
        """One sample, None when it is not there."""
        return self.metrics().get(name, **labels)

    def truth(self) -> list[dict[str, Any]]:
        """What the plant truly did, up to now."""
        lines = (self.folder / "truth.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def settled(self, power_w: float, *, ratio: float = 0.01, for_s: float = 2.0) -> bool:
        """Whether the purchase has truly stood at a power."""
        lines = self.truth()[-round(10 * for_s) :]
        return all(abs(line["poi_w"] - power_w) <= ratio * power_w for line in lines)

    def limits_broken(self, since_s: float = 0.0) -> list[dict[str, Any]]:
        """Truth lines in which a rack, a node or the site was above its limit; `since_s` counts in the hall's time."""
        lines = self.truth()
        lines = [line for line in lines if line["at"] - lines[0]["at"] >= since_s]
        assert len(lines) > 10
        limits = ("rack_over_w", "limit_over_w", "node_over_w", "site_over_w")
        return [line for line in lines if any(line[limit] > 1.0 for limit in limits)]


class Samples:
    """An exposition; a sample is named by as many labels as tell it apart."""

    def __init__(self, text: str) -> None:
        self.all = [s for family in text_string_to_metric_families(text) for s in family.samples]

    def having(self, name: str, **labels: str) -> list[Sample]:
        return [s for s in self.all if s.name == name and labels.items() <= s.labels.items()]

    def get(self, name: str, **labels: str) -> float | None:
        """One value, None when it is not there."""
        found = self.having(name, **labels)
        assert len(found) <= 1, f"{name} {labels} is not one sample: {found}"
        return found[0].value if found else None

    def value(self, name: str, **labels: str) -> float:
        """One value, which must be there."""
        found = self.get(name, **labels)
        assert found is not None, f"there is no {name} {labels}"
        return found


@contextmanager
def beside(work: Callable[[], Found]) -> Iterator[Future[Found]]:
    """Runs something in a thread while the block runs; the block may ask for its result."""
    future: Future[Found] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001
            future.set_exception(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield future
    finally:
        thread.join()
