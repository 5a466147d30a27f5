"""A site on a broker, as the tests of MQTT wait for it."""

from __future__ import annotations

from typing import Any

from tests.bus import Client
from tests.hall import Hall
from tests.waits import until


def stand(hall: Hall, bus: Client) -> None:
    default_w = hall.config.site.default_mw * 1e6

    def there() -> bool:
        hall.daemon.check()
        state = bus.state
        # After a stop the way back is told for an hour, as a warning.
        acting = [one for one in state["failsafe"] if one["action"] != "warn"]
        return state["mode"] == "default" and state["reference_w"] == default_w and not acting

    until(there, 40, "the site stands at its default")


def refusal(bus: Client, command_id: str) -> dict[str, Any]:
    """What a command was refused with."""
    until(lambda: "rejected" in bus.stages(command_id), 5, "the command is refused")
    return bus.acks(command_id)[-1]


def said(bus: Client, topic: str, since_s: float, key: str = "stage") -> str:
    found = bus.of(topic, since_s)
    return str(found[-1].payload[key]) if found else ""
