from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint64_t
from rampd.ext cimport image

cdef enum:
    SENTINELS = 4

cdef struct Field:
    uint16_t at                 # byte offset in the answer's registers
    uint8_t encoding
    uint8_t order
    uint8_t words
    uint8_t sentinels
    uint8_t shift
    int32_t factor_at           # byte offset of a decimal exponent, -1: none
    int64_t slot
    uint64_t sentinel[SENTINELS]
    uint64_t mask
    uint64_t sign               # highest bit of a signed bit field after the shift, 0: unsigned
    double scale
    double offset
    double low
    double high

cdef class Decoder:
    cdef Field *fields
    cdef readonly int count
    cdef readonly int registers
    cdef void run(self, const uint8_t *answer, image.Inputs *inputs, int64_t at_ns) noexcept nogil
    cdef void refuse(self, image.Inputs *inputs, int64_t at_ns) noexcept nogil
