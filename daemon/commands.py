"""The command desk: what was asked, what holds now, and what became of it.

A command is parsed, checked against clock, ids, authority and limits, and becomes the one order that the core follows.
Its lease runs in the core on the monotonic clock; here its life is told to whoever sent it and to the audit trail.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from rampd.daemon import admit, arbitrate, kept, life, messages, schedule
from rampd.daemon.agenda import Agenda
from rampd.daemon.answers import Answers, Reply, Sender
from rampd.daemon.arbitrate import FOLLOWED, Mode, Source
from rampd.daemon.channel import Channel
from rampd.daemon.hands import Hands, News
from rampd.daemon.journal import Journal
from rampd.daemon.life import Live
from rampd.daemon.messages import Command, Envelope, ModeChange, RackUse, Rejected, Schedule, Signal, Stage, Stop
from rampd.daemon.order import Order
from rampd.daemon.purchase import Purchase
from rampd.daemon.regulation import Regulation
from rampd.daemon.site import Composed
from rampd.daemon.waiting import LATE_S, Waiting
from rampd.ext import codes, views

log = logging.getLogger("rampd.commands")


class Desk:
    """All commands of a site. `receive` takes one from outside, `tick` follows the live one."""

    def __init__(
        self, composed: Composed, inputs: views.Inputs, journal: Journal, send: Callable[[Reply], None]
    ) -> None:
        self.composed = composed
        self.site = composed.config.site
        self.inputs = inputs
        self.journal = journal
        self.answers = Answers(send, journal, f"{composed.config.mqtt.prefix}/{self.site.id}")
        self.live: Live | None = None
        self.mode = Mode.REMOTE
        self.agenda = Agenda(self.site, journal)
        self.stopped_by: Source | None = None
        self.purchase = Purchase.of(composed)
        self.regulation = Regulation(composed.config.grid, inputs.command, self.answers)
        self.waiting = Waiting(composed.config, journal, self.answers)
        self.hands = Hands(composed)
        self.observe: Callable[[float], None] = lambda _: None
        self.latched: Callable[[], dict[str, list[str]]] = dict
        control = composed.config.control
        hold_max_ns = views.limits(composed.limits).site.hold_max_ns
        self.begun_ns = time.monotonic_ns()
        self.channel = Channel(round(control.channel_grace_s * 1e9), hold_max_ns, self.begun_ns)

    # What comes in.

    def receive(
        self, verb: str, payload: bytes, *, retained: bool = False, topic: str | None = None,
        correlation: bytes | None = None,
    ) -> None:  # fmt: skip
        """One message on cmd/{verb}; everything that happens to it is said through `send`."""
        command_id, sender = "invalid", Sender(topic=topic, correlation=correlation)
        try:
            command = messages.parse(verb, payload)
            command_id = command.id
            sender = replace(sender, who=command.who, reason=command.reason, topic=topic or command.reply_to)
            if isinstance(command, Stop):
                self._stop(command, sender, retained=retained)
                return
            if sender.topic is not None and self.answers.place(sender.topic) is None:
                raise Rejected("malformed", admit.NO_PLACE, command_id)
            now_s = time.time()
            admit.check(command, self.journal.last_stage(command_id), retained=retained, now_s=now_s)
            if isinstance(command, Signal):
                admit.check_signal(command, (time.monotonic_ns() - self.begun_ns) * 1e-9, now_s)
            admit.check_room(command_id, full=self.journal.ids.full(now_s))
            self.journal.remember(command_id, "received", command.expires_at.timestamp())
            self.answers.say(verb, command_id, "received", sender)
            self._take(verb, command, sender)
        except Rejected as error:
            command_id = error.command_id if command_id == "invalid" else command_id
            log.warning("command %s %s rejected: %s: %s", verb, command_id, error.code, error)
            known = messages.model_of(verb) is not None
            self.answers.say(
                verb if known else "unknown", command_id, "rejected", sender, code=error.code, message=str(error)
            )

    def _stop(self, stop: Stop, sender: Sender, *, retained: bool) -> None:
        """The emergency stop holds from here on, whatever else holds and whatever its payload says. Raises Rejected."""
        holds = self.live is not None and self.live.verb == codes.ESTOP and self.live.id == stop.id
        admit.check_stop(stop, holds=holds, retained=retained)
        lost = sender.topic is not None and self.answers.place(sender.topic) is None
        sender = replace(sender, topic=None if lost else sender.topic)
        # No stop is refused for its id: there is nothing to keep it for.
        self.journal.remember(stop.id, "received", stop=True)
        self.answers.say("estop", stop.id, "received", sender)
        self.stopped_by = max(sender.source, self.stopped_by or sender.source)
        self._hold(
            "estop", stop.id, Order(codes.ESTOP, 0.0), Source.STOP, self.composed.config.lease.default_s, sender,
            message=admit.beside(stop, time.time(), lost=lost),
        )  # fmt: skip

    def _take(self, verb: str, command: Envelope, sender: Sender) -> None:
        """A command that passed the door, now or when its time comes. Raises Rejected."""
        if isinstance(command, Command):
            now_s = time.time()
            start_s = admit.start_in(command, now_s)
            if start_s > 0:
                remark = "" if sender.source in FOLLOWED[self.mode] else f"; not followed while in {self.mode}"
                self.waiting.put_off(verb, command, sender, now_s + start_s, now_s, remark)
                return
            if command.command_id is not None and self.waiting.call_off(command.command_id, command.id, sender):
                return
            if command.command_id is not None and (self.live is None or self.live.id != command.command_id):
                raise Rejected("nothing", f"{command.command_id} neither holds nor waits", command.id)
            self._begin(verb, command, sender)
            return
        arbitrate.admit(verb, sender.source, self.mode, self.holder, self.stopped_by, command.id)
        if isinstance(command, Signal):
            if math.isnan(self.purchase.mean_w):
                raise Rejected("not_ready", "the site meter has not been read yet", command.id)
            self.regulation.take(command, sender, time.monotonic_ns())
        elif isinstance(command, Schedule):
            self._plan(command, sender)
        elif isinstance(command, ModeChange):
            self._change_mode(command, sender)
        elif isinstance(command, RackUse):
            self._use_rack(verb, command, sender)

    def _begin_due(self) -> None:
        """Begins what waited for this moment; what cannot begin any more has failed."""
        now_s = time.time()
        for one in self.waiting.due(now_s):
            sender, late_s = one.sender, now_s - one.start_s
            try:
                if late_s > LATE_S:
                    raise Rejected("missed", f"its time was {late_s:.0f} s ago", one.command.id)
                if (self.channel.lost or self._outlived) and sender.source is Source.REMOTE:
                    raise Rejected("channel", "its channel is lost: only a fresh command raises", one.command.id)
                self._begin(one.verb, one.command, sender, later=True)
            except Rejected as error:
                self.answers.say(one.verb, one.command.id, "failed", sender, code=error.code, message=str(error))

    def _use_rack(self, verb: str, asked: RackUse, sender: Sender) -> None:
        """A rack goes into hand or is given back. Raises Rejected."""
        until_s = time.time() + admit.plain_lease_s(asked.lease_s, self.composed.config.lease, asked.id)
        news = self.hands.ask(verb.removeprefix("rack/"), asked, until_s, sender.topic)
        self.answers.say(verb, asked.id, "accepted", sender, message=asked.use, asked={"power_w": asked.power_w})
        self._tell_of_racks(news)
        if asked.use == "auto":
            self.answers.say(verb, asked.id, "reached", sender)
        self.journal.stand(racks=self.hands.record())

    def _tell_of_racks(self, news: Iterable[News]) -> None:
        for one in news:
            use = one.use
            sender = Sender(use.who, topic=use.topic)
            self.answers.say(f"rack/{use.rack}", use.id, one.stage, sender, code=one.code, message=one.message)
            if one.stage == "ended":
                self.journal.stand(racks=self.hands.record())

    def _begin(self, verb: str, command: Command, sender: Sender, *, later: bool = False) -> None:
        """The command holds from here on; `later`: it was accepted before. Raises Rejected."""
        if verb == "reset" and self.stopped_by is None and (latched := self.latched()):
            self._unlatch(latched, command, sender)
            return
        # Here and not at the door: what was accepted for later comes through here as well.
        arbitrate.admit(verb, sender.source, self.mode, self.holder, self.stopped_by, command.id)
        lease_s = admit.lease_s(command, self.composed.config.lease, time.time())
        target_w = self.site.default_mw * 1e6
        if verb == "setpoint":
            target_w = admit.target_w(command, self.site, self.purchase.reference_w, self.purchase.least_w)
            if math.isnan(self.purchase.mean_w):
                raise Rejected("not_ready", "the site meter has not been read yet", command.id)
        order = Order.of(verb, command, target_w)
        source = Source.DEFAULT if order.verb == codes.STAND else sender.source
        if verb == "reset":
            self.stopped_by = None
            self.inputs.command.resets += sender.source >= Source.OPERATOR
        self._hold(verb, command.id, order, source, lease_s, sender, best_effort=command.best_effort, later=later)
        if order.verb == codes.STAND:
            self._heed_plan()

    def _unlatch(self, latched: dict[str, list[str]], command: Command, sender: Sender) -> None:
        """An operator's reset of the failsafe ladder; what is followed goes on. Raises Rejected."""
        arbitrate.admit_reset(sender.source, command.id)
        self.inputs.command.resets += 1
        held = ", ".join(f"{scope}: {' and '.join(names)}" for scope, names in latched.items())
        message = f"{held}: ends once its condition is gone for its time; what is still so stays latched"
        self.answers.say("reset", command.id, "accepted", sender, message=message)

    def _hold(
        self, verb: str, command_id: str, order: Order, source: Source, lease_s: float, sender: Sender, *,
        best_effort: bool = False, later: bool = False, message: str = "",
    ) -> None:  # fmt: skip
        """Replaces whatever is live by a fresh command."""
        replaced = self._end("replaced")
        if source >= Source.OPERATOR:
            self.regulation.end("outranked")
        self._freshen()
        live = self.live = self.follow(command_id, order, source, lease_s)
        live.asked, live.who, live.reason = verb, sender.who, sender.reason
        live.topic, live.correlation = sender.topic, sender.correlation
        live.best_effort = best_effort
        self.keep(lease_s)
        asked: dict[str, float] = {"lease_s": round(lease_s, 1)}
        if order.verb == codes.TRACK:
            asked |= {"target_w": round(order.target_w, 1), "ramp_s": order.ramp_s, "w_per_s": order.rate_w_per_s}
        live.begins = {"message": message or self._promise(order), "asked": asked, "replaced": replaced}
        if not later:
            self._stage("accepted", **live.begins)
            live.begins = {}

    def _freshen(self) -> None:
        """A fresh command: what silence has left where it was may move again."""
        self.agenda.lift()
        self.regulation.release(time.monotonic_ns())

    def follow(
        self, command_id: str, order: Order, source: Source, lease_s: float, *, resumed: bool = False
    ) -> Live:  # fmt: skip
        """Puts an order into the image, as a command that begins now; `resumed`: it held before a restart."""
        now_ns = time.monotonic_ns()
        expires_ns = now_ns + round(lease_s * 1e9)
        seq = order.put(self.inputs.command, expires_ns, resumed=resumed, outlived=self.agenda.fixed)
        takes_s = order.takes_s(self.composed.config, self._span_w(order))
        deadline_ns = now_ns + round(max(2.0 * takes_s, takes_s + 30.0) * 1e9)
        return Live(command_id, seq, order, self.purchase.led_w, now_ns, deadline_ns, source)

    def _span_w(self, order: Order) -> float:
        return 0.0 if math.isnan(self.purchase.led_w) else order.target_w - self.purchase.led_w

    def _promise(self, order: Order) -> str:
        """What is said at once of a ramp that the site does not allow."""
        takes_s = order.takes_s(self.composed.config, self._span_w(order))
        if order.verb == codes.TRACK and 0 < order.ramp_s < takes_s - 0.1:
            return f"the ramp limit of the site allows it in {takes_s:.1f} s, not in {order.ramp_s:g} s"
        return ""

    # Modes and the schedule.

    @property
    def holder(self) -> Source:
        """Whose command holds."""
        return Source.DEFAULT if self.live is None else self.live.source

    def _change_mode(self, change: ModeChange, sender: Sender) -> None:
        """Whose commands are followed from now on. Going into hand holds the site where it is; leaving it lets go."""
        before, mode = self.mode, Mode(change.mode)
        lease_s = admit.plain_lease_s(change.lease_s, self.composed.config.lease, change.id)
        self.mode = mode
        if Source.REGULATION not in FOLLOWED[mode]:
            self.regulation.end("mode")
        self.regulation.release(time.monotonic_ns())
        self.journal.stand(mode=str(mode))
        log.info("mode %s, it was %s: asked by %s", mode, before, sender.who)
        message = f"{mode}, it was {before}"
        if mode is Mode.HAND and self.holder < Source.OPERATOR:
            self._end("mode")
            self._hold("mode", change.id, Order(codes.HOLD, 0.0), Source.OPERATOR, lease_s, sender, message=message)
            return
        self.answers.say("mode", change.id, "accepted", sender, message=message)
        if self.holder not in FOLLOWED[mode] or (before is Mode.HAND is not mode and self.live is not None):
            self._end("mode")
            stand = Order(codes.STAND, self.site.default_mw * 1e6)
            live = self.live = self.follow(change.id, stand, Source.DEFAULT, 0.0)
            live.asked, live.who, live.reason = "mode", sender.who, sender.reason
            live.topic, live.correlation = sender.topic, sender.correlation
            self.keep(0.0)
        self.agenda.lift()
        # The interval that is followed goes on as it is; what follows it is as free as the lid.
        self.inputs.command.outlived = 0
        self._heed_plan()
        if self.live is None or self.live.id != change.id:
            self.answers.say("mode", change.id, "reached", sender)

    def _plan(self, asked: Schedule, sender: Sender) -> None:
        """A schedule replaces the one that stands. Raises Rejected."""
        plan = schedule.accept(asked, self.site, time.time(), sender.topic)
        self._drop_plan("replaced")
        self._freshen()
        followed = Source.SCHEDULE in FOLLOWED[self.mode]
        message = f"{len(plan.intervals)} intervals" + ("" if followed else f"; not followed while in {self.mode}")
        self.answers.say("schedule", plan.id, "accepted", sender, message=message)
        followed = self.holder is Source.SCHEDULE
        if followed:
            self.live = None
        if plan.intervals:
            self.agenda.take(plan)
        self._heed_plan()
        if followed and self.live is None:
            # What was followed is not planned any more, and nothing else is for now.
            Order(codes.STAND, self.site.default_mw * 1e6).put(self.inputs.command, 0)

    def _drop_plan(self, code: str) -> None:
        plan = self.agenda.plan
        if plan is not None:
            self.answers.say("schedule", plan.id, "ended", Sender(topic=plan.topic), code=code)
            self.agenda.take(None)

    def _heed_plan(self) -> None:
        """Follows the interval that is now, unless somebody with more authority holds."""
        plan, now_s = self.agenda.plan, time.time()
        if plan is None or Source.SCHEDULE not in FOLLOWED[self.mode] or math.isnan(self.purchase.mean_w):
            return
        if plan.over(now_s):
            if self.holder is not Source.SCHEDULE:
                self._drop_plan("schedule_ended")
            return
        back = self.agenda.back
        k = self.agenda.present(now_s, self.purchase.reference_w)
        if k is None or self.holder > Source.SCHEDULE or (self.live is not None and self.live.interval == k):
            return
        # What a shed has taken for a while is on its way back, or will be.
        order = self.agenda.begin(plan, k, max(self.purchase.reference_w, self.purchase.goal_w))
        if self.holder is not Source.SCHEDULE:
            self._end("released")
        self.live = self.follow(plan.id, order, Source.SCHEDULE, plan.left_s(k, now_s), resumed=back)
        self.live.interval, self.live.topic, self.live.best_effort = k, plan.topic, True
        self.answers.note(
            id=plan.id, verb="schedule", source="schedule", stage="accepted",
            message=f"interval {k + 1} of {len(plan.intervals)}", asked={"target_w": round(order.target_w, 1)},
        )  # fmt: skip

    # What happens.

    def keep(self, left_s: float, *, lost_s: float = 0.0) -> None:
        """Notes the live command for a restart: `left_s` of its lease, its channel lost since `lost_s`."""
        self.journal.keep(kept.record(self.live, self.stopped_by, time.time(), left_s, lost_s))

    def tick(self, out: views.Outputs, now_ns: int) -> None:
        """Follows the live command through the newest snapshot, and begins what has its time."""
        self.purchase.note(out, now_ns)
        self.answers.power_w = None if math.isnan(self.purchase.mean_w) else self.purchase.mean_w
        remote = self.live if self.holder is Source.REMOTE else None
        if self.channel.attend(remote, self.inputs.command, now_ns) and remote is not None:
            lost_ns = self.inputs.command.lost_ns
            self.keep(remote.left_ns * 1e-9, lost_s=(now_ns - lost_ns) * 1e-9 if lost_ns else 0.0)
            self.answers.note(id=remote.id, message="channel lost" if lost_ns else "channel back")
        self.regulation.tick(out, self.channel, now_ns)
        if out.started and (found := self.regulation.record(time.time(), now_ns)) != self.journal.rest.get("held"):
            self.journal.stand(held=found)
        self._begin_due()
        self._heed_plan()
        self._tell_of_racks(self.hands.tick(out, self.inputs, time.time()))
        live = self.live
        if live is None or out.seq != live.seq:
            return
        if live.stage == "accepted":
            self._stage("started", **live.begins)
        if out.lapsed:
            self._lapse(live, now_ns)
        elif live.verb == codes.STAND and live.stage in ("reached", "partial", "failed"):
            self._end("released")
        elif live.stage in ("started", "partial"):
            self._progress(live, out, now_ns)

    def _lapse(self, live: Live, now_ns: int) -> None:
        """The core has ended the live command. What follows raises only where the site allows that after a lease."""
        slot = self.inputs.command
        # What has ended gives the guard no leave any more.
        slot.expires_ns = min(slot.expires_ns, now_ns)
        if live.source is Source.SCHEDULE:
            self.live = None
        elif slot.lost_ns:
            self._end("channel_lost")
            self.agenda.lost(self.purchase.reference_w)
        else:
            self._end("lease_ended")
            if not self.composed.config.lease.raise_after:
                self.agenda.lapsed(self.purchase.reference_w, time.time())
        self.journal.keep(None)
        self._heed_plan()

    @property
    def channel_state(self) -> str:
        """up, lost, or fresh_command: heard again, but what was held has ended and only a new command replaces it.

        What regulation has left is moved by a fresh signal as well.
        """
        if self.channel.lost:
            return "lost"
        return "fresh_command" if self._outlived or self.regulation.held else "up"

    @property
    def _outlived(self) -> bool:
        """Whether a command has ended for its channel, and no fresh one came since."""
        return (self.live is None and self.inputs.command.lost_ns > 0) or self.agenda.fixed

    def _progress(self, live: Live, out: views.Outputs, now_ns: int) -> None:
        word = life.progress(live, out, self.purchase, len(self.composed.racks), now_ns)
        if word is None:
            return
        if word.stage == "reached" and live.verb == codes.TRACK:
            self.observe((live.within_ns - live.begun_ns) * 1e-9)
        self._stage(word.stage, code=word.code, message=word.message)

    # What is said.

    def _stage(self, stage: Stage, *, code: str = "ok", message: str = "", **facts: Any) -> None:
        live = self.live
        if live is None:
            return
        live.stage = stage
        sender = Sender(live.who, live.reason, live.topic, live.correlation)
        self.answers.say(live.name, live.id, stage, sender, code=code, message=message, source=live.source, **facts)

    def _end(self, code: str) -> str | None:
        """The life of the live command is over; its id. A schedule goes on without being followed."""
        live = self.live
        if live is None:
            return None
        if live.source is not Source.SCHEDULE:
            self._stage("ended", code=code)
        self.live = None
        return live.id
