# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, auto_pickle=False, autotestdict=False
"""The control thread: absolute deadlines, latch -> step -> guard -> publish, and never the GIL."""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec
from posix.unistd cimport write

from rampd.ext cimport image
from rampd.ext.codes cimport AVAILABLE, EMERGENCY, FAULT_NONE, REASONS, VETOES, WHY_GUARD
from rampd.ext.guard cimport check
from rampd.ext.ladder cimport heed
from rampd.ext.model cimport record
from rampd.ext.step cimport step
from rampd.ext.tape cimport Tape

cdef extern from *:
    """
    #include <pthread.h>
    #include <signal.h>
    static inline int rampd_flag(const int *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
    static inline void rampd_raise_flag(int *p) { __atomic_store_n(p, 1, __ATOMIC_RELEASE); }
    static inline void rampd_block_signals(void) { sigset_t s; sigfillset(&s); pthread_sigmask(SIG_BLOCK, &s, 0); }
    """
    int rampd_flag(const int *flag) noexcept nogil
    void rampd_raise_flag(int *flag) noexcept nogil
    void rampd_block_signals() noexcept nogil

cdef extern from "time.h" nogil:
    int clock_nanosleep(int clock, int flags, const timespec *until, timespec *left)
    int TIMER_ABSTIME


cdef inline int64_t monotonic_ns() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <int64_t>t.tv_sec * 1000000000 + t.tv_nsec


cdef inline int bin_of(int64_t ns) noexcept nogil:
    """Bin k holds values up to 2^k microseconds."""
    cdef int k = 0
    while k < image.BINS - 1 and (<int64_t>1000 << k) < ns:
        k += 1
    return k


cdef double responds(const image.State *state) noexcept nogil:
    """What of the primary response there is room for between the racks' least and most."""
    cdef double stands_w = state.reference_w + state.regulation_w
    if state.response_w > 0.0:
        return min(state.response_w, max(0.0, state.most_w - stands_w))
    return max(state.response_w, min(0.0, state.least_w - stands_w))


cdef void show(const image.Limits *limits, const image.Inputs *inputs, const image.State *state,
               const image.Watch *watch, image.Outputs *out) noexcept nogil:
    cdef int64_t i
    out.tick = state.tick
    out.seq = state.seq
    out.verb = state.verb
    out.envelope = EMERGENCY if state.shedding or state.exceeded else state.envelope
    out.lapsed = state.lapsed
    out.regulating = state.regulating
    out.regulation_seq = state.regulation_seq
    out.started = state.started
    out.meter_good = state.meter_good
    out.site_why = state.site_why
    out.shedding = state.shedding
    out.shed_tier = state.shed_tier
    out.returning = state.returning
    out.return_ns = state.return_ns
    out.regulated = state.regulation_w < 0.0 or state.climbing
    out.rests = state.rests
    out.return_cap_w = state.return_cap_w
    out.reference_w = state.reference_w
    out.regulation_w = state.regulation_w
    out.unmet_w = state.unmet_w
    out.response_w = responds(state)
    out.goal_w = state.goal_w
    out.power_w = inputs.value[limits.site.power_slot]
    out.disturbance_w = state.disturbance_w
    out.total_w = state.total_w
    out.model_w = state.model_w
    out.least_w = state.least_w
    out.most_w = state.most_w
    out.band_w = state.band_w
    out.swing_w = state.swing_w
    out.coming_w_per_s = state.coming_w_per_s
    out.refresh_s = state.refresh_s
    out.detune = state.detune
    out.fell_w = state.fell_w
    out.firm_down_w = state.firm_w[0]
    out.firm_down_60_w = state.firm_w[1]
    out.firm_down_600_w = state.firm_w[2]
    out.firm_up_w = state.firm_w[3]
    out.firm_up_60_w = state.firm_w[4]
    out.firm_up_600_w = state.firm_w[5]
    for i in range(VETOES):
        out.vetoes[i] = watch.vetoes[i]
    for i in range(REASONS):
        out.reason_racks[i] = state.reason_racks[i]
    for i in range(limits.site.loops):
        out.loop_w[i] = state.loop_w[i]
        out.loop_action[i] = state.loop_action[i]
    if limits.site.measured:
        for i in range(limits.site.nodes):
            out.taken_w[i] = state.taken_w[i]
            out.learnt_w[i] = state.learnt_w[i]
            out.phase_w[i] = state.phase_w[i]
    for i in range(limits.site.zones):
        out.zone_reasons[i] = state.zone_reasons[i]
        out.zone_latched[i] = state.zone_latched[i]
        out.zone_lost[i] = state.zone_lost[i]


