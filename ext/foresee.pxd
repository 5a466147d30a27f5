cimport cython
from libc.stdint cimport int64_t
from rampd.ext cimport image
from rampd.ext.beside cimport bounded, quickest, regulable, regulate
from rampd.ext.codes cimport ESTOP, WINDOW_SLOTS
from rampd.ext.ramp cimport on_its_way
from rampd.ext.window cimport leave

cdef double along(const image.State *state, double seconds) noexcept nogil
@cython.locals(up=bint)
cdef double moves(const image.Limits *limits, const image.State *state, double seconds, double dt_s) noexcept nogil
@cython.locals(part=int64_t, back=int64_t, k=int64_t)
cdef double drift(const image.State *state) noexcept nogil
cdef double leads(const image.Limits *limits, const image.State *state, double seconds, double dt_s) noexcept nogil
cdef void foresee(const image.Limits *limits, image.State *state, double dt_s) noexcept nogil
