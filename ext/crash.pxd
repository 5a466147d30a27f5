cimport cython
from libc.math cimport floor
from libc.stdint cimport int64_t, uint8_t
from rampd.ext cimport image
from rampd.ext.codes cimport SECOND_NS

@cython.locals(i=int64_t, minute=int64_t, some=uint8_t, trough='uint8_t *', crest='uint8_t *', trough_ago='uint8_t *',
               crest_ago='uint8_t *')
cdef void age(const image.Limits *limits, image.State *state) noexcept nogil
cdef void forget(image.State *state, int64_t i) noexcept nogil
cdef int64_t lower(double width_w, double read_w) noexcept nogil
@cython.locals(trough=int64_t, crest=int64_t, part=int64_t)
cdef void heed(const image.Limits *limits, image.State *state, int64_t i, double sure_w) noexcept nogil
@cython.locals(trough=int64_t, crest=int64_t, since_ns=int64_t)
cdef void fallen(const image.Limits *limits, image.State *state, int64_t i, double sure_w,
                 double margin_w) noexcept nogil
