# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, auto_pickle=False, autotestdict=False
"""Bulk decode of a read answer into the image: word order, sentinel, mask, scale, plausible range, age and quality."""

from libc.math cimport isfinite, isnan
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from rampd.ext cimport image
from rampd.ext.codes cimport GOOD, RANGE, REFUSED, SENTINEL

cdef enum:
    U16 = 0
    S16 = 1
    U32 = 2
    S32 = 3
    U64 = 4
    S64 = 5
    F32 = 6
    F64 = 7

cdef enum:
    CDAB = 1
    BADC = 2
    DCBA = 3


cdef inline uint64_t gather(const uint8_t *bytes_, int words, int order) noexcept nogil:
    """The register as a number: words in either order, bytes in a word in either order."""
    cdef uint64_t raw = 0
    cdef uint16_t word
    cdef int k
    cdef const uint8_t *at
    for k in range(words):
        at = bytes_ + 2 * (words - 1 - k if order == CDAB or order == DCBA else k)
        if order == BADC or order == DCBA:
            word = (<uint16_t>at[1] << 8) | at[0]
        else:
            word = (<uint16_t>at[0] << 8) | at[1]
        raw = (raw << 16) | word
    return raw


cdef inline double number(uint64_t raw, int encoding) noexcept nogil:
    cdef uint32_t low
    cdef float single
    cdef double wide
    if encoding == F32:
        low = <uint32_t>raw
        memcpy(&single, &low, 4)
        return single
    if encoding == F64:
        memcpy(&wide, &raw, 8)
        return wide
    if encoding == S16:
        return <double><int16_t>raw
    if encoding == S32:
        return <double><int32_t>raw
    if encoding == S64:
        return <double><int64_t>raw
    return <double>raw


cdef inline double power_of_ten(int exponent) noexcept nogil:
    cdef double power = 1.0
    cdef int _
    for _ in range(exponent if exponent > 0 else -exponent):
        power *= 10.0
    return power if exponent >= 0 else 1.0 / power


cdef uint8_t one(const Field *f, const uint8_t *answer, double *value) noexcept nogil:
    """One value; returns its quality and leaves `value` alone unless it is good."""
    cdef uint64_t raw = gather(answer + f.at, f.words, f.order)
    cdef double found
    cdef int k
    cdef int16_t exponent
    for k in range(f.sentinels):
        if raw == f.sentinel[k]:
            return SENTINEL
    if f.mask:
        raw = (raw & f.mask) >> f.shift
    found = number(raw, f.encoding)
    if isnan(found):
        return SENTINEL
    if f.factor_at >= 0:
        exponent = <int16_t>gather(answer + f.factor_at, 1, 0)
        if exponent < -10 or exponent > 10:
            return SENTINEL
        found *= power_of_ten(exponent)
    found = found * f.scale + f.offset
    if not isfinite(found) or not f.low <= found <= f.high:
        return RANGE
    value[0] = found
    return GOOD


cdef class Decoder:
    def __cinit__(self, fields, int registers):
        cdef int i, k
        cdef Field *f
        self.count = len(fields)
        self.registers = registers
        self.fields = <Field *>calloc(self.count if self.count else 1, sizeof(Field))
        if self.fields == NULL:
            raise MemoryError
        for i in range(self.count):
            f = &self.fields[i]
            (at, encoding, order, words, scale, offset, low, high, sentinels, mask, factor_at, slot) = fields[i]
            if at < 0 or at + words > registers or not -1 <= factor_at < registers or len(sentinels) > SENTINELS:
                raise ValueError(f"field {i} lies outside {registers} registers, or has too many sentinels")
            f.at = 2 * at
            f.encoding = encoding
            f.order = order
            f.words = words
            f.scale = scale
            f.offset = offset
            f.low = low
            f.high = high
            f.sentinels = len(sentinels)
            for k in range(f.sentinels):
                f.sentinel[k] = sentinels[k]
            f.mask = mask
            f.shift = (mask & -mask).bit_length() - 1 if mask else 0
            f.factor_at = 2 * factor_at if factor_at >= 0 else -1
            f.slot = slot

    def __dealloc__(self):
        free(self.fields)

    cdef void run(self, const uint8_t *answer, image.Inputs *inputs, int64_t at_ns) noexcept nogil:
        cdef int i
        cdef int64_t slot
        for i in range(self.count):
            slot = self.fields[i].slot
            inputs.quality[slot] = one(&self.fields[i], answer, &inputs.value[slot])
            inputs.at_ns[slot] = at_ns

    cdef void refuse(self, image.Inputs *inputs, int64_t at_ns) noexcept nogil:
        cdef int i
        for i in range(self.count):
            inputs.quality[self.fields[i].slot] = REFUSED
            inputs.at_ns[self.fields[i].slot] = at_ns

    def decode(self, const uint8_t[::1] answer, image.InputWall wall, int64_t at_ns):
        if answer.shape[0] != 2 * self.registers:
            raise ValueError(f"{answer.shape[0]} bytes are not {self.registers} registers")
        with nogil:
            self.run(&answer[0], &wall.own, at_ns)
