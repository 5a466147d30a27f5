"""The failsafe table: one line a reason, what it does and how it ends. `ext/ladder.py` is the mechanism.

Actions are steps of one ladder; the worst of the reasons that act for a rack, its loop, link and feeder and the site
wins. A reason begins in the tick that shows its condition. Its clear time starts over with every tick in which the
condition holds, so it drains at once and refills only as time goes; a condition that cannot be read counts as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rampd.ext import codes
from rampd.ext.codes import Action, Reason
from rampd.ext.views import Limits

NONE, WARN, NO_RAISE, HOLD, DERATE, SAFE, SHED, TRIP = Action


@dataclass(frozen=True, slots=True)
class Line:
    """One reason. `steers` are those whose action is done by the reference, not rack by rack.

    A reason of a single rack ends with its condition: `clear_s` 0. `reset`: an operator's reset ends it besides.
    """

    reason: Reason
    name: str
    scope: str
    action: Action
    when: str
    does: str
    clear_s: float = 0.0
    reset: bool = False
    steers: bool = False

    @property
    def latches(self) -> bool:
        """Whether the core waits for the reset; what steers is ended by whoever commanded it."""
        return self.reset and not self.steers


TABLE: Final = (
    Line(Reason.R_NEVER_READ, "never_read", "rack", NO_RAISE,
        "its power, or its read-back, was never read since the start", "it is not written, and counts at its rating"),
    Line(Reason.R_STALE, "stale", "rack", NO_RAISE,
        "its last good power reading is older than rack_stale_s", "it does not rise, and counts at its rating"),
    Line(Reason.R_UNRESPONSIVE, "unresponsive", "rack", HOLD,
        "its limit is not accepted, not read back or not obeyed", "it is left where it is; the others do its share"),
    Line(Reason.R_SHED, "shed", "rack", SHED,
        "an under-frequency step has called its tier", "it goes to its least at once"),
    Line(Reason.R_METER_NEVER, "meter_never", "site", NO_RAISE,
        "the site meter was never read since the start", "nothing moves"),
    Line(Reason.R_METER_LOST, "meter_lost", "site", NO_RAISE,
        "the site meter's last good reading is older than meter_stale_s",
        "the racks are led by their own sum and what the rest drew last, and nothing rises; after blind_max_s no "
        "higher than the default", clear_s=1.0),
    Line(Reason.R_METER_FROZEN, "meter_frozen", "site", NO_RAISE,
        "the site meter shows the same for meter_stale_s while the racks' own readings say that they moved",
        "as if the meter were lost", clear_s=11.0),
    Line(Reason.R_METER_IMPLAUSIBLE, "meter_implausible", "site", NO_RAISE,
        "for meter_stale_s the site meter shows less than the racks' own readings add up to, less generation_mw and "
        "what a rack could pretend",
        "as if the meter were lost; the racks alone stay below import_limit_mw", clear_s=11.0),
    Line(Reason.R_FAULT, "fault", "site", HOLD,
        "voltage or frequency outside 0.9 to 1.1 of nominal, or the breaker open; what of it cannot be read any more "
        "counts as it was",
        "set points, reference and demand hold; the load comes back as it was; unread beyond blind_max_s, nothing "
        "rises", clear_s=10.0),
    Line(Reason.R_FREQUENCY_LOST, "frequency_lost", "site", NO_RAISE,
        "the frequency's last good reading is older than meter_stale_s, and [[under]] or droop_percent needs it, or "
        "hold_hz held a ramp up",
        "nothing rises; what was shed stays shed and the response stays as it was, until it is read", clear_s=1.0),
    Line(Reason.R_UNDER_FREQUENCY, "under_frequency", "site", NO_RAISE,
        "the frequency is at or below the first step",
        "nothing rises; the tiers of the step are shed, and come back slowly", clear_s=10.0),
    Line(Reason.R_RETURN, "return", "site", WARN,
        "load comes back after an under-frequency step, an import excess, an open breaker, a stop, or a loop without "
        "cooling",
        "the reference rises at restore.up_mw_per_min, to the mean of the ten minutes before; a command ends it",
        steers=True),
    Line(Reason.R_RETURN_TURN, "return_turn", "feeder", NO_RAISE,
        "load comes back, and it is not this feeder's turn yet", "its racks do not rise"),
    Line(Reason.R_IMPORT, "import", "site", WARN,
        "the purchase is above import_limit_mw, by the meter or by the racks' own readings alone, or would be",
        "the target is cut to it, downwards at once", clear_s=2.0, steers=True),
    Line(Reason.R_IMPORT_EXCEEDED, "import_exceeded", "site", NO_RAISE,
        "the purchase is above import_limit_mw by more than 0.25 % of max_mw and the load's own noise of fifteen "
        "seconds (5 % at most), in two readings of the site meter or by the racks' own readings alone; or by more than "
        "0.25 % in every reading of ten seconds",
        "an emergency: racks go down at once, without ramp limit, nothing rises, and the load comes back slowly",
        clear_s=10.0),
    Line(Reason.R_CHANNEL, "channel", "site", HOLD,
        "the channel of the live command is silent, or that of regulation was and no fresh signal or command came",
        "the reference holds, and regulation; after hold_max_s to the default, never up; then only a fresh command "
        "raises",
        steers=True),
    Line(Reason.R_ESTOP, "estop", "site", TRIP,
        "an emergency stop was commanded", "all racks go to their least at once", reset=True, steers=True),
    Line(Reason.R_COMMON, "common_loss", "feeder, link", NO_RAISE,
        "half of its racks, three at least, became stale within five seconds", "none of its racks rises",
        clear_s=10.0),
    Line(Reason.R_CDU_NEVER, "cdu_never", "loop", NO_RAISE,
        "supply or flow were never read since the start", "its racks do not rise"),
    Line(Reason.R_CDU_STALE, "cdu_stale", "loop", NO_RAISE,
        "supply or flow are older than loop_stale_s", "its racks do not rise; the cap that the flow gave stands",
        clear_s=10.0),
    Line(Reason.R_SUPPLY_WARN, "supply_warn", "loop", NO_RAISE,
        "the supply is at warn_c or above", "its racks do not rise", clear_s=10.0),
    Line(Reason.R_SUPPLY_DERATE, "supply_derate", "loop", DERATE,
        "the supply is at derate_c or above", "its racks are lowered in sum, linearly to their least at max_supply_c",
        clear_s=10.0),
    Line(Reason.R_SUPPLY_TRIP, "supply_trip", "loop", SAFE,
        "the supply is at max_supply_c or above", "its racks go to their least at once", clear_s=10.0, reset=True),
    Line(Reason.R_LOW_FLOW, "low_flow", "loop", DERATE,
        "the flow is below min_flow_lpm", "its racks draw no more than the flow carries, at once",
        clear_s=10.0),
    Line(Reason.R_NO_FLOW, "no_flow", "loop", SAFE,
        "the flow is below a tenth of min_flow_lpm: its pumps have failed", "its racks go to their least at once",
        clear_s=10.0),
    Line(Reason.R_LEAK, "leak", "loop", SAFE,
        "a leak bit is set, however old", "its racks go to their least at once", clear_s=10.0, reset=True),
    Line(Reason.R_CONDENSATION, "condensation", "loop", NO_RAISE,
        "the supply is less than condensation_margin_k above the dew point",
        "its racks do not rise where it may be wet; nothing is shed: less heat would make the supply colder still",
        clear_s=10.0),
    Line(Reason.R_SWING, "swing", "site", WARN,
        "the purchase swings by more than swing_limit_mw within five seconds, and no set point explains it",
        "it is said, and nothing is barred: what makes up for it must be free to rise", clear_s=60.0),
    Line(Reason.R_OVERLOAD, "overload", "node", TRIP,
        "the guard sent its racks to their least, and it draws more than its limit, by its own meter, or by their "
        "readings, a silent rack's last, and what draws there beside them, for longer than they, and those of the "
        "nodes below before them, need to obey",
        "all racks below it go off at once", reset=True),
    Line(Reason.R_BREAKER, "breaker_open", "site", NO_RAISE,
        "for a second the breaker's contact says open and the site meter shows no more than 0.5 % of max_mw; what of "
        "it cannot be read any more counts as it was",
        "an emergency: racks go down at once to what is generated behind the meter, without ramp limit, and the load "
        "comes back slowly", clear_s=10.0),
    Line(Reason.R_NODE_FROZEN, "node_meter_frozen", "node", WARN,
        "the node's own meter shows the same to the last bit, for three times as long as a reading counts since by "
        "their own readings the racks below moved by more than one of them could pretend",
        "as if it were not read: what draws there beside the racks counts as it last did, and no less", clear_s=11.0),
    Line(Reason.R_NODE_IMPLAUSIBLE, "node_meter_implausible", "node", WARN,
        "for three times as long as a reading counts the node's own meter shows less than the racks below read in sum "
        "and one could pretend, or more than twice its rating; or in four clear moves of theirs in a row it moved by "
        "the same other part, or by as many times, of what they did: a wrong scale",
        "what draws there beside the racks counts at the most that it was or is found to be, and a trip does not go by "
        "that meter", clear_s=11.0),
)  # fmt: skip


def fill(limits: Limits) -> None:
    """Puts the table into the core's configuration."""
    for line in TABLE:
        limits.reason_action[line.reason] = NONE if line.steers else line.action
        limits.reason_clear_ns[line.reason] = round(line.clear_s * codes.SECOND_NS)
        limits.reason_latches[line.reason] = line.latches
