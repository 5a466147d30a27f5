"""Twelve racks on a broker, and a client that hears all of it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.bus import Client, envelope
from tests.hall import Hall
from tests.mqtt import stand
from tests.waits import until


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    """Twelve racks that all rise quickly, with a journal; before the daemon starts, a retained command lies in wait."""
    edit = {"up_mw_per_min = 0.584\ndown_mw_per_min = 0.584": "up_mw_per_min = 30\ndown_mw_per_min = 30"}
    with Hall(tmp_path_factory.mktemp("mqtt"), state=True, columns={"asic.up_kw_per_s": "109"}, edit=edit) as hall:
        hall.start_sim()
        hall.start_broker()
        with hall.client() as client:
            client.publish("cmd/setpoint", json.dumps(envelope(id="retained", percent=50)), retain=True)
        yield hall


@pytest.fixture(scope="module")
def bus(hall: Hall) -> Iterator[Client]:
    """A client that hears everything from before the daemon's first word."""
    with hall.client() as client:
        hall.start_daemon()
        hall.until_ready()
        until(lambda: client.of("state"), 10, "the first state message")
        yield client


@pytest.fixture
def standing(hall: Hall, bus: Client) -> Client:
    """The site at its default, without a live command."""
    bus.command("reset")
    bus.command("release")
    stand(hall, bus)
    return bus


@pytest.fixture
def dispatched(hall: Hall, standing: Client) -> Client:
    """The site at 80 %."""
    command_id = standing.command("setpoint", percent=80, ramp_s=2)
    standing.until_stage(command_id, "started", 5)
    until(lambda: standing.state["command_id"] == command_id, 5, "a state message of the command")
    target_w = 0.8 * hall.config.site.max_mw * 1e6
    until(lambda: standing.state["reference_w"] == standing.state["requested_w"] == target_w, 20, "a reference of 80 %")
    # A miner that an earlier test put to sleep needs its time to come back.
    until(lambda: abs(standing.state["power_w"] - target_w) < 0.02 * target_w, 60, "the purchase is at 80 %")
    return standing
