from libc.stdint cimport int64_t, uint8_t, uint16_t
from rampd.ext cimport image
from rampd.ext.units cimport Exchange, Queue

cdef enum:
    RESULTS = 8
    BUFFER = 2048
    IN_FLIGHT = 16

cdef class Link:
    cdef image.InputWall wall
    cdef object transport
    cdef object write
    cdef object lost
    cdef Queue queue
    cdef list pending
    cdef object loop
    cdef object timer
    cdef readonly int in_flight
    cdef readonly bint numbered
    cdef int64_t gap_ns
    cdef int64_t delay_ns
    cdef int64_t ready_ns       # nothing is sent before; 0: at any time
    cdef int64_t due_ns         # `sweep` has nothing to do before
    cdef int64_t heard_ns
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
    cdef int exception(self, Exchange exchange, int code) except -1
    cdef int heard(self, Exchange exchange, int64_t now_ns) except -1
    cdef int missed(self, Exchange exchange, int64_t now_ns) except -1
    cdef int finish(self, Exchange exchange, int result, object value) except -1
    cdef int fail(self, list exchanges, str why) except -1
    cdef int fault(self) except -1
    cdef int drop(self) except -1
    cdef bint may_send(self, int64_t now_ns) noexcept
    cpdef int sweep(self, int64_t now_ns) except -1
