"""The MQTT side: status with last will, state, telemetry and meta out; commands in; acknowledgements back.

aiomqtt does not reconnect by itself: the loop is written out here. Every session subscribes anew, checks the broker's
answer, says what it is, and tests itself by a message to its own topic, so that a broker that hangs is noticed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import re
import ssl
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

import rampd
from rampd.daemon import why
from rampd.daemon.answers import Reply
from rampd.daemon.commands import Desk
from rampd.daemon.config import Mqtt
from rampd.daemon.events import Events
from rampd.daemon.heed import apart, cancels, heed
from rampd.daemon.messages import ID, LARGEST, stamp
from rampd.daemon.show import Show
from rampd.ext import views

log = logging.getLogger("rampd.mqtt")

FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 5.0
CONNECT_S: Final = 3.0
SELF_TEST_S: Final = 4.0
SELF_TEST_EVERY_S: Final = 2.0
MOST_PENDING: Final = 2000
MOST_QUESTIONS: Final = 20
BATCH: Final = 10
STRIKES: Final = 3
"""Sessions that end over a message to the site's own topics before it is put aside."""
EVENTS_REST_S: Final = 600.0
DENIED_S: Final = 60.0
MOST_DENIED: Final = 100


class BrokerError(Exception):
    """A session that must be begun anew."""


def secret(path: Path | None) -> str | None:
    """The first line of a file, where one is named. Raises OSError."""
    if path is None:
        return None
    line = path.read_text(encoding="utf-8", errors="replace").partition("\n")[0].strip()
    if not line:
        raise OSError(f"password_file {path}: its first line is empty: write the password there")
    return line


def tls_context(mqtt: Mqtt) -> ssl.SSLContext | None:
    """A fresh context at every connect, so that rotated certificates take effect."""
    if not mqtt.tls:
        return None
    context = ssl.create_default_context(cafile=None if mqtt.ca_file is None else str(mqtt.ca_file))
    if mqtt.cert_file is not None:
        context.load_cert_chain(mqtt.cert_file, mqtt.key_file)
    return context


def _retrieved(loss: asyncio.Future[None]) -> None:
    if not loss.cancelled():
        loss.exception()


@asynccontextmanager
async def connect(
    mqtt: Mqtt, *, name: str, will: aiomqtt.Will | None = None
) -> AsyncIterator[tuple[aiomqtt.Client, bool]]:
    """A client and whether it speaks MQTT 5: 5 where the broker has it, else 3.1.1."""
    versions = {"5": [5], "3.1.1": [4], "auto": [5, 4]}[mqtt.version]
    before = cancels()
    for version in versions:
        client = aiomqtt.Client(
            mqtt.host, mqtt.port, identifier=name, username=mqtt.username, password=secret(mqtt.password_file),
            protocol=aiomqtt.ProtocolVersion(version), will=will, keepalive=mqtt.keepalive_s,
            tls_context=tls_context(mqtt), timeout=CONNECT_S, max_queued_incoming_messages=1000,
            max_queued_outgoing_messages=10000,
        )  # fmt: skip
        try:
            await client.__aenter__()
        except asyncio.CancelledError:
            # When its socket closes, aiomqtt asks a future that was cancelled for its error. It has no public name.
            client._disconnected.cancel()
            raise
        except aiomqtt.MqttError as error:
            # A broker of 3.1.1 refuses MQTT 5, or stumbles over its CONNECT and never answers.
            if version == versions[-1] or not any(word in str(error) for word in ("rotocol", "timed out")):
                raise
            continue
        # A loss that no work of the session waits for would be an error that nobody retrieved. It has no public name.
        client._disconnected.add_done_callback(_retrieved)
        try:
            heed(before)
            yield client, version == 5
        finally:
            # A stop must not become a broker's error on the way out.
            with contextlib.suppress(aiomqtt.MqttError):
                await client.__aexit__(None, None, None)
        return


