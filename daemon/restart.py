"""The desk after a restart: what held goes on for its rest, what nobody knows any more raises nothing."""

from __future__ import annotations

import logging
import time
from typing import Any

from rampd.daemon import life
from rampd.daemon.arbitrate import Mode, Source
from rampd.daemon.commands import Desk
from rampd.daemon.kept import Kept
from rampd.daemon.order import Order
from rampd.ext import codes

log = logging.getLogger("rampd.restart")

BLIND = "the journal is not readable: in hand and held where the site stands, until the operator says otherwise"


def resume(desk: Desk) -> None:
    """Takes up what the journal knows: mode, schedule, what waits, racks in hand, and the live command."""
    rest = desk.journal.rest
    try:
        desk.mode = Mode(rest.get("mode", Mode.REMOTE))
    except ValueError:
        desk.mode = Mode.HAND
        log.error("the mode in the journal is none: in hand, until the operator says otherwise")
    if desk.journal.unreadable:
        _start_blind(desk)
        return
    now_ns = time.monotonic_ns()
    desk.inputs.held_w = desk.regulation.restore(rest.get("held"), time.time(), now_ns)
    desk.agenda.restore(rest)
    if desk.agenda.fixed:
        # What was held for a lost channel has ended, and no fresh command came: silence raises nothing now either.
        desk.inputs.command.outlived = 1
    desk.waiting.restore(rest.get("waiting"), time.time())
    desk.hands.restore(rest.get("racks"), time.time(), desk.composed.config.lease.max_s)
    if desk.journal.live is not None:
        _resume_live(desk, desk.journal.live)


def _start_blind(desk: Desk) -> None:
    """Nobody knows what held: in hand, and where the site stands; a stop that the trail knows of holds."""
    desk.mode = Mode.HAND
    desk.journal.stand(mode=str(desk.mode))
    log.error("%s", BLIND)
    desk.answers.events.note("mode", mode="hold", control=str(desk.mode), was="unreadable")
    desk.agenda.doubt()
    lease_s = desk.composed.config.lease.max_s
    desk.hands.restore(desk.journal.rest.get("racks"), time.time(), lease_s)
    if desk.journal.live is not None:
        _resume_live(desk, desk.journal.live)
        return
    hold = Order(codes.HOLD, 0.0)
    live = desk.live = desk.follow(f"blind-{round(time.time())}", hold, Source.OPERATOR, lease_s)
    live.who = "rampd"
    desk.keep(lease_s)
    desk.answers.note(id=live.id, verb="hold", source="operator", stage="accepted", message=BLIND)


def _resume_live(desk: Desk, found: dict[str, Any]) -> None:
    """The command that held, for the rest of its lease; one that cannot be read, or is over, raises nothing."""
    now_s, now_ns = time.time(), time.monotonic_ns()
    try:
        last = Kept.restored(found, now_s, desk.composed.config.lease.max_s)
    except (KeyError, TypeError, ValueError) as error:
        log.error("the live command in the journal is not usable, standing at the default: %s", error)
        desk.agenda.doubt()
        desk.journal.keep(None)
        return
    if last.over:
        desk.agenda.doubt()
        desk.journal.keep(None)
        desk.answers.say(
            life.NAMES[codes.Verb(last.order.verb)], last.id, "ended", last.sender,
            code="lease_ended", message="its lease ended while rampd was away",
        )  # fmt: skip
        return
    desk.stopped_by = last.stopped_by
    live = desk.live = desk.follow(last.id, last.order, last.source, max(0.0, last.left_s), resumed=True)
    live.who, live.topic, live.correlation = last.sender.who, last.sender.topic, last.sender.correlation
    if last.lost_s > 0:
        desk.channel.resume(live, desk.inputs.command, last.lost_s, last.left_s, now_ns)
    desk.keep(last.left_s, lost_s=last.lost_s)
    log.info("command %s resumed, %.0f s left", live.id, last.left_s)
    desk.answers.note(id=live.id, verb=live.name, message="resumed after a restart")
