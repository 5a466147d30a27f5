# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, auto_pickle=False, autotestdict=False
"""One Modbus/TCP connection: ids, deadlines, checks and decode above pymodbus's frames.

Every attempt has an id of its own. An answer counts only with our id, unit, function and length; what is late or
foreign is dropped and counted, and not one byte of it becomes a value. Cyclic reads complete inside `data_received`;
futures are for writes and one-offs, which go first.
"""

from collections import deque

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcmp, memcpy, memmove
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from rampd.ext cimport image
from rampd.ext.decode cimport Decoder

cdef enum:
    OK = 0
    EXCEPTION = 1
    TIMEOUT = 2
    LATE = 3
    FOREIGN = 4
    BAD = 5
    LOST = 6

RESULT_NAMES = ("ok", "exception", "timeout", "late", "foreign", "bad", "lost")

cdef int64_t PAUSE_NS = 500000000
cdef int64_t LONGEST_PAUSE_NS = 1500000000
cdef int MISSES = 3


class ModbusError(Exception):
    """A request that was not done; `code` is the Modbus exception code, 0 when there was no answer."""

    def __init__(self, str message, int code=0):
        super().__init__(message)
        self.code = code


cdef inline int64_t monotonic_ns() noexcept:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <int64_t>t.tv_sec * 1000000000 + t.tv_nsec


cdef class Unit:
    """Breaker of one unit: after three misses in a row it is asked only once a pause until it answers."""

    cdef bint may_ask(self, int64_t now_ns) noexcept:
        if self.failures < MISSES:
            return True
        if now_ns < self.open_until_ns:
            return False
        self.open_until_ns = now_ns + self.pause_ns
        return True

    cdef void heard(self, int64_t now_ns) noexcept:
        self.failures = 0
        self.heard_ns = now_ns

    cdef void missed(self, int64_t now_ns) noexcept:
        self.failures += 1
        if self.failures == MISSES:
            self.pause_ns = PAUSE_NS
            self.open_until_ns = now_ns + self.pause_ns
        elif self.failures > MISSES:
            self.pause_ns = min(2 * self.pause_ns, LONGEST_PAUSE_NS)
            self.open_until_ns = now_ns + self.pause_ns

    @property
    def open(self):
        return self.failures >= MISSES


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


