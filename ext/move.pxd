cimport cython
from libc.stdint cimport int64_t
from rampd.ext cimport image
from rampd.ext.beside cimport quickest
from rampd.ext.bounds cimport broken
from rampd.ext.bridge cimport pressed
from rampd.ext.codes cimport (
    ACT_DERATE, ACT_NO_RAISE, ACT_SAFE, AVAILABLE, EMERGENCY, ESTOP, FAULT_NONE, FAULT_SETPOINT, LOCKED, MANUAL,
    SITE_IMPORT, WHY_COOLING, WHY_NODE)
from rampd.ext.failsafe cimport fresh, level
from rampd.ext.levels cimport above, below, beyond, changes_once, has_all, in_steps

cdef double most(const image.Limits *limits, const image.State *state, bint up) noexcept nogil
cdef void refill(const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(rises=bint)
cdef double afford(const image.Limits *limits, image.State *state, int64_t i, double share_w, bint safe) noexcept nogil
cdef double drawn(const image.Limits *limits, const image.State *state, int64_t i, double setpoint_w) noexcept nogil
@cython.locals(loop=int64_t, i=int64_t)
cdef void load_loops(const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(v=int64_t, loop=int64_t)
cdef double too_much(const image.Limits *limits, const image.State *state, int64_t i) noexcept nogil
@cython.locals(stepped=bint, short=bint, rises_short=bint, gives=bint)
cdef double in_step(const image.Limits *limits, const image.State *state, int64_t i, double share_w) noexcept nogil
@cython.locals(barred=bint)
cdef double in_hand(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
                    int64_t i) noexcept nogil
cdef double wanted(const image.Limits *limits, image.State *state, int64_t i) noexcept nogil
@cython.locals(waits=bint)
cdef bint held(const image.State *state, int64_t i) noexcept nogil
@cython.locals(v=int64_t)
cdef double fit(const image.Inputs *inputs, const image.Limits *limits, image.State *state, int64_t i,
                double share_w) noexcept nogil
@cython.locals(stopped=bint)
cdef bint stopping(const image.State *state) noexcept nogil
@cython.locals(small=bint, falls=bint)
cdef void take_turn(const image.Inputs *inputs, const image.Limits *limits, image.State *state, int64_t i, bint turn,
                    bint prompt, bint safe) noexcept nogil
@cython.locals(i=int64_t, phases=int64_t, turn=bint, begun=bint, stops=bint, everyone=bint, at_once=bint, prompt=bint)
cdef int64_t move(const image.Inputs *inputs, const image.Limits *limits, image.State *state) noexcept nogil
