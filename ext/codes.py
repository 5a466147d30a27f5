"""The numbers that cross the wall between asyncio and the control thread, as Python sees them.

`codes.pxd` holds the same numbers for the compiled side; a test compares the two.
"""

from __future__ import annotations

from enum import IntEnum


class Quality(IntEnum):
    """What a value is worth. Only GOOD may be computed with; age is judged apart."""

    NEVER = 0
    GOOD = 1
    SENTINEL = 2
    RANGE = 3
    REFUSED = 4


class RackState(IntEnum):
    """What actuation knows of a rack. Only AVAILABLE racks are moved."""

    AVAILABLE = 0
    MANUAL = 1
    LOCKED = 2
    UNRESPONSIVE = 3


class Verb(IntEnum):
    """What the arbitrated command asks; STAND is the absence of one."""

    STAND = 0
    TRACK = 1
    HOLD = 2
    ESTOP = 3


class Envelope(IntEnum):
    """Which set of ramp limits binds."""

    NORMAL = 0
    DISPATCHED = 1
    EMERGENCY = 2


class After(IntEnum):
    """What follows a regulation signal that has ended: the purchase stays where it is, until somebody says more.

    BACK: to the set point. HELD: its channel was lost, it stays. LOWER: for too long, it only goes down.
    """

    AFTER_FLAT = 0
    AFTER_BACK = 1
    AFTER_HELD = 2
    AFTER_LOWER = 3


class Action(IntEnum):
    """The failsafe ladder, in order of severity; the worst of the set of reasons wins."""

    ACT_NONE = 0
    ACT_WARN = 1
    ACT_NO_RAISE = 2
    ACT_HOLD = 3
    ACT_DERATE = 4
    ACT_SAFE = 5
    ACT_SHED = 6
    ACT_TRIP = 7


class Reason(IntEnum):
    """The reasons of the failsafe ladder, see `rampd.ext.reasons`; REASONS is their number."""

    R_NEVER_READ = 0
    R_STALE = 1
    R_UNRESPONSIVE = 2
    R_SHED = 3
    R_METER_NEVER = 4
    R_METER_LOST = 5
    R_METER_FROZEN = 6
    R_METER_IMPLAUSIBLE = 7
    R_FAULT = 8
    R_FREQUENCY_LOST = 9
    R_UNDER_FREQUENCY = 10
    R_RETURN = 11
    R_RETURN_TURN = 12
    R_IMPORT = 13
    R_IMPORT_EXCEEDED = 14
    R_CHANNEL = 15
    R_ESTOP = 16
    R_COMMON = 17
    R_CDU_NEVER = 18
    R_CDU_STALE = 19
    R_SUPPLY_WARN = 20
    R_SUPPLY_DERATE = 21
    R_SUPPLY_TRIP = 22
    R_LOW_FLOW = 23
    R_NO_FLOW = 24
    R_LEAK = 25
    R_CONDENSATION = 26
    R_SWING = 27
    R_OVERLOAD = 28
    R_BREAKER = 29
    R_NODE_FROZEN = 30
    R_NODE_IMPLAUSIBLE = 31
    REASONS = 32


class Why(IntEnum):
    """What holds a rack where it is."""

    WHY_SHARE = 0
    WHY_MAX = 1
    WHY_MIN = 2
    WHY_DEMAND = 3
    WHY_RATE = 4
    WHY_NODE = 5
    WHY_COOLING = 6
    WHY_STALE = 7
    WHY_UNRESPONSIVE = 8
    WHY_MANUAL = 9
    WHY_GUARD = 10
    WHY_SHED = 11
    WHY_GRID = 12
    WHY_REST = 13
    WHY_SWING = 14
    WHY_TRIP = 15
    WHY_LOCKED = 16


class SiteWhy(IntEnum):
    """What holds the site's total where it is."""

    SITE_REFERENCE = 0
    SITE_IMPORT = 1
    SITE_RATE = 2
    SITE_FLOOR = 3
    SITE_ROOM = 4
    SITE_METER = 5
    SITE_ESTOP = 6
    SITE_FAULT = 7
    SITE_FREQUENCY = 8
    SITE_WINDOW = 9
    SITE_RETURN = 10
    SITE_CHANNEL = 11
    SITE_MINIMUM = 12
    SITE_MAXIMUM = 13


class Veto(IntEnum):
    """Why the guard withheld a set point; VETOES is their number."""

    VETO_LEVEL = 0
    VETO_STALE = 1
    VETO_COOLING = 2
    VETO_RISE = 3
    VETO_FALL = 4
    VETO_NODE = 5
    VETO_SAFE = 6
    VETO_GRID = 7
    VETO_TRIP = 8
    VETOES = 9


