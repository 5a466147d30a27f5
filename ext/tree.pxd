cimport cython
from libc.stdint cimport int64_t
from rampd.ext cimport image
from rampd.ext.codes cimport ENDLESS

cdef void gather(const image.Limits *limits, image.State *state) noexcept nogil
cdef void load(const image.Limits *limits, image.State *state, const double *lo_w) noexcept nogil
cdef void measure(const image.Limits *limits, image.State *state, const double *lo_w, const double *hi_w) noexcept nogil
cdef void sweep(const image.Limits *limits, image.State *state, int64_t tier, int64_t top, double level) noexcept nogil
cdef double solve(const image.Limits *limits, image.State *state, int64_t tier, int64_t top,
                  double room_w) noexcept nogil
@cython.locals(at=int64_t, g=int64_t)
cdef inline bint fits(const image.Limits *limits, image.State *state, int64_t tier, int64_t v,
                      double room_w) noexcept nogil
@cython.locals(scarce=bint, parent=int64_t)
cdef void fill_tier(const image.Limits *limits, image.State *state, int64_t tier, double total_w) noexcept nogil
