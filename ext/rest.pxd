cimport cython
from libc.stdint cimport int64_t
from rampd.ext cimport image
from rampd.ext.codes cimport ACT_DERATE, ACT_NO_RAISE, EMERGENCY, ESTOP, WHY_REST

cdef void recall(const image.Inputs *inputs, const image.Limits *limits, image.State *state) noexcept nogil
cdef void rest(const image.Limits *limits, image.State *state, int64_t i, bint risen) noexcept nogil
cdef void stir(image.State *state, int64_t i) noexcept nogil
cdef void rests(const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(safe=bint)
cdef void stay(const image.Limits *limits, image.State *state, int64_t i) noexcept nogil
