from rampd.ext cimport image
from rampd.ext.codes cimport ESTOP, SITE_IMPORT, SITE_MINIMUM

cdef double droop(const image.Limits *limits, double away_hz) noexcept nogil
cdef double given(const image.Limits *limits, const image.State *state, double at_w) noexcept nogil
cdef void respond(const image.Limits *limits, image.State *state) noexcept nogil