# Pointers of its own: behind a byte that is written, the compiler would read those in the structs again for every rack.
cdef void show_racks(const image.Limits *limits, const image.Inputs *inputs, const image.State *state,
                     const image.Watch *watch, image.Outputs *out) noexcept nogil:
    cdef int64_t racks = limits.site.racks
    cdef int64_t i
    cdef const uint8_t *adopted = state.known
    cdef const uint8_t *known = watch.known
    cdef const uint8_t *rack_state = inputs.rack_state
    cdef const uint8_t *vetoed = watch.vetoed
    cdef const uint8_t *why = state.why
    cdef uint8_t *active = out.active
    cdef uint8_t *shown = out.why
    cdef uint8_t reason
    for i in range(racks):
        active[i] = adopted[i] & known[i] & (rack_state[i] == AVAILABLE)
    for i in range(racks):
        reason = why[i]
        shown[i] = <uint8_t>WHY_GUARD if vetoed[i] else reason
    memcpy(out.setpoint_w, state.applied_w, racks * sizeof(double))
    memcpy(out.demand_w, state.demand_w, racks * sizeof(double))
    # The buffer shows what it did when it went out last, long ago maybe.
    if out.rests != state.rests:
        memcpy(out.free_ns, state.free_ns, racks * sizeof(int64_t))
        memcpy(out.worn_ns, state.worn_ns, racks * sizeof(int64_t))
    memcpy(out.stale, state.stale, racks)
    memcpy(out.action, state.action, racks)


cdef class Loop:
    def __init__(self, image.Configuration configuration, image.InputWall inputs, image.OutputWall outputs,
                 image.Memory memory, int wake_fd, Tape tape=None):
        self.configuration = configuration
        self.inputs = inputs
        self.outputs = outputs
        self.memory = memory
        self.wake_fd = wake_fd
        self.tape = tape

    cdef void tick(self, int64_t due_ns, int64_t now_ns) noexcept nogil:
        cdef const image.Limits *limits = &self.configuration.limits
        cdef const image.Inputs *inputs = self.inputs.latch()
        cdef image.State *state = &self.memory.state
        cdef image.Watch *watch = &self.memory.watch
        cdef image.Outputs *out = &self.outputs.own
        cdef int64_t i
        cdef int64_t fault = step(inputs, limits, state, now_ns)
        if fault != FAULT_NONE:
            # Nothing moves on a fault: the guard sees the set points that stand, and the watchdog is not fed.
            for i in range(limits.site.racks):
                state.asked_w[i] = state.applied_w[i]
        check(inputs, limits, watch, state.asked_w, state.applied_w, now_ns)
        heed(limits, state, watch.tripped)
        record(limits, state)
        show(limits, inputs, state, watch, out)
        show_racks(limits, inputs, state, watch, self.outputs.back())
        out.fault = fault
        out.at_ns = now_ns
        out.late_ns = now_ns - due_ns
        out.late_sum_ns += out.late_ns
        out.recent_late_ns[state.tick % image.RECENT] = out.late_ns
        out.late_bins[bin_of(out.late_ns)] += 1
        out.busy_ns = monotonic_ns() - now_ns
        out.busy_sum_ns += out.busy_ns
        out.busy_bins[bin_of(out.busy_ns)] += 1
        self.outputs.publish()
        # After the set points are out: what is recorded makes none of them later.
        if self.tape is not None:
            self.tape.after(inputs, now_ns)

    def tick_at(self, int64_t now_ns):
        cdef int64_t before = self.outputs.own.tick
        with nogil:
            self.tick(now_ns, now_ns)
        return self.outputs.own.tick > before

    def check_at(self, int64_t now_ns):
        with nogil:
            check(self.inputs.latch(), &self.configuration.limits, &self.memory.watch, self.memory.state.asked_w,
                  self.memory.state.applied_w, now_ns)

    def run(self):
        cdef int64_t period = self.configuration.limits.site.period_ns
        cdef int64_t due, now
        cdef timespec until
        cdef uint64_t one = 1
        with nogil:
            rampd_block_signals()
            due = monotonic_ns()
            while not rampd_flag(&self.stop_flag):
                due += period
                now = monotonic_ns()
                if now > due + period:
                    self.outputs.own.skipped += (now - due) // period
                    due += (now - due) // period * period
                until.tv_sec = due // 1000000000
                until.tv_nsec = due % 1000000000
                while clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0:
                    pass
                self.tick(due, monotonic_ns())
                write(self.wake_fd, &one, 8)

    def stop(self):
        rampd_raise_flag(&self.stop_flag)
