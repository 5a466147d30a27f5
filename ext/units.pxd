from libc.stdint cimport int64_t, uint8_t, uint16_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec
from rampd.ext.decode cimport Decoder

cdef enum:
    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2

cdef inline int64_t monotonic_ns() noexcept:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <int64_t>t.tv_sec * 1000000000 + t.tv_nsec

cdef class Unit:
    cdef readonly int failures
    cdef readonly int returns           # how often it answered again after its breaker had opened
    cdef readonly int64_t heard_ns
    cdef readonly int64_t answer_ns     # mean of the last answers
    cdef readonly int64_t slowest_ns    # slowest of them, slowly forgotten
    cdef int state
    cdef int64_t again_ns       # open: not asked before
    cdef int64_t pause_ns
    cdef int misses             # ever
    cdef object reads           # queued, each exchange once
    cdef object writes
    cdef bint read_waits        # it has its place among the readers
    cdef bint write_waits

cdef class Exchange:
    cdef bytes frame
    cdef Decoder decoder
    cdef object future
    cdef public object answered
    cdef public object refused
    cdef readonly Unit unit
    cdef int64_t timeout_ns
    cdef int64_t sent_ns
    cdef int64_t queued_ns
    cdef uint16_t id
    cdef uint8_t unit_id
    cdef uint8_t function
    cdef int kind               # 0 read, 1 write
    cdef int registers
    cdef bint busy              # queued or under way
    cdef bint probe             # of a dead unit
    cdef int misses             # of the unit when it was sent

cdef class Queue:
    cdef object readers         # units with queued reads, in the order they are served
    cdef object writers
    cdef list shut              # units whose breaker is not closed
    cdef Unit first             # the first unit that was asked
    cdef bint shared            # there are several
    cdef bint probing
    cdef int wrote              # writes in a row
    cdef int64_t probe_ns       # of several, no dead unit is asked before
    cdef void know(self, Unit unit) noexcept
    cdef bint waiting(self) noexcept
    cdef int add_read(self, Exchange exchange) except -1
    cdef int admit(self, Unit unit) except -1
    cdef bint add_write(self, Exchange exchange, int64_t now_ns) except -1
    cdef Exchange choose(self)
    cdef list overdue(self, int64_t asked_before_ns)
    cdef int heard(self, Exchange exchange, int64_t now_ns) except -1
    cdef void time(self, Unit unit, int64_t took_ns) noexcept
    cdef list missed(self, Exchange exchange, int64_t now_ns, int64_t rest_ns)
    cdef bint may_probe(self, Unit unit, int64_t now_ns) noexcept
    cdef void begin_probe(self, Exchange exchange) noexcept
    cdef Exchange probe(self, int64_t now_ns)
    cdef list take_writes(self)
    cdef int64_t next_due(self, int64_t patience_ns) except -1
