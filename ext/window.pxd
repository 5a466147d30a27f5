cimport cython
from libc.stdint cimport int64_t
from rampd.ext cimport image
from rampd.ext.codes cimport ENDLESS, NORMAL, SECOND_NS, WINDOW_SLOTS

@cython.locals(k=int64_t, at=int64_t, base=int64_t)
cdef void note(const image.Limits *limits, image.State *state, int64_t now_ns) noexcept nogil
cdef bint binds(const image.Limits *limits, const image.State *state, int64_t w) noexcept nogil
cdef double highest(const image.Limits *limits, const image.State *state) noexcept nogil
cdef double lowest(const image.Limits *limits, const image.State *state) noexcept nogil
@cython.locals(slot_ns=int64_t, back=int64_t, at=int64_t, k=int64_t)
cdef double leave(const image.Limits *limits, const image.State *state, double way_w, double ahead_s,
                  bint up) noexcept nogil
@cython.locals(k=int64_t, at=int64_t)
cdef void noise(image.State *state, double residual_w, double beside_w, int64_t now_ns) noexcept nogil
@cython.locals(k=int64_t)
cdef double crest(const image.State *state) noexcept nogil
@cython.locals(k=int64_t, back=int64_t)
cdef double swung(const image.State *state, int64_t first, int64_t last) noexcept nogil
cdef double loose(const image.State *state) noexcept nogil
cdef double slope(const image.Limits *limits, int64_t envelope, double noise_w, bint up) noexcept nogil
