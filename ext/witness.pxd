cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t
from rampd.ext cimport image
from rampd.ext.codes cimport (
    AVAILABLE, DOUBT_BEFORE, DOUBT_FALSE, DOUBT_FROZEN, DOUBT_SCALE, ENDLESS, GOOD, R_METER_FROZEN,
    R_METER_IMPLAUSIBLE, SECOND_NS)

cdef bint good(const image.Inputs *inputs, int64_t slot, int64_t stale_ns, int64_t now_ns) noexcept nogil
cdef void recall(const image.Inputs *inputs, const image.Limits *limits, image.Watch *watch,
                 int64_t now_ns) noexcept nogil
@cython.locals(at_ns=int64_t)
cdef void alive(const image.Inputs *inputs, const image.Limits *limits, image.Watch *watch, bint fault,
                int64_t now_ns) noexcept nogil
@cython.locals(at_ns=int64_t)
cdef void believe(const image.Inputs *inputs, const image.Limits *limits, image.Watch *watch, bint fault,
                  int64_t now_ns) noexcept nogil
@cython.locals(slots='const int32_t *', quality='const uint8_t *', rack_state='const uint8_t *',
               stale_ns='const int64_t *', least_w='double *', heard_ns='int64_t *', slot=int64_t, read_ns=int64_t)
cdef void listen(const image.Inputs *inputs, const image.Limits *limits, image.Watch *watch,
                 int64_t now_ns) noexcept nogil
cdef void oldest(const image.Inputs *inputs, const image.Limits *limits, image.Watch *watch,
                 int64_t now_ns) noexcept nogil
cdef bint strays(double part) noexcept nogil
@cython.locals(slot=int64_t, seen=int64_t)
cdef bint faulted(const image.Inputs *inputs, const image.Limits *limits, image.Watch *watch,
                  int64_t now_ns) noexcept nogil
@cython.locals(slot=int64_t)
cdef bint opened(const image.Inputs *inputs, const image.Limits *limits, int64_t now_ns) noexcept nogil
@cython.locals(oldest_ns=int64_t, slot=int64_t)
cdef int64_t below(const image.Inputs *inputs, const image.Limits *limits, image.Watch *watch, int64_t v,
                   int64_t now_ns) noexcept nogil
@cython.locals(heard=int64_t, before=int64_t)
cdef double fullest(const image.Inputs *inputs, const image.Limits *limits, image.Watch *watch, int64_t v,
                    double drawn_w, int64_t now_ns) noexcept nogil
@cython.locals(slot=int64_t)
cdef bint silent(const image.Inputs *inputs, const image.Limits *limits, int64_t v, int64_t now_ns) noexcept nogil
@cython.locals(slot=int64_t)
cdef void gauge(const image.Inputs *inputs, const image.Limits *limits, image.Watch *watch, int64_t v,
                int64_t now_ns) noexcept nogil
@cython.locals(slot=int64_t, above=bint)
cdef void heed(const image.Inputs *inputs, const image.Limits *limits, image.Watch *watch, int64_t v,
               int64_t now_ns) noexcept nogil
cdef bint stuck(const image.Limits *limits, image.Watch *watch, int64_t v, double least_w,
                double most_w) noexcept nogil
@cython.locals(low=bint)
cdef void contradict(const image.Limits *limits, image.Watch *watch, int64_t v, double least_w) noexcept nogil
cdef void gear(const image.Limits *limits, image.Watch *watch, int64_t v, double least_w,
               double most_w) noexcept nogil
@cython.locals(nodes=int64_t)
cdef void weigh(const image.Limits *limits, image.Watch *watch, int64_t v, bint fault, int64_t now_ns) noexcept nogil
@cython.locals(oldest_ns=int64_t, parent=int64_t)
cdef void survey(const image.Inputs *inputs, const image.Limits *limits, image.Watch *watch, bint fault,
                 int64_t now_ns) noexcept nogil
