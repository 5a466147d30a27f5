cimport cython
from libc.stdint cimport int64_t
from rampd.ext cimport image
from rampd.ext.codes cimport DISPATCHED, EMERGENCY, ESTOP, HOLD, NORMAL, STAND, TRACK

cdef bint live(const image.Inputs *inputs, int64_t now_ns) noexcept nogil
cdef double goal(const image.Limits *limits, double asked_w) noexcept nogil
@cython.locals(up=bint)
cdef double pace(const image.Inputs *inputs, const image.Limits *limits, const image.State *state) noexcept nogil
cdef void rest(const image.Limits *limits, image.State *state, bint may_raise) noexcept nogil
cdef void take(const image.Inputs *inputs, const image.Limits *limits, image.State *state) noexcept nogil
cdef void follow(const image.Inputs *inputs, const image.Limits *limits, image.State *state, int64_t now_ns,
                 double dt_s) noexcept nogil
