cimport cython
from libc.stdint cimport int64_t
from rampd.ext cimport image
from rampd.ext.loops cimport carry, fill_within
from rampd.ext.rest cimport stir
from rampd.ext.tree cimport fill_tier, load, measure

@cython.locals(at=int64_t)
cdef int64_t give_way(const image.Limits *limits, image.State *state, double *lo_w, double *hi_w) noexcept nogil
cdef double allocate(const image.Limits *limits, image.State *state, const double *lo_w, const double *hi_w,
                     double total_w, double *out_w) noexcept nogil
cdef void fill_groups(const image.Limits *limits, image.State *state, double total_w) noexcept nogil
cdef void confine(const image.Limits *limits, image.State *state, const double *lo_w, const double *hi_w,
                  double total_w) noexcept nogil
@cython.locals(k=int64_t)
cdef double total(const double *values_w, int64_t count) noexcept nogil
@cython.locals(i=int64_t)
cdef double settle(const image.Limits *limits, image.State *state, const double *lo_w, const double *hi_w,
                   double total_w, double *out_w) noexcept nogil
cdef double fill(const image.Limits *limits, image.State *state, const double *lo_w, const double *hi_w,
                 double total_w, double *out_w) noexcept nogil
