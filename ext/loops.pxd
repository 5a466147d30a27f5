cimport cython
from libc.stdint cimport int64_t
from rampd.ext cimport image
from rampd.ext.codes cimport ENDLESS
from rampd.ext.exchange cimport clear, deal_out, exchange, offer
from rampd.ext.tree cimport fill_tier, measure

cdef void burden(const image.Limits *limits, image.State *state, const double *power_w) noexcept nogil
cdef bint carry(const image.Limits *limits, image.State *state, const double *lo_w, const double *hi_w) noexcept nogil
@cython.locals(tier=int64_t, i=int64_t)
cdef void fill_within(const image.Limits *limits, image.State *state, const double *lo_w, const double *hi_w,
                      double total_w) noexcept nogil
@cython.locals(turns=int64_t, turn=int64_t, i=int64_t)
cdef void fill_tier_within(const image.Limits *limits, image.State *state, int64_t tier, const double *lo_w,
                           const double *hi_w, double total_w) noexcept nogil
@cython.locals(i=int64_t)
cdef void take(const image.Limits *limits, image.State *state, int64_t tier, const double *lo_w,
               const double *hi_w) noexcept nogil
cdef double share(const image.Limits *limits, const image.State *state, int64_t i, const double *lo_w,
                  const double *hi_w) noexcept nogil
@cython.locals(i=int64_t, found=bint)
cdef bint crowd(const image.Limits *limits, image.State *state, int64_t tier, const double *lo_w,
                const double *hi_w) noexcept nogil
@cython.locals(i=int64_t, loop=int64_t, rising=bint)
cdef void level(const image.Limits *limits, image.State *state, int64_t tier, const double *lo_w,
                const double *hi_w) noexcept nogil
@cython.locals(i=int64_t, g=int64_t)
cdef void cut(const image.Limits *limits, image.State *state, int64_t tier, const double *lo_w,
              const double *hi_w) noexcept nogil
@cython.locals(i=int64_t, v=int64_t)
cdef void begin_anew(const image.Limits *limits, image.State *state, int64_t tier, const double *lo_w,
                     const double *hi_w) noexcept nogil
