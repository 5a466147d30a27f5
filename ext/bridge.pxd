cimport cython
from libc.math cimport floor
from libc.stdint cimport int64_t
from rampd.ext cimport image
from rampd.ext.allocate cimport allocate, settle, total
from rampd.ext.beside cimport given
from rampd.ext.bounds cimport broken
from rampd.ext.codes cimport ACT_NO_RAISE, LOOKS
from rampd.ext.levels cimport above, below, changes_once, in_steps

cdef double travelled(const image.Limits *limits, const image.State *state, int64_t ticks) noexcept nogil
cdef bint pressed(const image.Limits *limits, const image.State *state, int64_t i) noexcept nogil
@cython.locals(longest=int64_t, ticks=int64_t, down=bint)
cdef void ahead(const image.Limits *limits, image.State *state, double cap_w) noexcept nogil
@cython.locals(barred=bint)
cdef void take_over(const image.Limits *limits, image.State *state, double total_w) noexcept nogil
@cython.locals(racks=int64_t, history=int64_t, row=int64_t, ago=int64_t)
cdef void look_back(const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(past_first='const int64_t *', past_w='const double *', since=int64_t, up_first=int64_t,
               down_first=int64_t, edge_first=int64_t)
cdef inline double due(const image.Limits *limits, const image.State *state, int64_t i, int64_t up,
                       int64_t down) noexcept nogil
@cython.locals(i=int64_t)
cdef void acting(const image.Limits *limits, image.State *state, int64_t first, int64_t end) noexcept nogil
@cython.locals(farther=bint, age=int64_t)
cdef void turn(image.State *state, int64_t i) noexcept nogil
@cython.locals(on_its_way=bint)
cdef void pend(const image.Limits *limits, image.State *state, int64_t i, double before_w) noexcept nogil
@cython.locals(up=int64_t, down=int64_t)
cdef double arriving(const image.Limits *limits, const image.State *state, int64_t i) noexcept nogil
@cython.locals(late=int64_t, acts=bint)
cdef bint under_way(const image.Limits *limits, const image.State *state, int64_t i) noexcept nogil
@cython.locals(coming_w='double *', longest=int64_t, stride=int64_t, up=int64_t, down=int64_t, k=int64_t)
cdef int64_t foresee(const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(coming_w='double *', stride=int64_t, falls=bint, free=bint, k=int64_t)
cdef void come_back(const image.Limits *limits, image.State *state, double fair_w, bint stopping) noexcept nogil
@cython.locals(k=int64_t)
cdef void linger(const image.Limits *limits, image.State *state, int64_t stride, bint falls) noexcept nogil
@cython.locals(wait=int64_t, k=int64_t)
cdef void narrow_to(const image.Limits *limits, image.State *state, int64_t i, int64_t stride,
                    bint falls) noexcept nogil
cdef double expect(const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(up=bint)
cdef double make_up(const image.Limits *limits, image.State *state, double sum_w, double total_w,
                    bint pinned) noexcept nogil
