cimport cython
from libc.math cimport sqrt
from libc.stdint cimport int64_t
from rampd.ext cimport image
from rampd.ext.codes cimport R_SWING, SECOND_NS, WINDOW_SLOTS
from rampd.ext.ladder cimport hold
from rampd.ext.window cimport loose

@cython.locals(at=int64_t, k=int64_t)
cdef void extent(image.State *state, double value_w, int64_t at_ns) noexcept nogil
cdef void band(image.State *state, double value_w, double since_s) noexcept nogil
@cython.locals(side=int64_t, half_ns=int64_t, regular=bint)
cdef bint turned(const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(quiet_ns=int64_t)
cdef void tune(const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(at_ns=int64_t, wild=bint)
cdef void swing(const image.Inputs *inputs, const image.Limits *limits, image.State *state) noexcept nogil
