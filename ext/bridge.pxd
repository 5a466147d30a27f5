cimport cython
from libc.stdint cimport int64_t
from rampd.ext cimport image
from rampd.ext.allocate cimport allocate, settle
from rampd.ext.codes cimport ACT_NO_RAISE

cdef double travelled(const image.Limits *limits, const image.State *state, int64_t ticks) noexcept nogil
cdef bint pressed(const image.Limits *limits, const image.State *state, int64_t i) noexcept nogil
@cython.locals(longest=int64_t, ticks=int64_t, down=bint)
cdef void ahead(const image.Limits *limits, image.State *state, double cap_w) noexcept nogil
@cython.locals(barred=bint)
cdef void take_over(const image.Limits *limits, image.State *state, double total_w) noexcept nogil
@cython.locals(since=int64_t)
cdef double turned(const image.State *state, int64_t i, int64_t up, int64_t down, double goal_w) noexcept nogil
@cython.locals(farther=bint, age=int64_t)
cdef void turn(image.State *state, int64_t i) noexcept nogil
@cython.locals(up=int64_t, down=int64_t, dead_up=int64_t, dead_down=int64_t)
cdef double arriving(const image.Limits *limits, const image.State *state, int64_t i) noexcept nogil
cdef double expect(const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(up=bint)
cdef double make_up(const image.Limits *limits, image.State *state, double sum_w, double total_w,
                    bint pinned) noexcept nogil
