cimport cython
from libc.stdint cimport int64_t, uint8_t
from rampd.ext cimport image
from rampd.ext.codes cimport DISPATCHED, ENDLESS, SECOND_NS, WHY_SWING
from rampd.ext.levels cimport below

@cython.locals(recent_ns=int64_t, again=bint)
cdef bint watch(const image.Limits *limits, image.State *state, int64_t i, double measured_w,
                double sure_w) noexcept nogil
cdef double allowed(const image.Limits *limits, const image.State *state) noexcept nogil
cdef double reached(const image.Limits *limits, const image.State *state) noexcept nogil
@cython.locals(i=int64_t, found=uint8_t)
cdef bint any_swings(const image.Limits *limits, const image.State *state) noexcept nogil
cdef void decide(const image.Limits *limits, image.State *state) noexcept nogil
cdef void standing(const image.Limits *limits, image.State *state, double total_w) noexcept nogil
cdef double soon(const image.Limits *limits, const image.State *state, int64_t i) noexcept nogil
cdef double cap(const image.Limits *limits, const image.State *state, int64_t i) noexcept nogil
