# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, auto_pickle=False, autotestdict=False
"""The units behind one connection: a breaker each, what is queued for them, and whose turn it is.

A breaker is closed while its unit answers; open, it is not asked until a pause is over; half-open, one probe is out.
Units take turns, writes go first, and after some writes in a row a read comes in between.
"""

from collections import deque

from libc.stdint cimport INT64_MAX, int64_t

from rampd.ext.decode cimport Decoder

STATE_NAMES = ("closed", "open", "half-open")

cdef int MISSES = 3
cdef int64_t PAUSE_NS = 500000000
cdef int64_t LONGEST_PAUSE_NS = 1000000000
# Of a shared connection dead units get one part in three: after a probe the others have it twice as long.
cdef int REST_FACTOR = 2
cdef int QUEUED_WRITES = 8
cdef int WRITES_IN_A_ROW = 4
cdef int64_t MEAN_OF = 16
cdef int64_t FORGOTTEN_IN = 256


class ModbusError(Exception):
    """A request that was not done; `code` is the Modbus exception code, 0 when there was no answer."""

    def __init__(self, str message, int code=0):
        super().__init__(message)
        self.code = code


cdef class Unit:
    def __cinit__(self):
        self.reads = deque()
        self.writes = deque()

    @property
    def open(self):
        return self.state != CLOSED

    @property
    def state_name(self):
        return STATE_NAMES[self.state]


cdef class Exchange:
    def __init__(self, bytes frame, Unit unit not None, Decoder decoder, int64_t timeout_ns):
        if len(frame) < 12:
            raise ValueError("a request frame has at least twelve bytes")
        self.frame = frame
        self.unit = unit
        self.decoder = decoder
        self.timeout_ns = timeout_ns
        self.unit_id = frame[6]
        self.function = frame[7]
        self.kind = 0 if self.function in (3, 4) else 1
        self.registers = (frame[10] << 8) | frame[11]
        if decoder is not None and (self.kind != 0 or decoder.registers != self.registers):
            raise ValueError("a decoder belongs to a read of as many registers")


