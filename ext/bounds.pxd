cimport cython
from libc.stdint cimport int64_t
from rampd.ext cimport image
from rampd.ext.codes cimport (
    ACT_NO_RAISE, ACT_SAFE, ACT_SHED, ACT_TRIP, AVAILABLE, ESTOP, LOCKED, UNRESPONSIVE, WHY_COOLING, WHY_GRID,
    WHY_LOCKED, WHY_MANUAL, WHY_MAX, WHY_SHED, WHY_STALE, WHY_TRIP, WHY_UNRESPONSIVE)
from rampd.ext.rest cimport rests

cdef void usual(const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(action=int64_t, why=int64_t)
cdef double restrict(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
                     int64_t i) noexcept nogil
@cython.locals(may=bint)
cdef double wake(const image.Limits *limits, image.State *state, int64_t i, double room_w) noexcept nogil
@cython.locals(count=int64_t)
cdef int64_t apart(const image.Inputs *inputs, const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(as_usual=bint, v=int64_t)
cdef void look(const image.Inputs *inputs, const image.Limits *limits, image.State *state, int64_t i) noexcept nogil
@cython.locals(i=int64_t)
cdef void bounds(const image.Inputs *inputs, const image.Limits *limits, image.State *state) noexcept nogil
cdef void gather(const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(i=int64_t, k=int64_t)
cdef void overhang(const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(v=int64_t)
cdef bint shut(const image.Limits *limits, const image.State *state, int64_t i) noexcept nogil
cdef void stay(const image.Limits *limits, image.State *state) noexcept nogil
cdef bint live(const image.Inputs *inputs, const image.State *state, int64_t i) noexcept nogil
@cython.locals(v=int64_t)
cdef bint broken(const image.Limits *limits, const image.State *state, int64_t i) noexcept nogil
cdef bint arrived(const image.Inputs *inputs, const image.Limits *limits, const image.State *state,
                  int64_t i) noexcept nogil
cdef void keep_free(const image.Limits *limits, image.State *state) noexcept nogil
