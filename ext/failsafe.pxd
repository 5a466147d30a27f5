cimport cython
from libc.stdint cimport int64_t
from rampd.ext cimport image
from rampd.ext.codes cimport ACT_DERATE, ACT_NO_RAISE, ACT_NONE, ACT_SAFE, ACT_SHED, ENDLESS, GOOD, SECOND_NS

cdef bint fresh(const image.Inputs *inputs, int64_t slot, int64_t stale_ns, int64_t now_ns) noexcept nogil
cdef double level(const image.Limits *limits, int64_t i, double asked_w) noexcept nogil
@cython.locals(at_ns=int64_t)
cdef void freeze(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
                 int64_t now_ns) noexcept nogil
@cython.locals(is_fresh=bint)
cdef void meter(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
                int64_t now_ns) noexcept nogil
@cython.locals(action=int64_t, leak=int64_t)
cdef int64_t cooling(const image.Inputs *inputs, const image.Limits *limits, image.State *state, int64_t loop,
                     int64_t now_ns) noexcept nogil
@cython.locals(action=int64_t, is_fresh=bint, slot=int64_t)
cdef void judge(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
                int64_t now_ns) noexcept nogil
cdef void adopt(const image.Inputs *inputs, const image.Limits *limits, image.State *state, int64_t i,
                int64_t now_ns) noexcept nogil
