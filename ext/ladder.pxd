cimport cython
from libc.stdint cimport int64_t, uint8_t
from rampd.ext cimport image
from rampd.ext.codes cimport REASONS, R_OVERLOAD

cdef void attend(const image.Inputs *inputs, const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(bit=int64_t, at=int64_t)
cdef bint hold(const image.Limits *limits, image.State *state, int64_t zone, int64_t reason, bint is_so,
               int64_t now_ns) noexcept nogil
cdef bint acts(const image.State *state, int64_t zone, int64_t reason) noexcept nogil
@cython.locals(action=int64_t, reason=int64_t)
cdef int64_t worst(const image.Limits *limits, int64_t reasons) noexcept nogil
@cython.locals(first=int64_t, others=int64_t)
cdef void heed(const image.Limits *limits, image.State *state, const uint8_t *tripped) noexcept nogil
