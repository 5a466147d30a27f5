cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t
from rampd.ext cimport image
from rampd.ext.codes cimport (
    DOUBT_BEFORE, DOUBT_FALSE, DOUBT_FROZEN, DOUBT_SCALE, ENDLESS, R_NODE_FROZEN, R_NODE_IMPLAUSIBLE, SECOND_NS)
from rampd.ext.failsafe cimport fresh
from rampd.ext.ladder cimport hold

@cython.locals(oldest_ns=int64_t, before=int64_t, slot=int64_t)
cdef int64_t enclose(const image.Inputs *inputs, const image.Limits *limits, image.State *state, int64_t v,
                     int64_t now_ns) noexcept nogil
@cython.locals(read_any=bint, slot=int64_t, before=int64_t)
cdef double currents(const image.Inputs *inputs, const image.Limits *limits, image.State *state, int64_t v,
                     double drawn_w, int64_t now_ns) noexcept nogil
@cython.locals(slot=int64_t)
cdef bint partly(const image.Inputs *inputs, const image.Limits *limits, int64_t v, int64_t now_ns) noexcept nogil
cdef double lean(const image.Inputs *inputs, const image.Limits *limits, image.State *state, int64_t v,
                 double drawn_w, int64_t now_ns) noexcept nogil
cdef double approach(const image.State *state, double believed_w, double least_w, double most_w,
                     int64_t since_ns) noexcept nogil
@cython.locals(slot=int64_t, since_ns=int64_t)
cdef void read(const image.Inputs *inputs, const image.Limits *limits, image.State *state, int64_t v,
               int64_t now_ns) noexcept nogil
@cython.locals(slot=int64_t, above=bint)
cdef void notice(const image.Inputs *inputs, const image.Limits *limits, image.State *state, int64_t v,
                 int64_t now_ns) noexcept nogil
cdef bint still(const image.Limits *limits, image.State *state, int64_t v, double below_least_w,
                double below_most_w) noexcept nogil
cdef void possible(const image.Limits *limits, image.State *state, int64_t v, double below_least_w) noexcept nogil
@cython.locals(again=bint)
cdef void scale(const image.Limits *limits, image.State *state, int64_t v, double below_least_w,
                double below_most_w) noexcept nogil
@cython.locals(reasons=int64_t)
cdef bint doubted(const image.Limits *limits, const image.State *state, int64_t v) noexcept nogil
@cython.locals(zone=int64_t)
cdef void say(const image.Limits *limits, image.State *state, int64_t v, int64_t now_ns) noexcept nogil
@cython.locals(before=int64_t, since_ns=int64_t)
cdef void compare(const image.Limits *limits, image.State *state, int64_t v) noexcept nogil
cdef void recall(const image.Inputs *inputs, const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(oldest_ns=int64_t)
cdef void tell_apart(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
                     int64_t now_ns) noexcept nogil