class Fault(IntEnum):
    """What a kernel says instead of raising; anything but FAULT_NONE leaves the watchdog unfed."""

    FAULT_NONE = 0
    FAULT_SETPOINT = 1
    FAULT_CLOCK = 2


class Doubt(IntEnum):
    """Bits of why a node's meter is not believed: it is frozen, shows what cannot be, or is wrong in scale.

    BEFORE: something was known by it before a restart, and since then it was not seen to move.
    """

    DOUBT_FROZEN = 1
    DOUBT_FALSE = 2
    DOUBT_SCALE = 4
    DOUBT_BEFORE = 8


class Excursion(IntEnum):
    """Whether a rack's set point is on its way from rest to rest, and in which direction."""

    EXCURSION_NONE = 0
    EXCURSION_DOWN = 1
    EXCURSION_UP = 2


class Shape(IntEnum):
    """How a reference goes to its goal."""

    LINEAR = 0
    S_CURVE = 1


class Size(IntEnum):
    """Lengths of fixed arrays: ten-second means of the baseline, slots of a rolling window; of firm capacity the
    horizons, the figures in both directions, and the sizes of what may be lost at once; moments ahead of slow racks.
    """

    BASE_SLOTS = 60
    WINDOW_SLOTS = 16
    HORIZONS = 3
    FIRMS = 6
    LUMPS = 12
    LOOKS = 20


NEVER, GOOD, SENTINEL, RANGE, REFUSED = Quality
AVAILABLE, MANUAL, LOCKED, UNRESPONSIVE = RackState
STAND, TRACK, HOLD, ESTOP = Verb
NORMAL, DISPATCHED, EMERGENCY = Envelope
AFTER_FLAT, AFTER_BACK, AFTER_HELD, AFTER_LOWER = After
ACT_NONE, ACT_WARN, ACT_NO_RAISE, ACT_HOLD, ACT_DERATE, ACT_SAFE, ACT_SHED, ACT_TRIP = Action
(
    R_NEVER_READ, R_STALE, R_UNRESPONSIVE, R_SHED, R_METER_NEVER, R_METER_LOST, R_METER_FROZEN, R_METER_IMPLAUSIBLE,
    R_FAULT, R_FREQUENCY_LOST, R_UNDER_FREQUENCY, R_RETURN, R_RETURN_TURN, R_IMPORT, R_IMPORT_EXCEEDED, R_CHANNEL,
    R_ESTOP, R_COMMON, R_CDU_NEVER, R_CDU_STALE, R_SUPPLY_WARN, R_SUPPLY_DERATE, R_SUPPLY_TRIP, R_LOW_FLOW,
    R_NO_FLOW, R_LEAK, R_CONDENSATION, R_SWING, R_OVERLOAD, R_BREAKER,
    R_NODE_FROZEN, R_NODE_IMPLAUSIBLE, REASONS,
) = Reason  # fmt: skip
(
    WHY_SHARE, WHY_MAX, WHY_MIN, WHY_DEMAND, WHY_RATE, WHY_NODE, WHY_COOLING, WHY_STALE, WHY_UNRESPONSIVE, WHY_MANUAL,
    WHY_GUARD, WHY_SHED, WHY_GRID, WHY_REST, WHY_SWING, WHY_TRIP, WHY_LOCKED,
) = Why  # fmt: skip
(
    SITE_REFERENCE, SITE_IMPORT, SITE_RATE, SITE_FLOOR, SITE_ROOM, SITE_METER, SITE_ESTOP, SITE_FAULT, SITE_FREQUENCY,
    SITE_WINDOW, SITE_RETURN, SITE_CHANNEL, SITE_MINIMUM, SITE_MAXIMUM,
) = SiteWhy  # fmt: skip
(
    VETO_LEVEL, VETO_STALE, VETO_COOLING, VETO_RISE, VETO_FALL, VETO_NODE, VETO_SAFE, VETO_GRID, VETO_TRIP, VETOES,
) = Veto  # fmt: skip
FAULT_NONE, FAULT_SETPOINT, FAULT_CLOCK = Fault
DOUBT_FROZEN, DOUBT_FALSE, DOUBT_SCALE, DOUBT_BEFORE = Doubt
EXCURSION_NONE, EXCURSION_DOWN, EXCURSION_UP = Excursion
LINEAR, S_CURVE = Shape
BASE_SLOTS, WINDOW_SLOTS, HORIZONS, FIRMS, LUMPS, LOOKS = Size
ENDLESS = 1e300
"""A power that no limit reaches; finite, so that arithmetic on it stays finite."""
SECOND_NS = 1_000_000_000