cdef class Queue:
    """Units with something to send, in the order they are served, and the dead ones."""

    def __cinit__(self):
        self.readers = deque()
        self.writers = deque()
        self.shut = []

    cdef void know(self, Unit unit) noexcept:
        if self.first is None:
            self.first = unit
        elif unit is not self.first:
            self.shared = True

    cdef bint waiting(self) noexcept:
        return len(self.writers) > 0 or len(self.readers) > 0

    cdef int add_read(self, Exchange exchange) except -1:
        cdef Unit unit = exchange.unit
        exchange.busy = True
        unit.reads.append(exchange)
        return self.admit(unit)

    cdef int admit(self, Unit unit) except -1:
        """Gives a sound unit with queued reads its place."""
        if unit.state == CLOSED and unit.reads and not unit.read_waits:
            unit.read_waits = True
            self.readers.append(unit)
        return 0

    cdef bint add_write(self, Exchange exchange, int64_t now_ns) except -1:
        """False when too many wait for the unit."""
        cdef Unit unit = exchange.unit
        if len(unit.writes) >= QUEUED_WRITES:
            return False
        exchange.busy = True
        exchange.queued_ns = now_ns
        unit.writes.append(exchange)
        if not unit.write_waits:
            unit.write_waits = True
            self.writers.append(unit)
        return True

    cdef Exchange choose(self):
        """The next request, None when nothing waits."""
        cdef Unit unit
        cdef Exchange exchange
        while self.writers and (self.wrote < WRITES_IN_A_ROW or not self.readers):
            unit = self.writers.popleft()
            unit.write_waits = False
            if not unit.writes:
                continue
            exchange = unit.writes.popleft()
            if unit.writes:
                unit.write_waits = True
                self.writers.append(unit)
            if exchange.future.done():
                # Nobody waits for it any more: what it says may be out of date.
                exchange.busy = False
                exchange.future = None
                continue
            self.wrote += 1
            return exchange
        self.wrote = 0
        while self.readers:
            unit = self.readers.popleft()
            unit.read_waits = False
            if unit.state != CLOSED or not unit.reads:
                continue
            exchange = unit.reads.popleft()
            self.admit(unit)
            return exchange
        return None

    cdef list overdue(self, int64_t asked_before_ns):
        """Takes out the writes that wait since then or longer."""
        cdef Unit unit
        cdef list found = []
        for unit in self.writers:
            while unit.writes and (<Exchange>unit.writes[0]).queued_ns < asked_before_ns:
                found.append(unit.writes.popleft())
        return found

    cdef int heard(self, Exchange exchange, int64_t now_ns) except -1:
        cdef Unit unit = exchange.unit
        cdef bint was_shut = unit.state != CLOSED
        unit.failures = 0
        unit.state = CLOSED
        unit.heard_ns = now_ns
        self.time(unit, now_ns - exchange.sent_ns)
        if exchange.probe:
            exchange.probe = False
            self.probing = False
        if was_shut:
            unit.returns += 1
            # What has waited since it fell silent is asked now.
            self.shut.remove(unit)
            self.admit(unit)
        return 0

    cdef void time(self, Unit unit, int64_t took_ns) noexcept:
        if unit.answer_ns == 0:
            unit.answer_ns = took_ns
        unit.answer_ns += (took_ns - unit.answer_ns) // MEAN_OF
        unit.slowest_ns = max(took_ns, unit.slowest_ns - (unit.slowest_ns - unit.answer_ns) // FORGOTTEN_IN)

    cdef list missed(self, Exchange exchange, int64_t now_ns, int64_t rest_ns):
        """Counts a miss. Returns the writes that fail because it opened the breaker; queued reads wait for a probe.

        Requests that were in flight together miss once. `rest_ns`: a single miss opens it, for so long at least.
        """
        cdef Unit unit = exchange.unit
        cdef bint was_closed = unit.state == CLOSED
        cdef list failed = []
        if exchange.probe:
            exchange.probe = False
            self.probing = False
            self.probe_ns = now_ns + REST_FACTOR * (now_ns - exchange.sent_ns)
        if exchange.misses != unit.misses:
            return failed
        unit.misses += 1
        unit.failures += 1
        if unit.failures <= MISSES:
            unit.pause_ns = PAUSE_NS if unit.failures == MISSES else 0
        else:
            unit.pause_ns = min(2 * unit.pause_ns, LONGEST_PAUSE_NS)
        if unit.failures < MISSES and rest_ns == 0:
            return failed
        unit.state = OPEN
        unit.again_ns = now_ns + max(unit.pause_ns, rest_ns)
        if was_closed:
            self.shut.append(unit)
            failed += unit.writes
            unit.writes.clear()
        return failed

    cdef bint may_probe(self, Unit unit, int64_t now_ns) noexcept:
        """A dead unit may be asked: its pause is over, and the others had their part."""
        if unit.state != OPEN or now_ns < unit.again_ns:
            return False
        return not (self.shared and (self.probing or now_ns < self.probe_ns))

    cdef void begin_probe(self, Exchange exchange) noexcept:
        exchange.unit.state = HALF_OPEN
        exchange.busy = True
        exchange.probe = True
        self.probing = True

    cdef Exchange probe(self, int64_t now_ns):
        """The read of the dead unit that has waited longest, if one may be asked."""
        cdef Unit unit
        cdef Unit longest = None
        cdef Exchange exchange
        for unit in self.shut:
            if unit.reads and self.may_probe(unit, now_ns) and (longest is None or unit.again_ns < longest.again_ns):
                longest = unit
        if longest is None:
            return None
        exchange = longest.reads.popleft()
        self.begin_probe(exchange)
        return exchange

    cdef list take_writes(self):
        """Takes out all writes; reads keep waiting."""
        cdef Unit unit
        cdef list found = []
        for unit in self.writers:
            found += unit.writes
            unit.writes.clear()
            unit.write_waits = False
        self.writers.clear()
        return found

    cdef int64_t next_due(self, int64_t patience_ns) except -1:
        """When a write is overdue or a dead unit may be asked, at the earliest."""
        cdef int64_t due_ns = INT64_MAX
        cdef Unit unit
        for unit in self.writers:
            if unit.writes:
                due_ns = min(due_ns, (<Exchange>unit.writes[0]).queued_ns + patience_ns)
        for unit in self.shut:
            if unit.state == OPEN:
                due_ns = min(due_ns, max(unit.again_ns, self.probe_ns if self.shared else 0))
        return due_ns
