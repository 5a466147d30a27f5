cimport cython
from libc.stdint cimport int64_t
from rampd.ext cimport image
from rampd.ext.codes cimport ENDLESS

@cython.locals(i=int64_t, arc=int64_t)
cdef void clear(const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(i=int64_t, k=int64_t, arc=int64_t)
cdef double offer(const image.Limits *limits, image.State *state, int64_t tier, const double *lo_w,
                  const double *hi_w) noexcept nogil
@cython.locals(outlet=int64_t, turns=int64_t)
cdef void exchange(const image.Limits *limits, image.State *state, double total_w, bint dear) noexcept nogil
@cython.locals(v=int64_t, loop=int64_t, up=int64_t, nodes=int64_t)
cdef void find_room(const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(v=int64_t, loop=int64_t, nodes=int64_t)
cdef void take_room(const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(v=int64_t, vertices=int64_t, arc=int64_t, head=int64_t, found=bint)
cdef bint weigh(const image.Limits *limits, image.State *state, double grain_w) noexcept nogil
@cython.locals(v=int64_t, outlet=int64_t, arc=int64_t, head=int64_t, depth=int64_t, k=int64_t)
cdef double push(const image.Limits *limits, image.State *state, double most_w, double grain_w) noexcept nogil
@cython.locals(i=int64_t, up=int64_t, down=int64_t)
cdef void deal_out(const image.Limits *limits, image.State *state, const double *lo_w,
                   const double *hi_w) noexcept nogil
