cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t
from rampd.ext cimport image
from rampd.ext.codes cimport (
    AVAILABLE, DISPATCHED, ESTOP, GOOD, R_OVERLOAD, SECOND_NS, STAND, VETO_COOLING, VETO_FALL, VETO_GRID, VETO_LEVEL,
    VETO_NODE, VETO_RISE, VETO_SAFE, VETO_STALE, VETO_TRIP)

cdef bint good(const image.Inputs *inputs, int64_t slot, int64_t stale_ns, int64_t now_ns) noexcept nogil
@cython.locals(at_ns=int64_t)
cdef void alive(const image.Inputs *inputs, const image.Limits *limits, image.Watch *watch, bint fault,
                int64_t now_ns) noexcept nogil
@cython.locals(at_ns=int64_t)
cdef void believe(const image.Inputs *inputs, const image.Limits *limits, image.Watch *watch, bint fault,
                  int64_t now_ns) noexcept nogil
@cython.locals(slots='const int32_t *', quality='const uint8_t *', rack_state='const uint8_t *',
               stale_ns='const int64_t *', least_w='double *', heard_ns='int64_t *', slot=int64_t, read_ns=int64_t)
cdef void listen(const image.Inputs *inputs, const image.Limits *limits, image.Watch *watch,
                 int64_t now_ns) noexcept nogil
cdef void oldest(const image.Inputs *inputs, const image.Limits *limits, image.Watch *watch,
                 int64_t now_ns) noexcept nogil
cdef bint strays(double part) noexcept nogil
@cython.locals(slot=int64_t, seen=int64_t)
cdef bint faulted(const image.Inputs *inputs, const image.Limits *limits, image.Watch *watch,
                  int64_t now_ns) noexcept nogil
@cython.locals(slot=int64_t)
cdef bint opened(const image.Inputs *inputs, const image.Limits *limits, int64_t now_ns) noexcept nogil
cdef void veto(image.Watch *watch, int64_t i, int64_t why) noexcept nogil
cdef void meet(const image.Inputs *inputs, const image.Limits *limits, image.Watch *watch, int64_t i,
               int64_t now_ns) noexcept nogil
@cython.locals(first=int64_t, last=int64_t)
cdef bint has(const image.Limits *limits, int64_t i, double asked_w) noexcept nogil
@cython.locals(loop=int64_t, supply=int64_t)
cdef double rack(const image.Inputs *inputs, const image.Limits *limits, image.Watch *watch, int64_t i, double asked_w,
                 bint meter_good, bint fault, int64_t now_ns) noexcept nogil
@cython.locals(known='const uint8_t *', last_w='const double *', strangers=uint8_t)
cdef double own(const image.Inputs *inputs, const image.Limits *limits, image.Watch *watch, const double *asked_w,
                double *out_w, bint meter_good, bint fault, int64_t now_ns) noexcept nogil
@cython.locals(leased=bint, dispatched=bint, over=bint, free=bint)
cdef void pace(const image.Inputs *inputs, const image.Limits *limits, image.Watch *watch, double *out_w,
               double change_w, int64_t now_ns) noexcept nogil
@cython.locals(supply=int64_t, flow=int64_t, leak=int64_t)
cdef bint uncooled(const image.Inputs *inputs, const image.Limits *limits, int64_t loop, int64_t now_ns) noexcept nogil
@cython.locals(dew=int64_t)
cdef bint damp(const image.Inputs *inputs, const image.Limits *limits, int64_t loop, int64_t now_ns) noexcept nogil
@cython.locals(parent=int64_t, broken=bint)
cdef void total(const image.Limits *limits, image.Watch *watch, const double *out_w) noexcept nogil
@cython.locals(withdrawn=bint)
cdef void nodes(const image.Limits *limits, image.Watch *watch, double *out_w, int64_t now_ns) noexcept nogil
cdef double load(const image.Limits *limits, const image.Watch *watch, int64_t v) noexcept nogil
@cython.locals(reset=bint, sent=bint)
cdef void trips(const image.Inputs *inputs, const image.Limits *limits, image.Watch *watch, double *out_w,
                int64_t now_ns) noexcept nogil
@cython.locals(first=int64_t)
cdef void wake(const image.Inputs *inputs, const image.Limits *limits, image.Watch *watch,
               int64_t now_ns) noexcept nogil
@cython.locals(meter_good=bint, fault=bint, vetoed='uint8_t *', last_w='double *')
cdef void check(const image.Inputs *inputs, const image.Limits *limits, image.Watch *watch, const double *asked_w,
                double *out_w, int64_t now_ns) noexcept nogil
