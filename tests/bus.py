"""A client of the broker that keeps all it hears, and sends commands as a grid desk does."""

from __future__ import annotations

import json
import threading
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.waits import until

ENDS: Final = ("rejected", "reached", "partial", "failed", "ended")


@dataclass(frozen=True, slots=True)
class Message:
    """What a client received; the topic counts from the site's root. `at` is CLOCK_MONOTONIC in s."""

    at: float
    topic: str
    data: bytes
    retain: bool
    correlation: bytes | None

    @property
    def payload(self) -> dict[str, Any]:
        found = json.loads(self.data)
        assert isinstance(found, dict)
        return found


class Client:
    """An MQTT client that keeps all it hears, in order."""

    def __init__(self, host: str, port: int, root: str, *, version: int = 5) -> None:
        self.root = root
        self.messages: list[Message] = []
        self._ready = threading.Event()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            protocol=paho.MQTTv5 if version == 5 else paho.MQTTv311,
            reconnect_on_failure=True,
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_disconnect = lambda *_: self._ready.clear()
        self._client.on_message = self._heard
        self._client.connect(host, port, keepalive=5)
        self._client.loop_start()
        try:
            self.connected()
        except AssertionError:
            self.__exit__(None, None, None)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _heard(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        topic = message.topic.removeprefix(f"{self.root}/")
        correlation = getattr(message.properties, "CorrelationData", None)
        self.messages.append(Message(time.monotonic(), topic, message.payload, message.retain, correlation))

    def connected(self, within_s: float = 10.0) -> None:
        """Waits until connected and subscribed to everything."""
        assert self._ready.wait(within_s), "the test's own MQTT client does not connect"

    def publish(
        self, topic: str, payload: bytes | str, *, retain: bool = False, response: str | None = None,
        correlation: bytes | None = None,
    ) -> None:  # fmt: skip
        """Publishes below the site's root and waits for the broker to take it."""
        properties = None
        if response is not None or correlation is not None:
            properties = Properties(PacketTypes.PUBLISH)
            if response is not None:
                properties.ResponseTopic = response
            if correlation is not None:
                properties.CorrelationData = correlation
        sent = self._client.publish(f"{self.root}/{topic}", payload, qos=1, retain=retain, properties=properties)
        sent.wait_for_publish(10.0)
        assert sent.is_published()

    def command(self, verb: str, **fields: Any) -> str:
        """Sends a command with a sound envelope; returns its id."""
        made = envelope(**fields)
        self.publish(f"cmd/{verb}", json.dumps(made))
        return str(made["id"])

    def of(self, topic: str, since_s: float = 0.0) -> list[Message]:
        return [m for m in list(self.messages) if m.topic == topic and m.at >= since_s]

    def acks(self, command_id: str) -> list[dict[str, Any]]:
        return [m.payload for m in self.of(f"ack/{command_id}")]

    def stages(self, command_id: str) -> list[str]:
        return [ack["stage"] for ack in self.acks(command_id)]

    def until_stage(self, command_id: str, stage: str, within_s: float) -> dict[str, Any]:
        """Waits for a stage of a command; another end of it fails at once."""
        deadline_s = time.monotonic() + within_s
        while True:
            acks = self.acks(command_id)
            if found := next((ack for ack in acks if ack["stage"] == stage), None):
                return found
            ended = [ack for ack in acks if ack["stage"] in ENDS]
            if (ended and ended[-1]["stage"] != "reached") or time.monotonic() > deadline_s:
                raise AssertionError(f"{command_id} not {stage} within {within_s:g} s: {acks}")
            time.sleep(0.02)

    def states(self, since_s: float = 0.0) -> list[dict[str, Any]]:
        return [m.payload for m in self.of("state", since_s)]

    @property
    def state(self) -> dict[str, Any]:
        """The newest state message."""
        return self.of("state")[-1].payload

    def next_state(self, within_s: float = 5.0) -> dict[str, Any]:
        """A state that was not there before, with a tick of the loop in between."""
        now_s = time.monotonic() + 0.2
        until(lambda: self.of("state", now_s), within_s, "a new state message")
        return self.state


def envelope(**fields: Any) -> dict[str, Any]:
    """A command's payload; `fields` add to it and, with None, take away."""
    now = datetime.now(UTC)
    made: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "issued_at": now.isoformat(),
        "expires_at": (now + timedelta(seconds=30)).isoformat(),
    }
    made |= fields
    return {key: value for key, value in made.items() if value is not None}


def after(seconds: float) -> str:
    """A time stamp so many seconds from now."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
