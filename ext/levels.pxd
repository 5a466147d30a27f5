cimport cython
from libc.math cimport floor
from libc.stdint cimport int64_t
from rampd.ext cimport image
from rampd.ext.allocate cimport allocate
from rampd.ext.beside cimport given, quickest
from rampd.ext.codes cimport ENDLESS, WHY_COOLING, WHY_NODE
from rampd.ext.loops cimport burden
from rampd.ext.tree cimport load

cdef bint in_steps(const image.Limits *limits, int64_t i) noexcept nogil
cdef bint changes_once(const image.Limits *limits, int64_t i) noexcept nogil
cdef double below(const image.Limits *limits, int64_t i, double power_w) noexcept nogil
cdef double above(const image.Limits *limits, int64_t i, double level_w) noexcept nogil
cdef bint has_all(const image.State *state, int64_t i) noexcept nogil
cdef double beyond(const image.Limits *limits, int64_t i, double power_w) noexcept nogil
cdef bint room(const image.Limits *limits, const image.State *state, int64_t i, double by_w) noexcept nogil
@cython.locals(v=int64_t)
cdef double give(const image.Limits *limits, image.State *state, int64_t i) noexcept nogil
@cython.locals(i=int64_t)
cdef double yielding(const image.Limits *limits, const image.State *state) noexcept nogil
@cython.locals(i=int64_t, loop=int64_t, last=int64_t, full=bint, shares_loop=bint, nearer=bint)
cdef void spread(const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(i=int64_t)
cdef void ends(const image.Limits *limits, image.State *state) noexcept nogil
cdef double stand_or_end(const image.Limits *limits, image.State *state, int64_t i) noexcept nogil
cdef void pin(image.State *state, int64_t i, double level_w) noexcept nogil
@cython.locals(i=int64_t, at=int64_t, steps=int64_t, scarce=bint, some_slow=bint)
cdef double round_down(const image.Limits *limits, image.State *state, int64_t tier) noexcept nogil
cdef bint waits(const image.Limits *limits, const image.State *state, int64_t i) noexcept nogil
@cython.locals(i=int64_t, has_it=bint, near=bint)
cdef double give_back(const image.Limits *limits, image.State *state, int64_t tier, double spare_w, double over_w,
                      double grain_w, bint held, bint slow) noexcept nogil
@cython.locals(first=int64_t)
cdef void deal(const image.Limits *limits, image.State *state, double over_w, double grain_w,
               bint slow) noexcept nogil
@cython.locals(i=int64_t, k=int64_t)
cdef double freely(const image.Limits *limits, const image.State *state) noexcept nogil
cdef double quantise(const image.Limits *limits, image.State *state, double over_w) noexcept nogil
