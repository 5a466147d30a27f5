"""The door of the command desk: whether a command may be followed, how long it lives, and which power it asks for.

Nothing here moves or remembers anything; clocks and measurements are arguments. What may not be is a Rejected.
"""

from __future__ import annotations

from typing import Final

from rampd.daemon.config import Lease, Site
from rampd.daemon.messages import Command, Envelope, Label, Rejected, Signal, Stage, Stop

CLOCK_SLACK_S: Final = 30.0
VALID_S: Final = 86400.0
"""As far ahead as expires_at may lie: ids are remembered so long, and what is forgotten must have expired."""
SIGNAL_VALID_S: Final = 300.0
"""Of a regulation signal, which comes every few seconds: a day of them is more than ids are remembered."""
HORIZON_S: Final = 8 * 86400.0
"""As far ahead as anything may be planned."""

NO_PLACE: Final = (
    "reply_to or the response topic: answers go to a plain topic, none of commands, of the site ack/... only"
)


def check(command: Envelope, seen: Stage | None, *, retained: bool, now_s: float) -> None:
    """Retention, id and clock of a command, by the wall clock; `seen`: the last stage of its id. Raises Rejected."""
    _fresh(command, retained=retained)
    if seen is not None:
        raise Rejected("repeated", f"this id was handled already, its last stage was {seen}", command.id)
    late_s = now_s - command.expires_at.timestamp()
    if late_s >= 0:
        raise Rejected("expired", f"expired {late_s:.1f} s ago: check the sender's clock or send it sooner", command.id)
    if -late_s > VALID_S:
        found = f"expires_at lies {-late_s / 3600:.1f} h ahead, {VALID_S / 3600:g} h are the most"
        raise Rejected("horizon", f"{found}: for what begins later there are interval and cmd/schedule", command.id)
    early_s = command.issued_at.timestamp() - now_s
    if early_s > CLOCK_SLACK_S:
        raise Rejected("clock", f"issued {early_s:.0f} s in the future: check the clocks", command.id)


def check_signal(signal: Signal, begun_s: float, now_s: float) -> None:
    """A signal is one of a stream, and known to this process only, which began so long ago. Raises Rejected."""
    ahead_s = signal.expires_at.timestamp() - now_s
    if ahead_s > SIGNAL_VALID_S:
        raise Rejected(
            "horizon",
            f"expires_at lies {ahead_s:.0f} s ahead, {SIGNAL_VALID_S:g} s are the most for a signal: let it expire "
            "within seconds, and send the next one",
            signal.id,
        )
    if begun_s <= SIGNAL_VALID_S and signal.issued_at.timestamp() < now_s - begun_s:
        raise Rejected("late", "it was issued before rampd started, and may have been followed already", signal.id)


def check_room(command_id: str, *, full: bool) -> None:
    """No id is forgotten before its command has expired, so that another may have none. Raises Rejected."""
    if full:
        found = "too many commands were accepted that have not expired"
        raise Rejected("busy", f"{found}: let commands expire sooner after they were issued", command_id)


def check_stop(stop: Stop, *, holds: bool, retained: bool) -> None:
    """A stop is refused where it was kept by the broker, or `holds` already. Raises Rejected."""
    _fresh(stop, retained=retained)
    if holds:
        raise Rejected("repeated", "this stop holds", stop.id)


def beside(stop: Stop, now_s: float, *, lost: bool) -> str:
    """What is said of a stop besides that it is taken; `lost`: its answers cannot go where it asks for them."""
    late_s = -1.0 if stop.expires_at is None else now_s - stop.expires_at.timestamp()
    late = f"expired {late_s:.1f} s ago: check the sender's clock" if late_s >= 0 else ""
    wrong = "; ".join(filter(None, (stop.ignored, late, NO_PLACE if lost else "")))
    return f"stopped all the same; {wrong}" if wrong else ""


def _fresh(command: Label, *, retained: bool) -> None:
    if retained:
        raise Rejected("retained", "a retained command is never followed: publish it without retain", command.id)


def start_in(command: Command, now_s: float) -> float:
    """Seconds until a command begins; 0 or less: now."""
    if command.interval is None or command.interval.start is None:
        return 0.0
    return command.interval.start.timestamp() - now_s


def later(verb: str, command: Command, site: Site, lease: Lease, start_s: float, now_s: float) -> None:
    """What can be said now of a command that begins at `start_s`: whether it may ever be followed. Raises Rejected."""
    if start_s - now_s > HORIZON_S:
        days = f"{(start_s - now_s) / 86400:.1f} days from now, {HORIZON_S / 86400:g} are the most"
        raise Rejected("horizon", f"it begins {days}", command.id)
    lease_s(command, lease, start_s)
    if verb == "setpoint" and command.by_w is None:
        # What racks and cooling need is known only then.
        target_w(command, site, reference_w=0.0, least_w=0.0)


def plain_lease_s(asked_s: float | None, lease: Lease, command_id: str) -> float:
    """How long something lives that was asked to live so long. Raises Rejected when the site allows less."""
    found_s = lease.default_s if asked_s is None else asked_s
    if found_s > lease.max_s:
        raise Rejected("lease", f"lease_s {found_s:g} exceeds the site's {lease.max_s:g}", command_id)
    return found_s


def lease_s(command: Command, lease: Lease, now_s: float) -> float:
    """How long a command lives. Raises Rejected when that is longer than the site allows, or over already."""
    found_s = plain_lease_s(command.lease_s, lease, command.id)
    if command.interval is not None and command.interval.end is not None:
        left_s = command.interval.end.timestamp() - now_s
        if left_s <= 0:
            raise Rejected("expired", "its interval has ended", command.id)
        found_s = min(left_s, lease.max_s) if command.lease_s is None else min(left_s, found_s)
    return found_s


def asked_w(power_w: float | None, percent: float | None, site: Site) -> float:
    """A power that is said in W or in percent of the site's most."""
    return power_w or 0.0 if percent is None else percent / 100 * site.max_mw * 1e6


def target_w(command: Command, site: Site, reference_w: float, least_w: float) -> float:
    """The commanded power in W. Raises Rejected when the site may not or cannot go there."""
    power_w = asked_w(command.power_w, command.percent, site) if command.by_w is None else reference_w + command.by_w
    low_w, high_w = site.min_mw * 1e6, site.max_mw * 1e6
    if not low_w <= power_w <= high_w * (1 + 1e-9):
        place = f"{low_w / 1e6:g} to {high_w / 1e6:g} MW"
        if not command.best_effort:
            raise Rejected("limit", f"{power_w / 1e6:.3f} MW lies outside the site's {place}", command.id)
        power_w = min(max(power_w, low_w), high_w)
    if power_w < least_w - 0.005 * high_w and not command.best_effort:
        message = f"{power_w / 1e6:.3f} MW cannot be reached: racks and cooling need {least_w / 1e6:.3f} MW"
        raise Rejected("unreachable", message + "; ask for that, or with best_effort", command.id)
    return power_w
