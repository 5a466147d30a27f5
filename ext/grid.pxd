cimport cython
from libc.stdint cimport int64_t
from rampd.ext cimport image
from rampd.ext.beside cimport droop
from rampd.ext.codes cimport (
    ACT_DERATE, BASE_SLOTS, ESTOP, R_BREAKER, R_FAULT, R_FREQUENCY_LOST, R_IMPORT_EXCEEDED, R_UNDER_FREQUENCY,
    SECOND_NS, WHY_COOLING, WHY_TRIP)
from rampd.ext.failsafe cimport fresh
from rampd.ext.ladder cimport acts, hold

cdef bint strays(double part) noexcept nogil
@cython.locals(slot=int64_t, read=int64_t, shown=int64_t)
cdef bint faulted(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
                  int64_t now_ns) noexcept nogil
cdef bint owes(const image.Limits *limits, const image.State *state) noexcept nogil
cdef void shed(const image.Limits *limits, image.State *state, bint seen, int64_t now_ns) noexcept nogil
@cython.locals(alone=bint, lasts=bint)
cdef bint exceeds(const image.Inputs *inputs, const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(at_ns=int64_t)
cdef void part(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
               int64_t now_ns) noexcept nogil
@cython.locals(above=bint, emergency=bint, unknown=bint)
cdef void overdraw(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
                   int64_t now_ns) noexcept nogil
cdef void baseline(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
                   int64_t now_ns) noexcept nogil
cdef double cap(const image.Limits *limits, const image.State *state) noexcept nogil
cdef void come_back(const image.Limits *limits, image.State *state, int64_t now_ns) noexcept nogil
@cython.locals(loop=int64_t)
cdef bint uncooled(const image.Limits *limits, const image.State *state) noexcept nogil
@cython.locals(i=int64_t)
cdef double kept_back(const image.Limits *limits, const image.State *state) noexcept nogil
@cython.locals(lost=bint)
cdef void recover(const image.Limits *limits, image.State *state, int64_t now_ns) noexcept nogil
cdef void resume(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
                 int64_t now_ns) noexcept nogil
cdef bint blind(const image.Limits *limits, const image.State *state, int64_t now_ns) noexcept nogil
@cython.locals(seen=bint, lost=bint, holds=bint, unread=bint)
cdef void observe(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
                  int64_t now_ns) noexcept nogil
