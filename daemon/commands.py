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

from rampd.daemon import messages
from rampd.daemon.journal import Journal
from rampd.daemon.messages import Command, Rejected, Stage
from rampd.daemon.site import Composed
from rampd.ext import codes, views

log = logging.getLogger("rampd.commands")

CLOCK_SLACK_S: Final = 30.0
REACHED_S: Final = 1.0
DEMAND_S: Final = 10.0
MOST_WAITING: Final = 100
_NAMES: Final = {codes.STAND: "release", codes.TRACK: "setpoint", codes.HOLD: "hold", codes.ESTOP: "estop"}


@dataclass(frozen=True, slots=True)
class Reply:
    """An acknowledgement on its way; `topic` None is the site's own ack topic."""

    payload: dict[str, Any]
    topic: str | None
    correlation: bytes | None


@dataclass(slots=True)
class Live:
    """The command that holds, and how far it has come. Powers in W, times CLOCK_MONOTONIC ns."""

    id: str
    seq: int
    verb: int
    target_w: float
    from_w: float
    begun_ns: int
    deadline_ns: int
    topic: str | None = None
    correlation: bytes | None = None
    best_effort: bool = False
    stage: str = "accepted"
    within_ns: int = 0


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
        self.latched: Callable[[], dict[str, list[str]]] = dict
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
            self._admit(verb, command, retained=retained)
            self._say(verb, command_id, "received", topic=topic, correlation=correlation)
            self.journal.remember(command_id, "received")
            start_s = self._start_in(command)
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

    def _admit(self, verb: str, command: Command, *, retained: bool) -> None:
        """Clock, retention, ids and the stop latch. Raises Rejected."""
        now = time.time()
        if retained:
            raise Rejected("retained", "a retained command is never followed: publish it without retain", command.id)
        if command.id in self.journal.seen:
            stage = self.journal.seen[command.id][1]
            raise Rejected("repeated", f"this id was handled already, its last stage was {stage}", command.id)
        if command.expires_at.timestamp() <= now:
            late_s = now - command.expires_at.timestamp()
            raise Rejected(
                "expired", f"expired {late_s:.1f} s ago: check the sender's clock or send it sooner", command.id
            )
        if command.issued_at.timestamp() > now + CLOCK_SLACK_S:
            early_s = command.issued_at.timestamp() - now
            raise Rejected("clock", f"issued {early_s:.0f} s in the future: check the clocks", command.id)
        if verb == "reset" and not self.latched_stop and not self.latched():
            raise Rejected("nothing", "there is nothing to reset", command.id)

    def _start_in(self, command: Command) -> float:
        if command.interval is None or command.interval.start is None:
            return 0.0
        return command.interval.start.timestamp() - time.time()

    def _lease_s(self, command: Command) -> float:
        lease = self.composed.config.lease
        lease_s = lease.default_s if command.lease_s is None else command.lease_s
        if lease_s > lease.max_s:
            raise Rejected("lease", f"lease_s {lease_s:g} exceeds the site's {lease.max_s:g}", command.id)
        if command.interval is not None and command.interval.end is not None:
            left_s = command.interval.end.timestamp() - time.time()
            if left_s <= 0:
                raise Rejected("expired", "its interval has ended", command.id)
            lease_s = min(left_s, lease.max_s) if command.lease_s is None else min(left_s, lease_s)
        return lease_s

    def _target(self, command: Command) -> float:
        """The commanded power in W. Raises Rejected when the site may not or cannot go there."""
        if command.percent is not None:
            target_w = command.percent / 100 * self.site.max_mw * 1e6
        elif command.by_w is not None:
            target_w = self.reference_w + command.by_w
        else:
            target_w = command.power_w or 0.0
        low_w, high_w = self.site.min_mw * 1e6, self.site.max_mw * 1e6
        if not low_w <= target_w <= high_w * (1 + 1e-9):
            place = f"{low_w / 1e6:g} to {high_w / 1e6:g} MW"
            if not command.best_effort:
                raise Rejected("limit", f"{target_w / 1e6:.3f} MW lies outside the site's {place}", command.id)
            target_w = min(max(target_w, low_w), high_w)
        least_w = self.range_w[0]
        if target_w < least_w - 0.005 * high_w and not command.best_effort:
            message = f"{target_w / 1e6:.3f} MW cannot be reached: racks and cooling need {least_w / 1e6:.3f} MW"
            raise Rejected("unreachable", message + "; ask for that, or with best_effort", command.id)
        return target_w

    def _begin(self, verb: str, command: Command, topic: str | None, correlation: bytes | None) -> None:
        now_ns = time.monotonic_ns()
        if self.latched_stop and verb not in ("estop", "reset"):
            # Here and not at the door: what was accepted for later comes through here as well.
            raise Rejected("estop", "the emergency stop holds: send reset first", command.id)
        if verb == "reset" and self._reset(command, topic, correlation):
            return
        lease_s = self._lease_s(command)
        kind = {"setpoint": codes.TRACK, "hold": codes.HOLD, "estop": codes.ESTOP}.get(verb, codes.STAND)
        target_w = self._target(command) if verb == "setpoint" else self.site.default_mw * 1e6
        if verb == "setpoint" and math.isnan(self.mean_w):
            raise Rejected("not_ready", "the site meter has not been read yet", command.id)
        ramp_s, rate = command.ramp_s or 0.0, command.ramp_w_per_s or 0.0
        self._end("replaced")
        self.latched_stop = verb == "estop" or (self.latched_stop and verb != "reset")
        envelope = codes.DISPATCHED if command.envelope == "dispatched" else codes.NORMAL
        self.live = self._follow(
            kind, command.id, target_w=target_w, ramp_s=ramp_s, rate=rate, envelope=envelope,
            expires_ns=now_ns + round(lease_s * 1e9),
        )  # fmt: skip
        self.live.topic, self.live.correlation = topic, correlation
        self.live.best_effort = command.best_effort
        self.journal.keep(
            None if kind == codes.STAND else {
                "id": command.id, "verb": int(kind), "target_w": target_w, "envelope": int(envelope),
                "until": time.time() + lease_s, "topic": topic,
            }
        )  # fmt: skip
        self._stage("accepted", message=self._promise(verb, target_w, ramp_s))

    def _reset(self, command: Command, topic: str | None, correlation: bytes | None) -> bool:
        """Gives the core an operator's reset; whether that was all, because no emergency stop is to be ended."""
        self.inputs.command.resets += 1
        if self.latched_stop:
            return False
        held = ", ".join(f"{scope}: {' and '.join(names)}" for scope, names in self.latched().items())
        self.journal.remember(command.id, "accepted")
        self._say(
            "reset", command.id, "accepted", topic=topic, correlation=correlation,
            message=f"{held}: ends once the condition is gone for its time; what is still so stays latched",
        )  # fmt: skip
        return True

    def _follow(
        self, kind: int, command_id: str, *, target_w: float, ramp_s: float, rate: float, envelope: int, expires_ns: int
    ) -> Live:
        """Puts a command into the image."""
        now_ns = time.monotonic_ns()
        slot = self.inputs.command
        slot.seq += 1
        slot.verb = kind
        slot.envelope = envelope
        slot.expires_ns = expires_ns
        slot.target_w = target_w
        slot.ramp_s = ramp_s
        slot.rate_w_per_s = rate
        takes_s = self._takes_s(target_w, ramp_s, rate, envelope)
        return Live(
            command_id, slot.seq, kind, target_w, self.mean_w, now_ns,
            now_ns + round(max(2.0 * takes_s, takes_s + 30.0) * 1e9),
        )  # fmt: skip

    def _takes_s(self, target_w: float, ramp_s: float, rate: float, envelope: int) -> float:
        """How long the reference needs for a command at the pace that its envelope allows."""
        config = self.composed.config
        span_w = 0.0 if math.isnan(self.mean_w) else target_w - self.mean_w
        if envelope == codes.DISPATCHED:
            most = (config.dispatched.up_mw_per_s if span_w > 0 else config.dispatched.down_mw_per_s) * 1e6
        else:
            most = (config.normal.up_mw_per_min if span_w > 0 else config.normal.down_mw_per_min) * 1e6 / 60
        least_s = abs(span_w) / (min(most, rate) if rate > 0 else most)
        return max(least_s, ramp_s)

    def _promise(self, verb: str, target_w: float, ramp_s: float) -> str:
        if verb != "setpoint" or self.live is None:
            return ""
        slot = self.inputs.command
        takes_s = self._takes_s(target_w, ramp_s, slot.rate_w_per_s, slot.envelope)
        if 0 < ramp_s < takes_s - 0.1:
            return f"the ramp limit of the site allows it in {takes_s:.1f} s, not in {ramp_s:g} s"
        return ""

    def resume(self) -> None:
        """Takes up the command that was live before a restart, for the rest of its lease."""
        kept = self.journal.live
        if kept is None:
            return
        try:
            left_s = min(float(kept["until"]) - time.time(), self.composed.config.lease.max_s)
            verb, target_w = int(kept["verb"]), float(kept["target_w"])
            self.latched_stop = verb == codes.ESTOP
            if left_s <= 0 and not self.latched_stop:
                self.journal.keep(None)
                return
            self.live = self._follow(
                verb, str(kept["id"]), target_w=target_w, ramp_s=0.0, rate=0.0, envelope=int(kept["envelope"]),
                expires_ns=time.monotonic_ns() + round(left_s * 1e9),
            )  # fmt: skip
            topic = kept.get("topic")
            self.live.topic = topic if isinstance(topic, str) and messages.may_answer_on(topic) else None
            log.info("command %s resumed, %.0f s left", self.live.id, left_s)
        except (KeyError, TypeError, ValueError) as error:
            log.error("the live command in the journal is not usable, standing at the default: %s", error)
            self.journal.keep(None)

    def tick(self, out: views.Outputs, now_ns: int) -> None:
        """Follows the live command through the newest snapshot, and begins commands whose time has come."""
        self._measure(out, now_ns)
        for item in [item for item in self.waiting if item[0] <= time.monotonic()]:
            self.waiting.remove(item)
            _, verb, command, topic, correlation = item
            try:
                self._begin(verb, command, topic, correlation)
            except Rejected as error:
                self._say(
                    verb,
                    command.id,
                    "failed",
                    code=error.code,
                    message=str(error),
                    topic=topic,
                    correlation=correlation,
                )
        live = self.live
        if live is None or out.seq != live.seq:
            return
        if live.stage == "accepted":
            self._stage("started")
        if out.lapsed:
            self._end("lease_ended")
            self.journal.keep(None)
            return
        if live.verb == codes.STAND and live.stage in ("reached", "partial", "failed"):
            self._end("released")
        elif live.stage in ("started", "partial"):
            self._progress(live, out, now_ns)

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

    def _progress(self, live: Live, out: views.Outputs, now_ns: int) -> None:
        if live.verb in (codes.HOLD, codes.ESTOP):
            if live.verb == codes.HOLD or self.mean_w <= out.least_w + 0.01 * self.site.max_mw * 1e6:
                self._stage("reached")
            return
        goal_w, short = self._reachable(out)
        span_w = abs(goal_w - live.from_w) if not math.isnan(live.from_w) else 0.0
        band_w = max(0.01 * span_w, 0.0025 * self.site.max_mw * 1e6)
        if abs(self.mean_w - goal_w) > band_w or out.reference_w != out.goal_w:
            live.within_ns = 0
        elif live.within_ns == 0:
            live.within_ns = now_ns
        # Demand may still be on its way up, cooling is: that is watched longer.
        hold_s = DEMAND_S if short else REACHED_S
        if live.within_ns and now_ns - live.within_ns >= hold_s * 1e9:
            if live.verb == codes.TRACK:
                self.observe((live.within_ns - live.begun_ns) * 1e-9)
            message = f"the racks want no more: {short / 1e6:.3f} MW below the set point" if short else ""
            self._stage("reached", code="demand" if short else "ok", message=message)
        elif now_ns > live.deadline_ns and live.stage == "started":
            done_w = abs(self.mean_w - live.from_w)
            missing_w = abs(self.mean_w - goal_w)
            stage: Stage = "partial" if done_w > 0.1 * span_w else "failed"
            self._stage(stage, code="short", message=f"{missing_w / 1e6:.3f} MW short of {goal_w / 1e6:.3f} MW")

    def _reachable(self, out: views.Outputs) -> tuple[float, float]:
        """What an up-command can reach, min(goal, demand), and how far that is below the goal; W."""
        free = (codes.WHY_SHARE, codes.WHY_MAX, codes.WHY_DEMAND)
        wanting = out.goal_w > out.most_w and out.site_why == codes.SITE_ROOM
        if wanting and all(out.why[i] in free for i in range(len(self.composed.racks))):
            return out.most_w, out.goal_w - out.most_w
        return out.goal_w, 0.0

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
