cimport cython
from libc.stdint cimport int64_t
from rampd.ext cimport image
from rampd.ext.codes cimport AVAILABLE, EXCURSION_DOWN, EXCURSION_NONE, EXCURSION_UP
from rampd.ext.levels cimport below

@cython.locals(i=int64_t)
cdef void begin(const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(down=bint, since_ns=int64_t, quiet_ns=int64_t)
cdef void moved(const image.Limits *limits, image.State *state, int64_t i, double before_w) noexcept nogil
cdef double bounded(double value, double least, double most) noexcept nogil
cdef double revise(double belief, double low, double high, bint slower_is_more) noexcept nogil
cdef int64_t longest(const image.Limits *limits, int64_t given) noexcept nogil
@cython.locals(down=bint, given=int64_t, ticks=int64_t)
cdef void dead(const image.Limits *limits, image.State *state, int64_t i) noexcept nogil
@cython.locals(slow=bint)
cdef void hesitate(const image.Limits *limits, image.State *state, int64_t i) noexcept nogil
@cython.locals(given_ticks=int64_t, ago=int64_t, row=int64_t)
cdef bint near_its_goal(const image.Limits *limits, const image.State *state, int64_t i, bint down) noexcept nogil
@cython.locals(down=bint)
cdef void slope(const image.Limits *limits, image.State *state, int64_t i, double measured_w,
                int64_t at_ns) noexcept nogil
@cython.locals(dead_ticks=int64_t, ago=int64_t, row=int64_t)
cdef double earlier(const image.Limits *limits, const image.State *state, int64_t i) noexcept nogil
@cython.locals(follows=bint)
cdef void weigh(const image.Limits *limits, image.State *state, int64_t i, double measured_w) noexcept nogil
cdef void regard(const image.Limits *limits, image.State *state, int64_t i, double gain) noexcept nogil
cdef void judge(image.State *state, int64_t i, bint obeyed) noexcept nogil
cdef void rest(const image.Limits *limits, image.State *state, int64_t i, double least_w) noexcept nogil
@cython.locals(still=bint)
cdef void settle(const image.Limits *limits, image.State *state, int64_t i, double measured_w) noexcept nogil
@cython.locals(at_ns=int64_t, down=bint)
cdef void take(const image.Inputs *inputs, const image.Limits *limits, image.State *state, int64_t i) noexcept nogil
