cimport cython
from libc.stdint cimport int64_t
from rampd.ext cimport image
from rampd.ext.codes cimport R_METER_NEVER, SECOND_NS, WINDOW_SLOTS
from rampd.ext.ladder cimport acts
from rampd.ext.window cimport crest, noise, swung

@cython.locals(age_ns=int64_t)
cdef int64_t aligned(const image.Inputs *inputs, const image.Limits *limits, int64_t now_ns) noexcept nogil
@cython.locals(first=int64_t, last=int64_t, k=int64_t)
cdef double stray(const image.Limits *limits, const image.State *state, int64_t tick, int64_t ago, double rest_w,
                  double slack_w) noexcept nogil
cdef void unlearn(const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(ago=int64_t)
cdef void shift(const image.Inputs *inputs, const image.Limits *limits, image.State *state, double by_w,
                double told_w) noexcept nogil
@cython.locals(i=int64_t, k=int64_t, longest=int64_t, since=int64_t)
cdef double excess(const image.Limits *limits, const image.State *state, int64_t ago, double rest_w) noexcept nogil
@cython.locals(k=int64_t)
cdef void start(const image.Limits *limits, image.State *state, double found_w) noexcept nogil
cdef double believed(const image.Limits *limits, image.State *state, double error_w, bint again) noexcept nogil
cdef bint possible(const image.Limits *limits, double found_w) noexcept nogil
@cython.locals(i=int64_t)
cdef void resume(const image.Inputs *inputs, const image.Limits *limits, image.State *state) noexcept nogil
@cython.locals(strange=bint, again=bint, second=bint)
cdef void compare(const image.Inputs *inputs, const image.Limits *limits, image.State *state,
                  int64_t now_ns) noexcept nogil
@cython.locals(ago=int64_t, above=bint)
cdef void learn(const image.Inputs *inputs, const image.Limits *limits, image.State *state, bint again,
                int64_t now_ns) noexcept nogil