async def publish(
    client: aiomqtt.Client, topic: str, payload: str | bytes, *, qos: int = 0, retain: bool = False,
    properties: Properties | None = None,
) -> None:  # fmt: skip
    """Publishes, and ends a task that was cancelled meanwhile."""
    before = cancels()
    await client.publish(topic, payload, qos=qos, retain=retain, properties=properties)
    heed(before)


@dataclass(slots=True)
class Suspect:
    """What was on its way when a session ended, and how many sessions in a row."""

    what: object = None
    count: int = 0

    def again(self, what: object) -> int:
        """One more session; how many it were."""
        self.count = self.count + 1 if what == self.what else 1
        self.what = what
        return self.count


class Bus:
    """The site on its broker. `send` may be called at any time; what cannot go now is kept, bounded."""

    def __init__(
        self, mqtt: Mqtt, site_id: str, show: Show, snapshot: Callable[[], views.Outputs],
        dead_men_s: Mapping[str, int],
    ) -> None:  # fmt: skip
        self.mqtt = mqtt
        self.root = f"{mqtt.prefix}/{site_id}"
        self.site_id = site_id
        self.show = show
        self.snapshot = snapshot
        self.dead_men_s = dead_men_s
        self.session = uuid.uuid4().hex[:12]
        self.since = stamp()
        self.connected = False
        self.dropped = 0
        self.outbox: deque[Reply] = deque()
        self.changed = asyncio.Event()
        self.desk: Desk | None = None
        self.events = Events()
        self._sending: Reply | None = None
        self._telling = ""  # the event that is on its way
        self._denied: dict[str, float] = {}  # topics and until when they are left alone
        self._replies, self._events = Suspect(), Suspect()
        self._rest_until_s = 0.0
        self._wake = asyncio.Event()
        self._heard = asyncio.Event()
        self._questions: asyncio.Queue[bytes] = asyncio.Queue(MOST_QUESTIONS)
        self._modern = False

    def send(self, reply: Reply) -> None:
        """Queues an acknowledgement; beyond the bound the oldest goes, counted."""
        if len(self.outbox) >= MOST_PENDING:
            self.outbox.popleft()
            self.dropped += 1
        self.outbox.append(reply)
        self._wake.set()
        self.changed.set()

    @property
    def waiting(self) -> int:
        """Acknowledgements that are not out yet."""
        return len(self.outbox)

    def _status(self, state: str) -> bytes:
        payload = {"state": state, "session": self.session, "version": rampd.__version__, "since": self.since}
        return json.dumps(payload).encode()

    async def run(self) -> None:
        """Connects, serves, and begins again after any loss; says so once per outage."""
        pause_s = FIRST_PAUSE_S
        reported = ""
        will = aiomqtt.Will(f"{self.root}/status", self._status("offline"), qos=1, retain=True)
        while True:
            try:
                await apart(self._session(will))
            except* (aiomqtt.MqttError, BrokerError, OSError) as group:
                problem = str(group.exceptions[0])
                if self.connected:
                    pause_s = FIRST_PAUSE_S
                self._blame()
                if problem != reported:
                    log.warning("broker %s:%d: %s; trying on", self.mqtt.host, self.mqtt.port, problem)
                    reported = problem
            finally:
                self.connected = False
            await asyncio.sleep(pause_s * random.uniform(0.7, 1.3))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _session(self, will: aiomqtt.Will) -> None:
        name = f"rampd-{self.site_id}-{self.session}"
        async with connect(self.mqtt, name=name, will=will) as (client, modern):
            self._modern = modern
            await self._serve(client)

    def _blame(self) -> None:
        """What was on its way when a session ended may be what ended it: no session for ever ends over the same.

        A broker may close the connection over a topic that it does not grant, or does not like.
        """
        reply, self._sending = self._sending, None
        if reply is not None:
            self._blame_reply(reply)
        told, self._telling = self._telling, ""
        if told and self._events.again(told) >= STRIKES:
            log.error("%d sessions ended over event %s: events wait for %g s", STRIKES, told, EVENTS_REST_S)
            self._events = Suspect()
            self._rest_until_s = time.monotonic() + EVENTS_REST_S

    def _blame_reply(self, reply: Reply) -> None:
        """A foreign topic is left alone for a while and the acknowledgement stays, for the site's own topic.

        The session may have ended over anything. Dropped and counted is what has nowhere to go.
        """
        now_s = time.monotonic()
        # Still in the table as it was when this was placed.
        foreign = reply.topic is not None and reply.topic not in self._denied
        self._forget_denied(now_s)
        if foreign and reply.topic is not None and len(self._denied) < MOST_DENIED:
            log.warning(
                "the session ended with an acknowledgement of %s on its way to %r: the site's own topic has it next",
                reply.payload["id"], reply.topic,
            )  # fmt: skip
            self._denied[reply.topic] = now_s + DENIED_S
            return
        if not foreign and self._replies.again(reply) < STRIKES:
            return
        log.error(
            "the session ended with an acknowledgement of %s on its way to %r: it is dropped",
            reply.payload["id"], reply.topic if foreign else "its own topic",
        )  # fmt: skip
        self.dropped += 1
        if self.outbox and self.outbox[0] is reply:
            self.outbox.popleft()

    def _forget_denied(self, now_s: float) -> None:
        self._denied = {topic: until_s for topic, until_s in self._denied.items() if until_s > now_s}

    async def _serve(self, client: aiomqtt.Client) -> None:
        before = cancels()
        topics = [(f"{self.root}/cmd/#", 1), (f"{self.root}/ask/why", 1), (f"{self.root}/selftest/{self.session}", 0)]
        if self._modern:
            # Else the broker hides from a standing subscription that a command was retained.
            options = [(topic, SubscribeOptions(qos=qos, retainAsPublished=True)) for topic, qos in topics]
            granted = await client.subscribe(options)
        else:
            granted = await client.subscribe(topics)
        heed(before)
        if any((code if isinstance(code, int) else code.value) >= 0x80 for code in granted):
            raise BrokerError(f"the broker refused the subscription to {self.root}/cmd/#")
        await publish(client, f"{self.root}/status", self._status("online"), qos=1, retain=True)
        log.info("broker %s:%d: connected, MQTT %s", self.mqtt.host, self.mqtt.port, "5" if self._modern else "3.1.1")
        self.connected = True
        self._wake.set()
        self._questions = asyncio.Queue(MOST_QUESTIONS)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen(client))
                group.create_task(self._reply(client))
                group.create_task(self._tell(client))
                group.create_task(self._answer(client))
                group.create_task(self._state(client))
                group.create_task(self._telemetry(client))
                group.create_task(self._meta(client))
                group.create_task(self._self_test(client))
        except asyncio.CancelledError:
            await self._farewell(client)
            raise

    async def _farewell(self, client: aiomqtt.Client) -> None:
        """A clean stop says so itself; the will is for the other kind."""
        try:
            async with asyncio.timeout(1.0):
                await client.publish(f"{self.root}/status", self._status("stopping"), qos=1, retain=True)
                await client.publish(f"{self.root}/status", self._status("offline"), qos=1, retain=True)
        except (aiomqtt.MqttError, TimeoutError) as error:
            log.warning("the broker did not take the farewell: %s", error)

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            topic = str(message.topic)
            if self.desk is not None:
                self.desk.channel.heard(time.monotonic_ns())
            if topic.startswith(f"{self.root}/selftest/"):
                self._heard.set()
                continue
            payload = message.payload if isinstance(message.payload, bytes) else str(message.payload).encode()
            if topic == f"{self.root}/ask/why":
                if not message.retain:
                    self._ask(payload)
                continue
            verb = topic.removeprefix(f"{self.root}/cmd/")
            properties = message.properties
            reply = getattr(properties, "ResponseTopic", None)
            correlation = getattr(properties, "CorrelationData", None)
            if self.desk is not None:
                self.desk.receive(
                    verb, payload[: LARGEST + 1], retained=message.retain, topic=reply, correlation=correlation
                )

    def _ask(self, payload: bytes) -> None:
        """Questions wait apart, so that none holds up a command; what is asked beyond that is not answered."""
        try:
            self._questions.put_nowait(payload)
        except asyncio.QueueFull:
            log.warning("%s/ask/why: more than %d questions at once: one is left out", self.root, MOST_QUESTIONS)

    async def _answer(self, client: aiomqtt.Client) -> None:
        """What holds the site and a rack, to whoever asked; a question without an id cannot be answered."""
        while True:
            payload = await self._questions.get()
            try:
                name, rack = why.question(payload)
            except (ValueError, RecursionError) as error:
                log.warning("%s/ask/why: %s", self.root, error)
                continue
            answer = self.show.why(self.snapshot(), rack)
            await publish(client, f"{self.root}/answer/{name}", json.dumps(answer))

    def _place(self, reply: Reply) -> str:
        """Where an acknowledgement goes: what a broker does not take at its sender's topic, to the site's own."""
        self._forget_denied(time.monotonic())
        if reply.topic is None or reply.topic in self._denied:
            name = reply.payload["id"]
            # One out of a state file that somebody wrote may be no level of a topic.
            return f"{self.root}/ack/{name if re.fullmatch(ID, name) else 'invalid'}"
        return reply.topic

    async def _reply(self, client: aiomqtt.Client) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self.outbox:
                reply = self.outbox[0]
                topic = self._place(reply)
                properties = None
                if self._modern and reply.correlation is not None:
                    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
                    properties.CorrelationData = reply.correlation
                self._sending = reply
                await publish(client, topic, json.dumps(reply.payload), qos=1, properties=properties)
                self._sending = None
                if self.outbox and self.outbox[0] is reply:
                    self.outbox.popleft()

    async def _tell(self, client: aiomqtt.Client) -> None:
        """Events in their order; one is delivered when the broker has acknowledged it."""
        await asyncio.sleep(max(0.0, self._rest_until_s - time.monotonic()))
        while True:
            self.events.changed.clear()
            while (event := self.events.first()) is not None:
                self._telling = str(event.get("seq", event["type"]))
                await publish(client, f"{self.root}/event/{event['type']}", json.dumps(event), qos=1)
                self._telling = ""
                self.events.delivered(event.get("seq"))
            await self.events.changed.wait()

    async def _state(self, client: aiomqtt.Client) -> None:
        while True:
            payload = self.show.state(self.snapshot())
            await publish(client, f"{self.root}/state", json.dumps(payload), qos=1, retain=True)
            self.changed.clear()
            try:
                async with asyncio.timeout(1.0):
                    await self.changed.wait()
            except TimeoutError:
                continue

    async def _telemetry(self, client: aiomqtt.Client) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            fresh = self.show.nameplates.fresh
            while fresh:
                # Taken out before: what is read while this goes out is fresh again.
                await self._meta(client, {fresh.pop()})
            for k, (topic, payload) in enumerate(self.show.telemetry(self.snapshot())):
                await publish(client, f"{self.root}/{topic}", json.dumps(payload))
                if k % BATCH == BATCH - 1:
                    await asyncio.sleep(0)
            due_s = max(due_s + 1.0, loop.time())
            await asyncio.sleep(due_s - loop.time())

    async def _meta(self, client: aiomqtt.Client, only: Set[str] | None = None) -> None:
        if only is None:
            self.show.nameplates.fresh.clear()
        for topic, payload in self.show.meta(self.dead_men_s, only):
            await publish(client, f"{self.root}/{topic}", json.dumps(payload), qos=1, retain=True)

    async def _self_test(self, client: aiomqtt.Client) -> None:
        while True:
            self._heard.clear()
            await publish(client, f"{self.root}/selftest/{self.session}", b"?")
            try:
                async with asyncio.timeout(SELF_TEST_S):
                    await self._heard.wait()
            except TimeoutError:
                raise BrokerError("our own message did not come back: the broker hangs or denies it") from None
            await asyncio.sleep(SELF_TEST_EVERY_S)
