cimport cython
from libc.stdint cimport int64_t
from rampd.ext cimport image
from rampd.ext.codes cimport ACT_DERATE, ENDLESS, WHY_COOLING
from rampd.ext.failsafe cimport fresh

cdef double capacity(const image.Inputs *inputs, const image.Limits *limits, int64_t loop) noexcept nogil
cdef void caps(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
               int64_t now_ns) noexcept nogil
cdef void narrow(const image.Inputs *inputs, const image.Limits *limits, image.State *state) noexcept nogil
