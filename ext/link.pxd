from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t
from rampd.ext cimport image
from rampd.ext.decode cimport Decoder

cdef enum:
    RESULTS = 7
    BUFFER = 2048

cdef class Unit:
    cdef readonly int failures
    cdef readonly int64_t heard_ns
    cdef int64_t open_until_ns
    cdef int64_t pause_ns
    cdef bint may_ask(self, int64_t now_ns) noexcept
    cdef void heard(self, int64_t now_ns) noexcept
    cdef void missed(self, int64_t now_ns) noexcept

cdef class Exchange:
    cdef bytes frame
    cdef Decoder decoder
    cdef object future
    cdef readonly Unit unit
    cdef int64_t timeout_ns
    cdef int64_t sent_ns
    cdef uint16_t id
    cdef uint8_t unit_id
    cdef uint8_t function
    cdef int kind               # 0 read, 1 write
    cdef int registers
    cdef bint busy              # queued or under way

cdef class Link:
    cdef image.InputWall wall
    cdef object transport
    cdef object write
    cdef object lost
    cdef object reads
    cdef object writes
    cdef list pending
    cdef readonly int in_flight
    cdef uint16_t last_id
    cdef int silent
    cdef int faults
    cdef int have
    cdef bint dropped           # given up; the loop has not said so yet
    cdef uint8_t buffer[BUFFER]
    cdef int64_t counts[2][RESULTS]
    cdef int64_t bins[image.BINS]
    cdef int64_t total_ns
    cdef int64_t overruns
    cdef int pump(self) except -1
    cdef int send(self, Exchange exchange) except -1
    cdef int feed(self) except -1
    cdef int answer(self, const uint8_t *frame, int length) except -1
    cdef int finish(self, Exchange exchange, int result, object value) except -1
    cdef int fault(self) except -1
    cdef int drop(self) except -1
    cpdef int sweep(self, int64_t now_ns) except -1
