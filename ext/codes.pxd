from libc.stdint cimport int64_t

# The numbers that cross the wall between asyncio and the control thread; rampd.ext.codes holds them for Python.

cdef enum:
    NEVER = 0
    GOOD = 1
    SENTINEL = 2
    RANGE = 3
    REFUSED = 4

cdef enum:
    AVAILABLE = 0
    MANUAL = 1
    LOCKED = 2
    UNRESPONSIVE = 3

cdef enum:
    STAND = 0
    TRACK = 1
    HOLD = 2
    ESTOP = 3

cdef enum:
    NORMAL = 0
    DISPATCHED = 1
    EMERGENCY = 2

cdef enum:
    AFTER_FLAT = 0
    AFTER_BACK = 1
    AFTER_HELD = 2
    AFTER_LOWER = 3

cdef enum:
    ACT_NONE = 0
    ACT_WARN = 1
    ACT_NO_RAISE = 2
    ACT_HOLD = 3
    ACT_DERATE = 4
    ACT_SAFE = 5
    ACT_SHED = 6
    ACT_TRIP = 7

cdef enum:
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

cdef enum:
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

cdef enum:
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

cdef enum:
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

cdef enum:
    FAULT_NONE = 0
    FAULT_SETPOINT = 1
    FAULT_CLOCK = 2

cdef enum:
    DOUBT_FROZEN = 1
    DOUBT_FALSE = 2
    DOUBT_SCALE = 4
    DOUBT_BEFORE = 8

cdef enum:
    EXCURSION_NONE = 0
    EXCURSION_DOWN = 1
    EXCURSION_UP = 2

cdef enum:
    LINEAR = 0
    S_CURVE = 1

cdef enum:
    BASE_SLOTS = 60
    WINDOW_SLOTS = 16
    HORIZONS = 3
    FIRMS = 6
    LUMPS = 12
    LOOKS = 20

cdef extern from *:
    """
    #include <stdint.h>
    #define RAMPD_ENDLESS 1e300
    #define RAMPD_SECOND_NS INT64_C(1000000000)
    """
    const int64_t SECOND_NS "RAMPD_SECOND_NS"
    const double ENDLESS "RAMPD_ENDLESS"
