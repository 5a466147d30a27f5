"""The command desk: what was asked, what holds now, and what became of it.

A command is parsed, checked against clock, ids and limits, and becomes the one command that the core follows; the
latest replaces. Its lease runs in the core on the monotonic clock; here its life is told to whoever sent it.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from rampd.daemon import admit, life, messages
from rampd.daemon.channel import Channel
from rampd.daemon.journal import Journal
from rampd.daemon.life import Live
from rampd.daemon.messages import Command, Rejected, Stage
from rampd.daemon.order import Order
from rampd.daemon.site import Composed
from rampd.ext import codes, views

log = logging.getLogger("rampd.commands")

MOST_WAITING: Final = 100
_NAMES: Final = {codes.STAND: "release", codes.TRACK: "setpoint", codes.HOLD: "hold", codes.ESTOP: "estop"}


@dataclass(frozen=True, slots=True)
class Reply:
    """An acknowledgement on its way; `topic` None is the site's own ack topic."""

    payload: dict[str, Any]
    topic: str | None
    correlation: bytes | None


class Desk:
    """All commands of a site. `receive` takes one from outside, `tick` follows the live one."""

    def __init__(
        self, composed: Composed, inputs: views.Inputs, journal: Journal, send: Callable[[Reply], None]
    ) -> None:
        self.composed = composed
        self.site = composed.config.site
        self.inputs = inputs
        self.journal = journal
        self.send = send
        self.live: Live | None = None
        self.latched_stop = False
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.mean_w = math.nan
        self.reference_w = 0.0
        self.range_w = (0.0, math.inf)
        self.waiting: deque[tuple[float, str, Command, str | None, bytes | None]] = deque()
        self.observe: Callable[[float], None] = lambda _: None
        self.channel = Channel(round(composed.config.control.channel_grace_s * 1e9), time.monotonic_ns())
        self.hold_max_ns = views.limits(composed.limits).site.hold_max_ns
        self._lost = False
        self._mean_ns = 0

    def receive(
        self, verb: str, payload: bytes, *, retained: bool = False, topic: str | None = None,
        correlation: bytes | None = None,
    ) -> None:  # fmt: skip
        """One message on cmd/{verb}; everything that happens to it is said through `send`."""
        command_id = "invalid"
        impossible = topic is not None and not messages.may_answer_on(topic)
        if impossible:
            topic = None
        try:
            command = messages.parse(verb, payload)
            command_id = command.id
            if impossible:
                raise Rejected("malformed", "the response topic is no plain topic, or one of commands", command_id)
            topic = topic or command.reply_to
            admit.check(command, self.journal.seen, retained=retained, now_s=time.time())
            if not self.latched_stop and verb == "reset":
                raise Rejected("nothing", "there is nothing to reset", command_id)
            self._say(verb, command_id, "received", topic=topic, correlation=correlation)
            self.journal.remember(command_id, "received")
            start_s = admit.start_in(command, time.time())
            if start_s > 0:
                if len(self.waiting) >= MOST_WAITING:
                    raise Rejected("busy", f"{MOST_WAITING} commands wait already", command_id)
                self.waiting.append((time.monotonic() + start_s, verb, command, topic, correlation))
                self._say(
                    verb, command_id, "accepted", topic=topic, correlation=correlation,
                    message=f"begins in {start_s:.0f} s",
                )  # fmt: skip
                return
            self._begin(verb, command, topic, correlation)
        except Rejected as error:
            command_id = error.command_id if command_id == "invalid" else command_id
            log.warning("command %s %s rejected: %s: %s", verb, command_id, error.code, error)
            if error.code != "repeated":
                self.journal.remember(command_id, "rejected")
            self._say(
                verb if verb in messages.VERBS else "unknown", command_id, "rejected", code=error.code,
                message=str(error), topic=topic, correlation=correlation,
            )  # fmt: skip

    def _begin(self, verb: str, command: Command, topic: str | None, correlation: bytes | None) -> None:
        now_ns = time.monotonic_ns()
        if self.latched_stop and verb not in ("estop", "reset"):
            # Here and not at the door: what was accepted for later comes through here as well.
            raise Rejected("estop", "the emergency stop holds: send reset first", command.id)
        lease_s = admit.lease_s(command, self.composed.config.lease, time.time())
        target_w = self.site.default_mw * 1e6
        if verb == "setpoint":
            target_w = admit.target_w(command, self.site, self.reference_w, self.range_w[0])
        if verb == "setpoint" and math.isnan(self.mean_w):
            raise Rejected("not_ready", "the site meter has not been read yet", command.id)
        order = Order.of(verb, command, target_w)
        self._end("replaced")
        self.latched_stop = verb == "estop" or (self.latched_stop and verb != "reset")
        self.live = self._follow(command.id, order, now_ns + round(lease_s * 1e9))
        self.live.topic, self.live.correlation = topic, correlation
        self.live.best_effort = command.best_effort
        now_s = time.time()
        self.journal.keep(
            None if order.verb == codes.STAND
            else order.record(now_s) | {"id": command.id, "until": now_s + lease_s, "topic": topic}
        )  # fmt: skip
        self._stage("accepted", message=self._promise(order))

    def _follow(self, command_id: str, order: Order, expires_ns: int) -> Live:
        """Puts an order into the image."""
        now_ns = time.monotonic_ns()
        seq = order.put(self.inputs.command, expires_ns)
        takes_s = order.takes_s(self.composed.config, self._span_w(order))
        return Live(
            command_id, seq, order, self.mean_w, now_ns, now_ns + round(max(2.0 * takes_s, takes_s + 30.0) * 1e9)
        )

    def _span_w(self, order: Order) -> float:
        return 0.0 if math.isnan(self.mean_w) else order.target_w - self.mean_w

    def _promise(self, order: Order) -> str:
        """What is said at once of a ramp that the site does not allow."""
        takes_s = order.takes_s(self.composed.config, self._span_w(order))
        if order.verb == codes.TRACK and 0 < order.ramp_s < takes_s - 0.1:
            return f"the ramp limit of the site allows it in {takes_s:.1f} s, not in {order.ramp_s:g} s"
        return ""

    def resume(self) -> None:
        """Takes up the command that was live before a restart, for the rest of its lease."""
        kept = self.journal.live
        if kept is None:
            return
        try:
            lost_s = max(0.0, time.time() - float(kept["lost_at"])) if "lost_at" in kept else 0.0
            left_s = min(float(kept["until"]) - time.time() + lost_s, self.composed.config.lease.max_s)
            order = Order.restored(kept, time.time())
            self.latched_stop = order.verb == codes.ESTOP
            if left_s <= 0 and not self.latched_stop:
                self.journal.keep(None)
                return
            self.live = self._follow(str(kept["id"]), order, time.monotonic_ns() + round(left_s * 1e9))
            topic = kept.get("topic")
            self.live.topic = topic if isinstance(topic, str) and messages.may_answer_on(topic) else None
            if lost_s > 0:
                # A restart does not give the wait for the channel a new beginning.
                self.channel.heard_ns = time.monotonic_ns() - round(lost_s * 1e9)
                self._suspend(self.live, self.channel.heard_ns, left_s)
            log.info("command %s resumed, %.0f s left", self.live.id, left_s)
        except (KeyError, TypeError, ValueError) as error:
            log.error("the live command in the journal is not usable, standing at the default: %s", error)
            self.journal.keep(None)

    def tick(self, out: views.Outputs, now_ns: int) -> None:
        """Follows the live command through the newest snapshot, and begins commands whose time has come."""
        self._measure(out, now_ns)
        self._attend(now_ns)
        for item in [item for item in self.waiting if item[0] <= time.monotonic()]:
            self.waiting.remove(item)
            _, verb, command, topic, correlation = item
            try:
                self._begin(verb, command, topic, correlation)
            except Rejected as error:
                self._say(
                    verb, command.id, "failed", code=error.code, message=str(error), topic=topic,
                    correlation=correlation,
                )  # fmt: skip
        live = self.live
        if live is None or out.seq != live.seq:
            return
        if live.stage == "accepted":
            self._stage("started")
        if out.lapsed:
            slot = self.inputs.command
            # What has ended gives the guard no leave any more.
            slot.expires_ns = min(slot.expires_ns, now_ns)
            self._end("channel_lost" if slot.lost_ns else "lease_ended")
            self.journal.keep(None)
            return
        if live.verb == codes.STAND and live.stage in ("reached", "partial", "failed"):
            self._end("released")
        elif live.stage in ("started", "partial"):
            self._progress(live, out, now_ns)

    def _progress(self, live: Live, out: views.Outputs, now_ns: int) -> None:
        word = life.progress(live, out, self.mean_w, self.site.max_mw * 1e6, len(self.composed.racks), now_ns)
        if word is None:
            return
        if word.stage == "reached" and live.verb == codes.TRACK:
            self.observe((live.within_ns - live.begun_ns) * 1e-9)
        self._stage(word.stage, code=word.code, message=word.message)

    @property
    def channel_state(self) -> str:
        """up, lost, or fresh_command: heard again, but what was held has ended and only a new command replaces it."""
        if self._lost:
            return "lost"
        return "fresh_command" if self.live is None and self.inputs.command.lost_ns else "up"

    def _attend(self, now_ns: int) -> None:
        """Suspends the live command while its channel is lost; its lease goes on when that returns."""
        since_ns = self.channel.lost_since(now_ns)
        if self._lost != (since_ns > 0):
            self._lost = since_ns > 0
            self._tell_of_channel(now_ns)
        live, slot = self.live, self.inputs.command
        if live is None or live.verb not in (codes.TRACK, codes.HOLD):
            return
        if since_ns and not slot.lost_ns and slot.expires_ns > now_ns:
            self._suspend(live, since_ns, (slot.expires_ns - since_ns) * 1e-9)
        elif slot.lost_ns and not since_ns and now_ns - slot.lost_ns < self.hold_max_ns:
            slot.lost_ns = 0
            self._keep(live.left_ns * 1e-9)
        if slot.lost_ns:
            slot.expires_ns = now_ns + live.left_ns

    def _suspend(self, live: Live, since_ns: int, left_s: float) -> None:
        """The core holds the command flat from here on, and its lease stands."""
        now_ns = time.monotonic_ns()
        live.left_ns = round(left_s * 1e9)
        self.inputs.command.lost_ns = max(1, since_ns)
        self.inputs.command.expires_ns = now_ns + live.left_ns
        self._keep(left_s, lost_s=(now_ns - since_ns) * 1e-9)

    def _keep(self, left_s: float, *, lost_s: float = 0.0) -> None:
        """Notes for a restart how much is left of the live command's lease, and since when its channel is lost."""
        if self.journal.live is None:
            return
        kept = {key: value for key, value in self.journal.live.items() if key != "lost_at"}
        kept["until"] = time.time() - lost_s + left_s
        if lost_s > 0:
            kept["lost_at"] = time.time() - lost_s
        self.journal.keep(kept)

    def _tell_of_channel(self, now_ns: int) -> None:
        live, slot = self.live, self.inputs.command
        if self._lost:
            hangs = "no command hangs on it" if live is None else f"{live.id} is held flat, its lease stands"
            log.warning("channel lost: nothing heard for %.1f s; %s", self.channel.lost_s(now_ns), hangs)
        elif slot.lost_ns and now_ns - slot.lost_ns >= self.hold_max_ns:
            log.warning("channel back, but too late for the command that was held: a fresh one is needed")
        else:
            log.info("channel back%s", "" if live is None else f"; {live.id} goes on")

    def _measure(self, out: views.Outputs, now_ns: int) -> None:
        """Mean of the meter over about a second, and the range the core says is reachable."""
        if not out.started or not out.meter_good:
            return
        since_s = (now_ns - self._mean_ns) * 1e-9
        self._mean_ns = now_ns
        if math.isnan(self.mean_w):
            self.mean_w = out.power_w
        self.mean_w += (out.power_w - self.mean_w) * min(1.0, since_s / 0.5)
        self.reference_w = out.reference_w
        self.range_w = (out.least_w, out.most_w)

    def _stage(self, stage: Stage, *, code: str = "ok", message: str = "") -> None:
        live = self.live
        if live is None:
            return
        live.stage = stage
        self.journal.remember(live.id, stage)
        name = _NAMES[codes.Verb(live.verb)]
        self._say(name, live.id, stage, code=code, message=message, topic=live.topic, correlation=live.correlation)

    def _end(self, code: str) -> None:
        if self.live is not None:
            self._stage("ended", code=code)
            self.live = None

    def _say(
        self, verb: str, command_id: str, stage: Stage, *, code: str = "ok", message: str = "",
        topic: str | None = None, correlation: bytes | None = None,
    ) -> None:  # fmt: skip
        self.counts[verb, stage, code] += 1
        power_w = None if math.isnan(self.mean_w) else round(self.mean_w, 1)
        payload = messages.ack(command_id, stage, code=code, message=message, power_w=power_w)
        self.send(Reply(payload, topic, correlation))
