# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, auto_pickle=False, autotestdict=False
"""Bulk decode of a read answer into the image: word order, sentinel, mask, scale, plausible range, age and quality."""

from libc.math cimport isfinite, isnan
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
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
    ABCD = 0
    CDAB = 1
    BADC = 2
    DCBA = 3


cdef double[11] TENS
TENS[:] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10]

cdef enum:
    LARGEST_EXPONENT = 10       # SunSpec sunssf; 0x8000, "not available", lies outside as well


cdef inline uint64_t reorder(uint64_t raw, int words, int order) noexcept nogil:
    """Big-endian bytes of other word and byte orders, put right."""
    if order == BADC or order == DCBA:
        raw = ((raw & 0x00FF00FF00FF00FFU) << 8) | ((raw >> 8) & 0x00FF00FF00FF00FFU)
    if order == CDAB or order == DCBA:
        if words == 2:
            raw = ((raw << 16) | (raw >> 16)) & 0xFFFFFFFFU
        elif words == 4:
            raw = (raw << 32) | (raw >> 32)
            raw = ((raw & 0x0000FFFF0000FFFFU) << 16) | ((raw >> 16) & 0x0000FFFF0000FFFFU)
    return raw


cdef inline uint64_t gather(const uint8_t *at, int words, int order) noexcept nogil:
    """The register as a number, in the form that a compiler turns into one load and one byte swap."""
    cdef uint64_t raw
    if words == 2:
        raw = (<uint32_t>at[0] << 24) | (<uint32_t>at[1] << 16) | (<uint32_t>at[2] << 8) | at[3]
    elif words == 1:
        raw = (<uint32_t>at[0] << 8) | at[1]
    else:
        raw = (
            (<uint64_t>at[0] << 56) | (<uint64_t>at[1] << 48) | (<uint64_t>at[2] << 40) | (<uint64_t>at[3] << 32)
            | (<uint64_t>at[4] << 24) | (<uint64_t>at[5] << 16) | (<uint64_t>at[6] << 8) | at[7]
        )
    return raw if order == ABCD else reorder(raw, words, order)


cdef inline double number(uint64_t raw, int encoding) noexcept nogil:
    cdef uint32_t low
    cdef float single
    cdef double wide
    if encoding == F32:
        low = <uint32_t>raw
        memcpy(&single, &low, 4)
        return single
    if encoding == S16:
        return <double><int16_t>raw
    if encoding == S32:
        return <double><int32_t>raw
    if encoding == S64:
        return <double><int64_t>raw
    if encoding == F64:
        memcpy(&wide, &raw, 8)
        return wide
    return <double>raw


cdef inline double bits(const Field *f, uint64_t raw) noexcept nogil:
    """A bit field; in a signed register its highest bit is the sign."""
    raw = (raw & f.mask) >> f.shift
    return <double><int64_t>((raw ^ f.sign) - f.sign) if f.sign else <double>raw


cdef inline uint8_t one(const Field *f, const uint8_t *answer, double *value) noexcept nogil:
    """One value; returns its quality and leaves `value` alone unless it is good."""
    cdef uint64_t raw = gather(answer + f.at, f.words, f.order)
    cdef double found
    cdef int k
    cdef int16_t exponent
    for k in range(f.sentinels):
        if raw == f.sentinel[k]:
            return SENTINEL
    found = bits(f, raw) if f.mask else number(raw, f.encoding)
    if isnan(found):
        return SENTINEL
    if f.factor_at >= 0:
        exponent = <int16_t>gather(answer + f.factor_at, 1, ABCD)
        if exponent < -LARGEST_EXPONENT or exponent > LARGEST_EXPONENT:
            return SENTINEL
        # Divided, not multiplied by a tenth: 5998 at -2 is 59.98 to the last bit.
        found = found * TENS[exponent] if exponent >= 0 else found / TENS[-exponent]
    found = found * f.scale + f.offset
    if not (isfinite(found) and f.low <= found <= f.high):
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
            f.sign = 1 << (mask.bit_length() - 1 - f.shift) if mask and encoding in (S16, S32, S64) else 0
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
