cimport cython
from libc.stdint cimport int64_t
from rampd.ext cimport image
from rampd.ext.codes cimport (
    AFTER_BACK, AFTER_HELD, AFTER_LOWER, DISPATCHED, ESTOP, NORMAL, SITE_CHANNEL, SITE_FLOOR, SITE_IMPORT,
    SITE_MAXIMUM, SITE_MINIMUM, SITE_REFERENCE, SITE_ROOM)
from rampd.ext.window cimport slope

cdef double droop(const image.Limits *limits, double away_hz) noexcept nogil
cdef double bounded(double by_w, double at_w, double least_w, double most_w) noexcept nogil
cdef double highest(const image.Limits *limits, const image.State *state) noexcept nogil
cdef double regulable(const image.Limits *limits, const image.State *state, double by_w, double at_w) noexcept nogil
cdef double unmet(const image.Limits *limits, const image.State *state) noexcept nogil
cdef double given(const image.Limits *limits, const image.State *state, double at_w) noexcept nogil
@cython.locals(dispatched=bint)
cdef double quickest(const image.Limits *limits, const image.State *state) noexcept nogil
@cython.locals(ended=bint)
cdef bint stranded(const image.Inputs *inputs, const image.State *state, int64_t now_ns) noexcept nogil
@cython.locals(emergency=bint)
cdef void hear(const image.Inputs *inputs, image.State *state, double moved_w, int64_t now_ns) noexcept nogil
@cython.locals(up=bint)
cdef double regulate(const image.Limits *limits, const image.State *state, double moved_w, double dt_s) noexcept nogil
@cython.locals(stays=bint)
cdef void stand_beside(const image.Inputs *inputs, const image.Limits *limits, image.State *state, double moved_w,
                       int64_t now_ns, double dt_s) noexcept nogil
cdef void bind(const image.Limits *limits, image.State *state, double regulation_w, double response_w) noexcept nogil
