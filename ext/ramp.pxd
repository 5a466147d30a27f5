cimport cython
from libc.stdint cimport int64_t
from rampd.ext cimport image
from rampd.ext.codes cimport (
    AFTER_BACK, DISPATCHED, EMERGENCY, ENDLESS, ESTOP, HOLD, NORMAL, S_CURVE, SITE_CHANNEL, SITE_FREQUENCY,
    SITE_REFERENCE, SITE_RETURN, SITE_WINDOW, STAND, TRACK)
from rampd.ext.grid cimport blind, come_back
from rampd.ext.window cimport highest, lowest, note, slope

cdef bint live(const image.Inputs *inputs, const image.Limits *limits, int64_t now_ns) noexcept nogil
cdef double goal(const image.Limits *limits, double asked_w) noexcept nogil
cdef double envelope(const image.Limits *limits, const image.State *state, double noise_w, bint up) noexcept nogil
cdef double pace(const image.Inputs *inputs, const image.Limits *limits, const image.State *state) noexcept nogil
cdef void rest(const image.Limits *limits, image.State *state, bint up) noexcept nogil
@cython.locals(stopped=bint)
cdef void take(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
               int64_t now_ns) noexcept nogil
cdef double advance_curve(image.State *state, double dt_s) noexcept nogil
cdef bint may_raise(const image.Inputs *inputs, const image.Limits *limits) noexcept nogil
cdef void settle(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
                 int64_t now_ns) noexcept nogil
cdef double land(double step_w, double rest_w, double dt_s) noexcept nogil
@cython.locals(up=bint)
cdef bint held(const image.Inputs *inputs, const image.Limits *limits, image.State *state) noexcept nogil
cdef bint on_its_way(const image.State *state) noexcept nogil
cdef double stride(const image.Inputs *inputs, const image.Limits *limits, image.State *state, double most,
                   double dt_s) noexcept nogil
@cython.locals(up=bint, lost=bint, fresh=bint)
cdef void follow(const image.Inputs *inputs, const image.Limits *limits, image.State *state, int64_t now_ns,
                 double dt_s) noexcept nogil
