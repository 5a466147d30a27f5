# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, auto_pickle=False, autotestdict=False
"""One Modbus/TCP connection: ids, deadlines, checks and decode above pymodbus's frames.

Every attempt has an id of its own. An answer counts only with our id, unit, function and length; what is late or
foreign is dropped and counted, and not one byte of it becomes a value. Cyclic reads complete inside `data_received`;
futures are for writes and one-offs. Whose turn it is, `rampd.ext.units` says.
"""

import asyncio

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport INT64_MAX, int64_t, uint8_t
from libc.string cimport memcmp, memcpy, memmove

from rampd.ext cimport image
from rampd.ext.units cimport CLOSED, Exchange, Queue, monotonic_ns

from rampd.ext.units import ModbusError

cdef enum:
    OK = 0
    EXCEPTION = 1
    TIMEOUT = 2
    LATE = 3
    FOREIGN = 4
    BAD = 5
    LOST = 6
    UNSENT = 7

RESULT_NAMES = ("ok", "exception", "timeout", "late", "foreign", "bad", "lost", "unsent")

cdef int MISSES = 3
# A set point that waited so long is no longer what the control wants.
cdef int64_t PATIENCE_NS = 1000000000


cdef class Link:
    def __init__(
        self, image.InputWall wall not None, int in_flight, lost, *,
        int64_t gap_ns=0, int64_t delay_ns=0, bint numbered=True,
    ):
        if not 1 <= in_flight <= IN_FLIGHT:
            raise ValueError(f"between 1 and {IN_FLIGHT} requests may be in flight, not {in_flight}")
        self.wall = wall
        self.in_flight = in_flight
        self.lost = lost
        self.gap_ns = gap_ns
        self.delay_ns = delay_ns
        self.numbered = numbered
        self.queue = Queue()
        self.pending = []
        self.due_ns = INT64_MAX

    # asyncio.Protocol

    def connection_made(self, transport):
        self.transport = transport
        self.write = transport.write
        self.have = 0
        self.dropped = False
        self.silent = 0
        self.faults = 0
        self.ready_ns = 0
        if self.gap_ns or self.delay_ns:
            self.loop = asyncio.get_running_loop()
            self.ready_ns = monotonic_ns() + self.delay_ns
        self.pump()

    def connection_lost(self, exc):
        cdef Exchange exchange
        cdef bint cyclic
        cdef int64_t now = monotonic_ns()
        cdef list ended = self.pending
        self.pending = []
        self.transport = None
        self.write = None
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        # What was being asked may be what ended the connection: a unit that does so again and again is asked rarely.
        for exchange in ended:
            self.missed(exchange, now)
        for exchange in ended:
            cyclic = exchange.future is None and exchange.kind == 0
            self.finish(exchange, LOST, None)
            if cyclic:
                self.queue.add_read(exchange)
        for exchange in self.queue.take_writes():
            self.finish(exchange, LOST, None)
        self.lost(exc)

    def eof_received(self):
        return False

    def pause_writing(self):
        pass

    def resume_writing(self):
        pass

    def data_received(self, data):
        cdef bytes chunk = data if type(data) is bytes else bytes(data)
        cdef const char *bytes_ = PyBytes_AS_STRING(chunk)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(chunk)
        cdef Py_ssize_t done = 0
        cdef Py_ssize_t part
        while done < size and not self.dropped:
            part = min(size - done, <Py_ssize_t>(BUFFER - self.have))
            memcpy(self.buffer + self.have, bytes_ + done, part)
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
        cdef object found = None
        for candidate in self.pending:
            if candidate.id == id_:
                exchange = candidate
                break
        if exchange is None:
            self.counts[0][LATE] += 1
            return 0
        if frame[6] != exchange.unit_id or frame[7] & 0x7F != exchange.function:
            self.counts[exchange.kind][FOREIGN] += 1
            return self.fault()
        if frame[7] & 0x80:
            if length != 9:
                self.counts[exchange.kind][FOREIGN] += 1
                return self.fault()
            return self.exception(exchange, frame[8])
        if exchange.kind == 0:
            if frame[8] != 2 * exchange.registers or length != 9 + frame[8]:
                self.counts[0][FOREIGN] += 1
                return self.fault()
            if exchange.decoder is not None:
                exchange.decoder.run(frame + 9, &self.wall.own, exchange.sent_ns)
            else:
                found = PyBytes_FromStringAndSize(<const char *>frame + 9, frame[8])
        # Functions 6 and 16 echo the address, one with the value, the other with the count; others are not written.
        elif length != 12 or memcmp(frame + 8, PyBytes_AS_STRING(exchange.frame) + 8, 4) != 0:
            self.counts[1][FOREIGN] += 1
            return self.fault()
        cdef int64_t now = monotonic_ns()
        cdef int64_t took_ns = now - exchange.sent_ns
        self.faults = 0
        self.total_ns += took_ns
        self.bins[bin_of(took_ns)] += 1
        self.heard(exchange, now)
        self.finish(exchange, OK, found)
        if exchange.answered is not None:
            exchange.answered()
        return 0

    cdef int exception(self, Exchange exchange, int code) except -1:
        cdef int64_t now = monotonic_ns()
        # 10 and 11 are the gateway's word that it did not hear the unit.
        if code == 10 or code == 11:
            self.silent = 0
            self.heard_ns = now
            self.missed(exchange, now)
            self.pending.remove(exchange)
        else:
            self.heard(exchange, now)
        self.finish(exchange, EXCEPTION, code)
        # 5 and 6 say "later", 10 and 11 "not heard": the values keep their age.
        if exchange.decoder is None or code in (5, 6, 10, 11):
            return 0
        if exchange.refused is None or not exchange.refused(code):
            exchange.decoder.refuse(&self.wall.own, exchange.sent_ns)
        return 0

    cdef int heard(self, Exchange exchange, int64_t now_ns) except -1:
        """The unit answered: it and its connection are sound."""
        self.pending.remove(exchange)
        self.silent = 0
        self.heard_ns = now_ns
        if self.ready_ns:
            self.ready_ns = now_ns + self.gap_ns
        return self.queue.heard(exchange, now_ns)

    cdef int missed(self, Exchange exchange, int64_t now_ns) except -1:
        # Without ids a late answer looks like that to the next request: it gets as long again to arrive.
        cdef list failed = self.queue.missed(exchange, now_ns, 0 if self.numbered else exchange.timeout_ns)
        if self.ready_ns:
            self.ready_ns = max(self.ready_ns, now_ns + self.gap_ns)
        self.due_ns = min(self.due_ns, now_ns)
        return self.fail(failed, "the unit does not answer")

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
        elif result == UNSENT:
            future.set_exception(ModbusError(f"not sent: {value}"))
        else:
            future.set_exception(ModbusError("connection lost"))
        return 0

    cdef int fail(self, list exchanges, str why) except -1:
        cdef Exchange exchange
        for exchange in exchanges:
            self.finish(exchange, UNSENT, why)
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
        exchange.misses = exchange.unit.misses
        self.due_ns = min(self.due_ns, exchange.sent_ns + exchange.timeout_ns)
        if self.ready_ns:
            self.ready_ns = exchange.sent_ns + self.gap_ns
        self.pending.append(exchange)
        self.write(frame)
        return 0

    cdef int pump(self) except -1:
        """Sends what may be sent now: a probe that is due, then what is queued."""
        cdef Exchange exchange
        cdef int64_t now
        while self.transport is not None and not self.dropped and len(self.pending) < self.in_flight:
            exchange = None
            if self.queue.shut or (self.ready_ns and self.queue.waiting()):
                now = monotonic_ns()
                if now < self.ready_ns:
                    if self.timer is None:
                        self.timer = self.loop.call_later((self.ready_ns - now) * 1e-9, self.paced)
                    break
                exchange = self.queue.probe(now)
            if exchange is None:
                exchange = self.queue.choose()
            if exchange is None:
                break
            self.send(exchange)
        return 0

    def paced(self):
        """The pause that the device needs is over."""
        self.timer = None
        self.pump()

    def read(self, Exchange exchange not None):
        """Asks for a cyclic read, unless it is still under way. It waits while its unit is dead or the link is down."""
        cdef bint may_ask = exchange.unit.state == CLOSED and self.transport is not None and not self.dropped
        if exchange.busy:
            self.overruns += may_ask
            return False
        self.queue.know(exchange.unit)
        if may_ask and not self.pending and not self.ready_ns:
            exchange.busy = True
            self.send(exchange)
        else:
            self.queue.add_read(exchange)
            self.pump()
        return may_ask

    def request(self, Exchange exchange not None, future):
        """A write or a one-off, one at a time per exchange."""
        cdef int64_t now = monotonic_ns()
        if exchange.busy:
            raise ValueError("this exchange is still under way")
        if self.transport is None or self.dropped:
            future.set_exception(ModbusError("not connected"))
            return
        self.queue.know(exchange.unit)
        exchange.future = future
        if exchange.unit.state == CLOSED:
            if not self.queue.add_write(exchange, now):
                self.finish(exchange, UNSENT, "too many requests wait for the unit")
            self.due_ns = min(self.due_ns, now + PATIENCE_NS)
            self.pump()
        elif self.may_send(now) and self.queue.may_probe(exchange.unit, now):
            self.queue.begin_probe(exchange)
            self.send(exchange)
        else:
            self.finish(exchange, UNSENT, "the unit does not answer")

    cdef bint may_send(self, int64_t now_ns) noexcept:
        return (
            self.transport is not None and not self.dropped
            and len(self.pending) < self.in_flight and now_ns >= self.ready_ns
        )

    cpdef int sweep(self, int64_t now_ns) except -1:
        """Ends what is past its deadline, sent or not, and probes dead units.

        Three in a row without any answer, and the connection is given up.
        """
        cdef Exchange exchange
        cdef bint unheard = False
        for exchange in list(self.pending):
            if now_ns - exchange.sent_ns > exchange.timeout_ns:
                self.pending.remove(exchange)
                unheard = unheard or exchange.sent_ns > self.heard_ns
                self.missed(exchange, now_ns)
                self.finish(exchange, TIMEOUT, None)
        self.silent += unheard
        self.fail(self.queue.overdue(now_ns - PATIENCE_NS), "its turn did not come in time")
        if self.silent >= MISSES:
            self.drop()
        if self.may_send(now_ns):
            exchange = self.queue.probe(now_ns)
            if exchange is not None:
                self.send(exchange)
        self.pump()
        self.due_ns = self.queue.next_due(PATIENCE_NS)
        for exchange in self.pending:
            self.due_ns = min(self.due_ns, exchange.sent_ns + exchange.timeout_ns)
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
        if link.due_ns < now_ns:
            link.sweep(now_ns)
    for item in due:
        (<Link>item[0]).read(<Exchange>item[1])
