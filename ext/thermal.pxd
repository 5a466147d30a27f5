cimport cython
from libc.stdint cimport int64_t
from rampd.ext cimport image
from rampd.ext.codes cimport ACT_DERATE, ACT_NO_RAISE, ACT_SAFE, ENDLESS
from rampd.ext.failsafe cimport fresh
from rampd.ext.rest cimport stir

cdef double capacity(const image.Inputs *inputs, const image.Limits *limits, int64_t loop) noexcept nogil
@cython.locals(warm=bint)
cdef void caps(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
               int64_t now_ns) noexcept nogil
cdef double bounded(const image.Limits *limits, const image.State *state, int64_t i) noexcept nogil
cdef double derated(const image.Inputs *inputs, const image.Limits *limits, int64_t loop) noexcept nogil
cdef bint ample(const image.Limits *limits, const image.State *state) noexcept nogil
@cython.locals(loop=int64_t)
cdef void allow(const image.Inputs *inputs, const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(loop=int64_t)
cdef void relieve(const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(loop=int64_t)
cdef void spare(const image.Limits *limits, image.State *state) noexcept nogil
