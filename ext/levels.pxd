cimport cython
from libc.math cimport floor
from libc.stdint cimport int64_t
from rampd.ext cimport image
from rampd.ext.allocate cimport load

cdef bint room(const image.Limits *limits, const image.State *state, int64_t i, double by_w) noexcept nogil
cdef void give(const image.Limits *limits, image.State *state, int64_t i, double by_w) noexcept nogil
@cython.locals(smooth=bint, has_it=bint, v=int64_t)
cdef void quantise(const image.Limits *limits, image.State *state) noexcept nogil
