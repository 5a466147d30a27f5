cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t
from rampd.ext cimport image
from rampd.ext.codes cimport (
    ACT_NO_RAISE, ACT_SAFE, AVAILABLE, ENDLESS, ESTOP, GOOD, LOCKED, MANUAL, REASONS, R_CDU_NEVER, R_CDU_STALE,
    R_CHANNEL, R_COMMON, R_CONDENSATION, R_ESTOP, R_IMPORT, R_LEAK, R_LOW_FLOW, R_METER_FROZEN, R_METER_IMPLAUSIBLE,
    R_METER_LOST, R_METER_NEVER, R_NEVER_READ, R_NO_FLOW, R_RETURN, R_RETURN_TURN, R_SHED, R_STALE, R_SUPPLY_DERATE,
    R_SUPPLY_TRIP, R_SUPPLY_WARN, R_UNRESPONSIVE, SECOND_NS, SITE_IMPORT, STAND, UNRESPONSIVE)
from rampd.ext.beside cimport stranded
from rampd.ext.crash cimport forget
from rampd.ext.ladder cimport acts, hold, worst
from rampd.ext.meter cimport unlearn

cdef bint fresh(const image.Inputs *inputs, int64_t slot, int64_t stale_ns, int64_t now_ns) noexcept nogil
cdef double level(const image.Limits *limits, int64_t i, double asked_w) noexcept nogil
@cython.locals(at_ns=int64_t)
cdef void freeze(const image.Inputs *inputs, const image.Limits *limits, image.State *state) noexcept nogil
cdef bint implausible(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
                      int64_t now_ns) noexcept nogil
cdef void remember(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
                   int64_t now_ns) noexcept nogil
@cython.locals(is_fresh=bint, never=bint, lost=bint, frozen=bint, false=bint, good=bint)
cdef void meter(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
                int64_t now_ns) noexcept nogil
cdef bint importing(const image.Inputs *inputs, const image.Limits *limits, const image.State *state) noexcept nogil
@cython.locals(feeder=int64_t, waits=bint, lost=bint)
cdef void steering(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
                   int64_t now_ns) noexcept nogil
@cython.locals(supply=int64_t, flow=int64_t, leak=int64_t, dew=int64_t, so=int64_t, warm=bint, met=bint)
cdef int64_t ailing(const image.Inputs *inputs, const image.Limits *limits, const image.State *state, int64_t loop,
                    int64_t acted, int64_t now_ns) noexcept nogil
@cython.locals(zone=int64_t, leak=int64_t, reason=int64_t, so=int64_t)
cdef void cooling(const image.Inputs *inputs, const image.Limits *limits, image.State *state, int64_t loop,
                  int64_t now_ns) noexcept nogil
@cython.locals(many=int64_t, still=bint)
cdef void common(const image.Limits *limits, image.State *state, int64_t zone, int64_t now_ns) noexcept nogil
cdef void burst(image.State *state, int64_t zone, int64_t now_ns) noexcept nogil
@cython.locals(feeder=int64_t, link=int64_t, since=bint, linked=bint)
cdef int64_t silent(const image.Limits *limits, image.State *state, int64_t i, int64_t now_ns) noexcept nogil
@cython.locals(zone=int64_t, loop=int64_t, reason=int64_t)
cdef void zones(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
                int64_t now_ns) noexcept nogil
cdef void oldest(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
                 int64_t now_ns) noexcept nogil
@cython.locals(slots='const int32_t *', value='const double *', at_ns='const int64_t *', quality='const uint8_t *',
               stale_ns='const int64_t *', max_w='const double *', is_fresh='uint8_t *', slot=int64_t, read_ns=int64_t,
               seen_ns='const int64_t *', news='int32_t *', count=int64_t)
cdef void hear(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
               int64_t now_ns) noexcept nogil
@cython.locals(action='uint8_t *', zone=int64_t, worst_of=int64_t, loops=int64_t, of_zones=int64_t,
               first=int64_t)
cdef void beset(const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(known='const uint8_t *', is_fresh='const uint8_t *', stale='uint8_t *', action='const uint8_t *',
               usual='uint8_t *', rack_state='const uint8_t *', racks=int64_t, calm=uint8_t)
cdef void judge(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
                int64_t now_ns) noexcept nogil
@cython.locals(action=int64_t, rack_state=int64_t, ours=bint)
cdef void sentence(const image.Inputs *inputs, const image.Limits *limits, image.State *state, int64_t i,
                   int64_t now_ns) noexcept nogil
cdef void adopt(const image.Inputs *inputs, const image.Limits *limits, image.State *state, int64_t i,
                int64_t now_ns) noexcept nogil
