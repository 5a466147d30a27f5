"""Events reach who listens, each once by its number and in order, whatever happens to the broker and to the daemon."""

from __future__ import annotations

import itertools
from pathlib import Path
from signal import SIGCONT, SIGHUP, SIGKILL, SIGSTOP
from typing import Any

from rampd.daemon.events import AHEAD
from tests.bus import Client
from tests.hall import Hall
from tests.waits import until


def heard(bus: Client) -> list[dict[str, Any]]:
    return [message.payload for message in list(bus.messages) if message.topic.startswith("event/")]


def results(bus: Client) -> list[str]:
    """What reloads of the site file were told to have come to, each once."""
    return list({one["seq"]: one["result"] for one in heard(bus) if one["type"] == "config"}.values())


def reload(hall: Hall, text: str) -> None:
    """A reload, noted while no broker is there."""
    before = hall.metrics().value("rampd_events_pending")
    hall.site.write_text(text, encoding="utf-8")
    hall.daemon.send(SIGHUP)
    until(lambda: hall.metrics().value("rampd_events_pending") > before, 15, "the reload is an event that waits")


def silence(hall: Hall) -> None:
    hall.broker.stop(SIGKILL)
    until(lambda: hall.metrics().value("rampd_mqtt_connected") == 0, 10, "the daemon is without a broker")


def check(found: list[dict[str, Any]]) -> None:
    """Numbers go up, without a gap but that of the kill; what comes twice is the same."""
    told: dict[int, dict[str, Any]] = {}
    for one in found:
        assert told.setdefault(one["seq"], one) == one
    numbers = list(told)
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    assert sorted(steps)[:-1] == [1] * (len(steps) - 1)
    assert AHEAD // 2 <= max(steps) <= AHEAD
    assert not any(one["type"] == "dropped" for one in found)


def test_events_outlast_the_broker_and_the_daemon(tmp_path: Path) -> None:
    with Hall(tmp_path, racks=4, state=True) as hall:
        hall.start_sim()
        hall.start_broker()
        with hall.client() as bus:
            good = hall.site.read_text(encoding="utf-8")
            hall.start_daemon()
            hall.until_ready()
            command = bus.command("hold", who="iso")
            bus.until_stage(command, "reached", 10)
            until(lambda: [e for e in heard(bus) if e.get("stage") == "reached"], 10, "the event of the command")

            silence(hall)
            reload(hall, good + "\nnonsense = 1\n")
            reload(hall, good)
            # The daemon waits until the client listens: nothing is retained.
            hall.daemon.send(SIGSTOP)
            hall.start_broker()
            bus.connected(20)
            hall.daemon.send(SIGCONT)
            until(lambda: results(bus) == ["refused", "unchanged"], 20, "what happened without a broker")

            silence(hall)
            reload(hall, good)
            state = hall.folder / "state" / "events.jsonl"
            until(lambda: state.read_text(encoding="utf-8").count('"config"') == 3, 5, "it is on disk")
            hall.daemon.stop(SIGKILL)
            hall.start_broker()
            bus.connected(20)
            hall.start_daemon()
            hall.until_ready()
            until(lambda: len(results(bus)) == 3, 20, "what happened before the daemon was killed")
            until(lambda: hall.metrics().value("rampd_events_pending") == 0, 10, "nothing waits any more")
            found = heard(bus)
        assert not any(message.retain for message in bus.messages if message.topic.startswith("event/"))
        check(found)
        assert [one["stage"] for one in found if one.get("id") == command][:2] == ["accepted", "reached"]
        assert [one["state"] for one in found if one["type"] == "daemon"] == ["started", "started"]
        assert any(one["type"] == "mode" and one["mode"] == "hold" for one in found)
        assert hall.metrics().value("rampd_events_dropped_total") == 0
