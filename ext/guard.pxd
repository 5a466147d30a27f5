cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t
from rampd.ext cimport image
from rampd.ext.codes cimport (
    DISPATCHED, DOUBT_BEFORE, ENDLESS, ESTOP, GOOD, R_OVERLOAD, STAND, VETO_COOLING, VETO_FALL, VETO_GRID, VETO_LEVEL,
    VETO_RISE, VETO_STALE)
from rampd.ext.warden cimport nodes, trips, veto
from rampd.ext.witness cimport alive, believe, faulted, good, listen, opened, recall, survey

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
@cython.locals(first=int64_t)
cdef void wake(const image.Inputs *inputs, const image.Limits *limits, image.Watch *watch,
               int64_t now_ns) noexcept nogil
@cython.locals(meter_good=bint, fault=bint, vetoed='uint8_t *', last_w='double *')
cdef void check(const image.Inputs *inputs, const image.Limits *limits, image.Watch *watch, const double *asked_w,
                double *out_w, int64_t now_ns) noexcept nogil