cdef class Link:
    def __init__(self, image.InputWall wall not None, int in_flight, lost):
        self.wall = wall
        self.in_flight = in_flight
        self.lost = lost
        self.reads = deque()
        self.writes = deque()
        self.pending = []

    # asyncio.Protocol

    def connection_made(self, transport):
        self.transport = transport
        self.write = transport.write
        self.have = 0
        self.dropped = False
        self.silent = 0
        self.faults = 0

    def connection_lost(self, exc):
        cdef Exchange asked
        cdef int64_t now = monotonic_ns()
        self.transport = None
        self.write = None
        # What was being asked may be what ended the connection: a unit that does so again and again is asked rarely.
        for asked in self.pending:
            asked.unit.missed(now)
        for exchange in [*self.pending, *self.writes, *self.reads]:
            self.finish(<Exchange>exchange, LOST, None)
        self.pending.clear()
        self.writes.clear()
        self.reads.clear()
        self.lost(exc)

    def eof_received(self):
        return False

    def pause_writing(self):
        pass

    def resume_writing(self):
        pass

    def data_received(self, data):
        cdef const uint8_t[::1] view = data
        cdef Py_ssize_t done = 0
        cdef Py_ssize_t part
        while done < view.shape[0] and not self.dropped:
            part = min(view.shape[0] - done, BUFFER - self.have)
            memcpy(self.buffer + self.have, &view[done], part)
            self.have += part
            done += part
            self.feed()
        self.pump()

    cdef int feed(self) except -1:
        """Takes whole frames out of the buffer. A header that is none cannot be resynchronised: the link is dropped."""
        cdef int begin = 0
        cdef int length
        cdef const uint8_t *frame
        while self.have - begin >= 8:
            frame = self.buffer + begin
            length = 6 + ((<int>frame[4] << 8) | frame[5])
            if frame[2] or frame[3] or length < 9 or length > 260:
                self.counts[0][BAD] += 1
                return self.drop()
            if self.have - begin < length:
                break
            self.answer(frame, length)
            if self.dropped:
                return 0
            begin += length
        self.have -= begin
        if begin and self.have:
            memmove(self.buffer, self.buffer + begin, self.have)
        return 0

    cdef int answer(self, const uint8_t *frame, int length) except -1:
        cdef int id_ = (<int>frame[0] << 8) | frame[1]
        cdef Exchange exchange = None
        cdef Exchange candidate
        cdef int64_t now
        cdef int kind
        cdef object found = None
        for candidate in self.pending:
            if candidate.id == id_:
                exchange = candidate
                break
        if exchange is None:
            self.counts[0][LATE] += 1
            return 0
        kind = exchange.kind
        if frame[6] != exchange.unit_id or frame[7] & 0x7F != exchange.function:
            self.counts[kind][FOREIGN] += 1
            return self.fault()
        if frame[7] & 0x80:
            if length != 9:
                self.counts[kind][FOREIGN] += 1
                return self.fault()
            now = monotonic_ns()
            # 10 and 11 are the gateway's word that it did not hear the unit.
            if frame[8] == 10 or frame[8] == 11:
                exchange.unit.missed(now)
            else:
                exchange.unit.heard(now)
            self.pending.remove(exchange)
            # 5 and 6 say "later": the values keep their age.
            if exchange.decoder is not None and frame[8] != 5 and frame[8] != 6:
                exchange.decoder.refuse(&self.wall.own, exchange.sent_ns)
            return self.finish(exchange, EXCEPTION, frame[8])
        if kind == 0:
            if frame[8] != 2 * exchange.registers or length != 9 + frame[8]:
                self.counts[kind][FOREIGN] += 1
                return self.fault()
            if exchange.decoder is not None:
                exchange.decoder.run(frame + 9, &self.wall.own, exchange.sent_ns)
            else:
                found = PyBytes_FromStringAndSize(<const char *>frame + 9, frame[8])
        elif exchange.function == 6 or exchange.function == 16:
            # Both echo the address, one the value, the other the count.
            if length != 12 or memcmp(frame + 8, PyBytes_AS_STRING(exchange.frame) + 8, 4) != 0:
                self.counts[kind][FOREIGN] += 1
                return self.fault()
        now = monotonic_ns()
        exchange.unit.heard(now)
        self.silent = 0
        self.faults = 0
        self.total_ns += now - exchange.sent_ns
        self.bins[bin_of(now - exchange.sent_ns)] += 1
        self.pending.remove(exchange)
        return self.finish(exchange, OK, found)

    cdef int fault(self) except -1:
        self.faults += 1
        if self.faults >= MISSES:
            return self.drop()
        return 0

    cdef int drop(self) except -1:
        """Gives the connection up: nothing more that it brings counts, nothing more is sent on it."""
        if self.transport is not None and not self.dropped:
            self.dropped = True
            self.transport.abort()
        return 0

    cdef int finish(self, Exchange exchange, int result, object value) except -1:
        cdef object future = exchange.future
        exchange.busy = False
        exchange.future = None
        self.counts[exchange.kind][result] += 1
        if future is None or future.done():
            return 0
        if result == OK:
            future.set_result(value)
        elif result == EXCEPTION:
            future.set_exception(ModbusError(f"the device refused: exception {value}", value))
        elif result == TIMEOUT:
            future.set_exception(ModbusError("no answer in time"))
        else:
            future.set_exception(ModbusError("connection lost"))
        return 0

    cdef int send(self, Exchange exchange) except -1:
        cdef bytes kept = exchange.frame
        cdef bytes frame = PyBytes_FromStringAndSize(PyBytes_AS_STRING(kept), PyBytes_GET_SIZE(kept))
        cdef char *head = PyBytes_AS_STRING(frame)
        self.last_id = (self.last_id + 1) & 0xFFFF
        if self.last_id == 0:
            self.last_id = 1
        exchange.id = self.last_id
        head[0] = <char>(self.last_id >> 8)
        head[1] = <char>(self.last_id & 0xFF)
        exchange.sent_ns = monotonic_ns()
        self.pending.append(exchange)
        self.write(frame)
        return 0

    cdef int pump(self) except -1:
        cdef Exchange exchange
        while self.transport is not None and not self.dropped and len(self.pending) < self.in_flight:
            if self.writes:
                exchange = self.writes.popleft()
                if exchange.future.done():
                    # Nobody waits for it any more: what it says may be out of date.
                    exchange.busy = False
                    exchange.future = None
                    continue
                self.send(exchange)
            elif self.reads:
                self.send(<Exchange>self.reads.popleft())
            else:
                break
        return 0

    def read(self, Exchange exchange not None, int64_t now_ns):
        """Asks for a cyclic read, unless it is still under way, its unit is dead, or the link is down."""
        if exchange.busy:
            self.overruns += 1
            return False
        if self.transport is None or not exchange.unit.may_ask(now_ns):
            return False
        exchange.busy = True
        self.reads.append(exchange)
        self.pump()
        return True

    def request(self, Exchange exchange not None, future):
        """A write or a one-off, one at a time per exchange."""
        if exchange.busy:
            raise ValueError("this exchange is still under way")
        if self.transport is None:
            future.set_exception(ModbusError("not connected"))
            return
        exchange.busy = True
        exchange.future = future
        self.writes.append(exchange)
        self.pump()

    cpdef int sweep(self, int64_t now_ns) except -1:
        """Ends what is past its deadline. Three in a row without any answer, and the connection is given up."""
        cdef Exchange exchange
        cdef bint expired = False
        for exchange in self.pending:
            if now_ns - exchange.sent_ns > exchange.timeout_ns:
                expired = True
                break
        if not expired:
            return 0
        for exchange in list(self.pending):
            if now_ns - exchange.sent_ns > exchange.timeout_ns:
                self.pending.remove(exchange)
                exchange.unit.missed(now_ns)
                self.silent += 1
                self.finish(exchange, TIMEOUT, None)
        if self.silent >= MISSES:
            self.drop()
        self.pump()
        return 0

    def abort(self):
        """Drops the connection at once."""
        self.drop()

    @property
    def connected(self):
        return self.transport is not None and not self.dropped

    @property
    def answered(self):
        return self.counts[0][OK] + self.counts[1][OK]

    @property
    def overrun_count(self):
        return self.overruns

    def counters(self):
        """Requests by (function, result)."""
        return {
            (name, RESULT_NAMES[k]): self.counts[i][k]
            for i, name in enumerate(("read", "write")) for k in range(RESULTS)
        }

    def latency(self):
        """Histogram of answered requests: counts up to 2^k microseconds, and the sum in ns."""
        return [self.bins[k] for k in range(image.BINS)], self.total_ns


cdef inline int bin_of(int64_t ns) noexcept:
    cdef int k = 0
    while k < image.BINS - 1 and (<int64_t>1000 << k) < ns:
        k += 1
    return k


def turn(list links, list due, int64_t now_ns):
    """One turn of the poll wheel: sweeps the deadlines of all links, then sends what is due."""
    cdef Link link
    for link in links:
        if link.pending:
            link.sweep(now_ns)
    for item in due:
        (<Link>item[0]).read(<Exchange>item[1], now_ns)
