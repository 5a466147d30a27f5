cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t
from rampd.ext cimport image
from rampd.ext.codes cimport VETO_NODE, VETO_SAFE, VETO_TRIP

cdef void veto(image.Watch *watch, int64_t i, int64_t why) noexcept nogil
@cython.locals(parent=int64_t, broken=bint)
cdef void total(const image.Limits *limits, image.Watch *watch, const double *out_w) noexcept nogil
@cython.locals(withdrawn=bint)
cdef void nodes(const image.Limits *limits, image.Watch *watch, double *out_w, int64_t now_ns) noexcept nogil
@cython.locals(read=bint)
cdef double load(const image.Limits *limits, const image.Watch *watch, int64_t v, int64_t now_ns) noexcept nogil
@cython.locals(reset=bint, sent=bint)
cdef void trips(const image.Inputs *inputs, const image.Limits *limits, image.Watch *watch, double *out_w,
                int64_t now_ns) noexcept nogil
