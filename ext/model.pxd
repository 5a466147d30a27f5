cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t
from rampd.ext cimport image
from rampd.ext.ballast cimport watch
from rampd.ext.bridge cimport acting, arriving, look_back, pend, turn
from rampd.ext.codes cimport AVAILABLE, SECOND_NS
from rampd.ext.crash cimport age, heed
from rampd.ext.identify cimport longest, moved, take, weigh
from rampd.ext.meter cimport shift
from rampd.ext.rest cimport rest

@cython.locals(settled=bint, lowered=bint, slack=bint, rose=bint, arrived=bint, swings=bint, slot=int64_t)
cdef void learn(const image.Inputs *inputs, const image.Limits *limits, image.State *state, int64_t i) noexcept nogil
@cython.locals(dead_ns=int64_t)
cdef double held(const image.Limits *limits, image.State *state, int64_t i) noexcept nogil
@cython.locals(lately=bint)
cdef bint on_its_way(const image.State *state, int64_t i) noexcept nogil
cdef inline double drawn(const image.State *state, int64_t i, double bottom_w) noexcept nogil
@cython.locals(racks=int64_t, some=bint, end=int64_t)
cdef void advance(const image.Inputs *inputs, const image.Limits *limits, image.State *state, int64_t now_ns,
                  double dt_s) noexcept nogil
cdef inline bint handed(const image.Inputs *inputs, const image.State *state, int64_t i) noexcept nogil
@cython.locals(i=int64_t, found=uint8_t)
cdef bint any_handed(const image.Inputs *inputs, const image.State *state, int64_t racks) noexcept nogil
@cython.locals(i=int64_t)
cdef void take_in(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
                  int64_t end) noexcept nogil
@cython.locals(i=int64_t, k=int64_t, count=int64_t, found=uint8_t, rising='const uint8_t *', acts_w='double *',
               cap_w='double *', some='int32_t *')
cdef void rise(const image.Limits *limits, image.State *state, int64_t now_ns, int64_t first,
               int64_t end) noexcept nogil
@cython.locals(i=int64_t)
cdef void slew(image.State *state, double dt_s, int64_t first, int64_t end) noexcept nogil
cdef inline bint plain(const image.Inputs *inputs, const image.State *state, int64_t i) noexcept nogil
@cython.locals(i=int64_t, stop=int64_t, odd=uint8_t)
cdef void draw(const image.Inputs *inputs, const image.Limits *limits, image.State *state, int64_t first,
               int64_t end) noexcept nogil
@cython.locals(i=int64_t)
cdef void draw_plain(const image.Limits *limits, image.State *state, int64_t first, int64_t end) noexcept nogil
@cython.locals(ours=bint)
cdef void draw_other(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
                     int64_t i) noexcept nogil
@cython.locals(i=int64_t, k=int64_t, row=int64_t, before=int64_t, past_w='double *', applied_w='const double *')
cdef void record(const image.Limits *limits, image.State *state) noexcept nogil
