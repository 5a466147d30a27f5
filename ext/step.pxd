cimport cython
from libc.stdint cimport int64_t, uint8_t
from rampd.ext cimport image
from rampd.ext.allocate cimport fill, give_way
from rampd.ext.ballast cimport standing
from rampd.ext.beside cimport quickest, stand_beside
from rampd.ext.bounds cimport bounds, shut
from rampd.ext.bridge cimport ahead, come_back, expect, make_up
from rampd.ext.codes cimport (
    ACT_NO_RAISE, ACT_SAFE, ACT_TRIP, AVAILABLE, DISPATCHED, ENDLESS, ESTOP, FAULT_CLOCK, FAULT_NONE, SECOND_NS,
    SITE_ESTOP, SITE_FAULT, SITE_FLOOR, SITE_IMPORT, SITE_METER, SITE_RATE, SITE_REFERENCE, SITE_ROOM, WHY_COOLING,
    WHY_DEMAND, WHY_MAX, WHY_MIN, WHY_NODE, WHY_RATE, WHY_SHARE, WHY_SHED, WHY_STALE, WHY_TRIP)
from rampd.ext.failsafe cimport judge
from rampd.ext.firm cimport firm, span
from rampd.ext.foresee cimport foresee
from rampd.ext.grid cimport observe, recover, resume
from rampd.ext.identify cimport begin
from rampd.ext.ladder cimport attend
from rampd.ext.levels cimport in_steps, quantise
from rampd.ext.meter cimport compare
from rampd.ext.model cimport advance
from rampd.ext.move cimport move, stopping
from rampd.ext.neighbours cimport tell_apart
from rampd.ext.ramp cimport follow
from rampd.ext.rest cimport recall
from rampd.ext.swing cimport swing
from rampd.ext.thermal cimport allow, caps

cdef double room(const image.Limits *limits, const image.State *state) noexcept nogil
cdef double owe(const image.Limits *limits, image.State *state, double want_w, double dt_s) noexcept nogil
cdef double target(const image.Limits *limits, image.State *state, double dt_s) noexcept nogil
@cython.locals(why=int64_t, crowded=bint)
cdef void explain(const image.Limits *limits, image.State *state, int64_t i) noexcept nogil
@cython.locals(full=bint, why=uint8_t, i=int64_t, share_w='const double *', hi_w='const double *',
               bound_why='uint8_t *')
cdef void crowd(const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(i=int64_t)
cdef bint some_follow(const image.Limits *limits, const image.State *state) noexcept nogil
@cython.locals(i=int64_t, phases=int64_t, beyond=bint)
cdef void share(const image.Limits *limits, image.State *state, double total_w) noexcept nogil
@cython.locals(down=bint, least_w=double)
cdef void stand(const image.Inputs *inputs, const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(since_ns=int64_t, answer_ns=int64_t, below=bint)
cdef bint waiting(const image.Limits *limits, const image.State *state) noexcept nogil
cdef int64_t step(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
                  int64_t now_ns) noexcept nogil
