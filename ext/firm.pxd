cimport cython
from libc.math cimport sqrt
from libc.stdint cimport int64_t
from rampd.ext cimport image
from rampd.ext.allocate cimport allocate
from rampd.ext.codes cimport (
    ACT_NO_RAISE, AVAILABLE, ENDLESS, FIRMS, HORIZONS, LUMPS, WHY_COOLING, WHY_MAX, WHY_SWING)
from rampd.ext.levels cimport changes_once
from rampd.ext.meter cimport aligned
from rampd.ext.thermal cimport bounded

cdef double horizon(int64_t k) noexcept nogil
cdef double normal(double x) noexcept nogil
cdef int64_t round_ticks(const image.Limits *limits) noexcept nogil
@cython.locals(nodes=int64_t)
cdef int64_t weighed(const image.Limits *limits, const image.State *state, int64_t at) noexcept nogil
cdef double chance(const image.State *state, double below_w, double mean_w, double sd_w,
                   double lost_p) noexcept nogil
@cython.locals(b=int64_t, v=int64_t, first=int64_t)
cdef double lumps(const image.Limits *limits, image.State *state, int64_t at) noexcept nogil
@cython.locals(b=int64_t)
cdef double quantile(const image.Limits *limits, image.State *state, int64_t at, double mean_w,
                     double sd_w) noexcept nogil
@cython.locals(age_ns=int64_t)
cdef bint counts(const image.Inputs *inputs, const image.Limits *limits, const image.State *state,
                 int64_t i) noexcept nogil
@cython.locals(why=int64_t, free=bint)
cdef double above(const image.Limits *limits, const image.State *state, int64_t i) noexcept nogil
@cython.locals(nodes=int64_t, node_w='double *', node_var='double *', vague_w='double *', place=int64_t, k=int64_t)
cdef void offer(const image.Limits *limits, image.State *state, int64_t i, bint up, double near_w, double far_w,
                double wait_s, double begin_s) noexcept nogil
@cython.locals(v=int64_t)
cdef void weigh(const image.Inputs *inputs, const image.Limits *limits, image.State *state, int64_t i) noexcept nogil
@cython.locals(v=int64_t, out=int64_t, lost=bint)
cdef void losses(const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(v=int64_t, i=int64_t)
cdef void rooms(const image.Limits *limits, image.State *state) noexcept nogil
cdef double capped(double mean_w, double var, double room_w) noexcept nogil
@cython.locals(v=int64_t, nodes=int64_t, base=int64_t, parent=int64_t)
cdef void gather(const image.Limits *limits, image.State *state, int64_t at) noexcept nogil
@cython.locals(up=bint, counts_any=bint, ago=int64_t, past=int64_t)
cdef void conclude(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
                   int64_t at) noexcept nogil
cdef double free(const image.Limits *limits, const image.State *state, int64_t i) noexcept nogil
@cython.locals(v=int64_t, i=int64_t)
cdef void span(const image.Limits *limits, image.State *state) noexcept nogil
cdef double carried(const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(turn=int64_t, ticks=int64_t, racks=int64_t, nodes=int64_t, k=int64_t, v=int64_t, i=int64_t)
cdef void firm(const image.Inputs *inputs, const image.Limits *limits, image.State *state) noexcept nogil
