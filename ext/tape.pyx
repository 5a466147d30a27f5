# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, auto_pickle=False, autotestdict=False
"""What each tick was given and gave: 64-bit words that changed, in a ring between the control thread and a writer.

A whole record holds all that step and guard remember; from it on, frames are enough to run every tick again.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from rampd.ext cimport image

cdef extern from *:
    """
    static inline int64_t rampd_load(const int64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
    static inline void rampd_store(int64_t *p, int64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
    static inline int rampd_take_flag(int *p) { return __atomic_exchange_n(p, 0, __ATOMIC_ACQ_REL); }
    static inline void rampd_set_flag(int *p) { __atomic_store_n(p, 1, __ATOMIC_RELEASE); }
    """
    int64_t rampd_load(const int64_t *place) noexcept nogil
    void rampd_store(int64_t *place, int64_t value) noexcept nogil
    int rampd_take_flag(int *flag) noexcept nogil
    void rampd_set_flag(int *flag) noexcept nogil

cdef enum:
    FRAME = 1
    WHOLE = 2
    ROOM = 4 * 1024 * 1024

cdef packed struct Head:
    uint32_t kind
    uint32_t length             # of the record in bytes, this head included
    int64_t now_ns

cdef packed struct Change:
    uint32_t at                 # which word
    uint64_t bits               # the word before, exclusive or the word now


cdef inline uint8_t *changes(uint8_t *out, const uint64_t *now, uint64_t *seen, size_t first,
                             size_t words) noexcept nogil:
    """Appends the words that changed, numbered from `first`; returns the end of what it wrote."""
    cdef size_t i
    cdef Change *change
    for i in range(words):
        if now[i] != seen[i]:
            change = <Change *>out
            change.at = <uint32_t>(first + i)
            change.bits = now[i] ^ seen[i]
            seen[i] = now[i]
            out += sizeof(Change)
    return out


cdef inline uint8_t *put(uint8_t *out, const void *source, size_t size) noexcept nogil:
    memcpy(out, source, size)
    return out + size


cdef inline size_t state_scalars(const image.State *state) noexcept nogil:
    return <size_t>(<const char *>&state.asked_w - <const char *>state)


cdef inline size_t watch_scalars(const image.Watch *watch) noexcept nogil:
    return <size_t>(<const char *>&watch.vetoes - <const char *>watch)


cdef class Tape:
    def __init__(self, image.Configuration configuration, image.InputWall wall, image.Memory memory):
        self.configuration = configuration
        self.memory = memory
        self.scalars = <size_t>(<char *>&wall.own.value - <char *>&wall.own) // 8
        self.inputs = self.scalars + wall.size // 8
        self.words = self.inputs + 1 + <size_t>configuration.limits.site.racks
        self.seen = <uint64_t *>calloc(self.words, 8)
        cdef size_t remembered = (state_scalars(&memory.state) + memory.state_size
                                  + watch_scalars(&memory.watch) + memory.watch_size)
        self.largest = <int64_t>(sizeof(Head) + max(self.words * sizeof(Change), self.words * 8 + remembered))
        self.capacity = ROOM + 3 * self.largest
        self.ring = <uint8_t *>malloc(<size_t>self.capacity)
        if self.seen == NULL or self.ring == NULL:
            raise MemoryError
        # Every page is there before the first tick touches it.
        memset(self.ring, 0, <size_t>self.capacity)
        self.broken = 1

    def __dealloc__(self):
        free(self.seen)
        free(self.ring)

    @property
    def lost(self):
        return rampd_load(&self.lost_ticks)

    def want_whole(self):
        rampd_set_flag(&self.whole_flag)

    def drain(self):
        cdef int64_t limit = rampd_load(&self.published)
        cdef int64_t at, length
        cdef list found = []
        while self.tail < limit:
            at = self.tail % self.capacity
            if self.capacity - at < self.largest:
                rampd_store(&self.tail, self.tail + self.capacity - at)
                continue
            length = (<Head *>(self.ring + at)).length
            found.append((<char *>self.ring)[at:at + length])
            rampd_store(&self.tail, self.tail + length)
        return found

    cdef uint8_t *room(self) noexcept nogil:
        """Where a record of any size may be written, NULL while the reader has not made room."""
        cdef int64_t at = self.head % self.capacity
        cdef int64_t gap = self.capacity - at if self.capacity - at < self.largest else 0
        if self.head + gap + self.largest - rampd_load(&self.tail) > self.capacity:
            return NULL
        self.head += gap
        return self.ring + self.head % self.capacity

    cdef void commit(self, int64_t length) noexcept nogil:
        self.head += length
        rampd_store(&self.published, self.head)

    cdef void frame(self, const image.Inputs *inputs, int64_t now_ns) noexcept nogil:
        cdef const image.State *state = &self.memory.state
        cdef uint8_t *begin = self.room()
        cdef uint8_t *out
        cdef Head *head = <Head *>begin
        if begin == NULL:
            self.broken = 1
            rampd_store(&self.lost_ticks, self.lost_ticks + 1)
            return
        out = begin + sizeof(Head)
        # A tick that latched nothing new has nothing new in its arrays.
        if <uint64_t>inputs.published_ns != self.seen[0]:
            out = changes(out, <const uint64_t *>inputs, self.seen, 0, self.scalars)
            out = changes(out, <const uint64_t *>inputs.value, self.seen + self.scalars, self.scalars,
                          self.inputs - self.scalars)
        out = changes(out, <const uint64_t *>&state.reference_w, self.seen + self.inputs, self.inputs, 1)
        out = changes(out, <const uint64_t *>state.applied_w, self.seen + self.inputs + 1, self.inputs + 1,
                      self.words - self.inputs - 1)
        head.kind = FRAME
        head.length = <uint32_t>(out - begin)
        head.now_ns = now_ns
        self.commit(out - begin)

    cdef void whole(self, const image.Inputs *inputs, int64_t now_ns) noexcept nogil:
        cdef const image.State *state = &self.memory.state
        cdef const image.Watch *watch = &self.memory.watch
        cdef uint8_t *begin = self.room()
        cdef uint8_t *out
        cdef Head *head = <Head *>begin
        if begin == NULL:
            return
        put(<uint8_t *>self.seen, inputs, self.scalars * 8)
        put(<uint8_t *>(self.seen + self.scalars), inputs.value, (self.inputs - self.scalars) * 8)
        put(<uint8_t *>(self.seen + self.inputs), &state.reference_w, 8)
        put(<uint8_t *>(self.seen + self.inputs + 1), state.applied_w, (self.words - self.inputs - 1) * 8)
        out = put(begin + sizeof(Head), state, state_scalars(state))
        out = put(out, self.memory.state_memory, self.memory.state_size)
        out = put(out, watch, watch_scalars(watch))
        out = put(out, self.memory.watch_memory, self.memory.watch_size)
        out = put(out, self.seen, self.words * 8)
        head.kind = WHOLE
        head.length = <uint32_t>(out - begin)
        head.now_ns = now_ns
        self.begun = 1
        self.broken = 0
        self.commit(out - begin)

    cdef void after(self, const image.Inputs *inputs, int64_t now_ns) noexcept nogil:
        """At the end of a tick: what it was given and gave, and all that is remembered where that is wanted."""
        if not self.broken:
            self.frame(inputs, now_ns)
        elif self.begun:
            rampd_store(&self.lost_ticks, self.lost_ticks + 1)
        if self.broken or rampd_take_flag(&self.whole_flag):
            self.whole(inputs, now_ns)


cdef class Player:
    def __init__(self, image.Configuration configuration, image.InputWall wall, image.Memory memory):
        self.configuration = configuration
        self.wall = wall
        self.memory = memory
        self.scalars = <size_t>(<char *>&wall.own.value - <char *>&wall.own) // 8
        self.inputs = self.scalars + wall.size // 8
        self.results = 1 + <size_t>configuration.limits.site.racks
        self.given = <uint64_t *>calloc(self.results, 8)
        if self.given == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.given)

    def give(self, const uint8_t[::1] record):
        cdef const Head *head = <const Head *>&record[0] if record.shape[0] >= <Py_ssize_t>sizeof(Head) else NULL
        if head == NULL or head.length != record.shape[0] or head.kind not in (FRAME, WHOLE):
            raise ValueError("a record that is neither a frame nor a whole one")
        if head.kind == WHOLE:
            self.restore(record)
        else:
            self.apply(record)
        # The wall stamps what it hands over: the stamp of the recorded image.
        self.wall.publish(self.wall.own.published_ns)
        return head.kind == FRAME, head.now_ns

    cdef restore(self, const uint8_t[::1] record):
        cdef image.State *state = &self.memory.state
        cdef image.Watch *watch = &self.memory.watch
        cdef const uint8_t *at = &record[0] + sizeof(Head)
        cdef size_t size = (sizeof(Head) + state_scalars(state) + self.memory.state_size + watch_scalars(watch)
                            + self.memory.watch_size + (self.inputs + self.results) * 8)
        if <size_t>record.shape[0] != size:
            raise ValueError("a whole record of another site or another version")
        memcpy(state, at, state_scalars(state))
        at += state_scalars(state)
        memcpy(self.memory.state_memory, at, self.memory.state_size)
        at += self.memory.state_size
        memcpy(watch, at, watch_scalars(watch))
        at += watch_scalars(watch)
        memcpy(self.memory.watch_memory, at, self.memory.watch_size)
        at += self.memory.watch_size
        memcpy(&self.wall.own, at, self.scalars * 8)
        memcpy(self.wall.own.value, at + self.scalars * 8, (self.inputs - self.scalars) * 8)
        memcpy(self.given, at + self.inputs * 8, self.results * 8)

    cdef apply(self, const uint8_t[::1] record):
        cdef Py_ssize_t at = sizeof(Head)
        cdef const Change *change
        cdef uint64_t *word
        if (record.shape[0] - at) % <Py_ssize_t>sizeof(Change):
            raise ValueError("a frame that ends within a word")
        while at < record.shape[0]:
            change = <const Change *>&record[at]
            if change.at < self.scalars:
                word = <uint64_t *>&self.wall.own + change.at
            elif change.at < self.inputs:
                word = <uint64_t *>self.wall.own.value + (change.at - self.scalars)
            elif change.at < self.inputs + self.results:
                word = self.given + (change.at - self.inputs)
            else:
                raise ValueError("a frame of another site or another version")
            word[0] ^= change.bits
            at += sizeof(Change)

    def differs(self):
        cdef const uint64_t *applied = <const uint64_t *>self.memory.state.applied_w
        cdef size_t i
        if (<const uint64_t *>&self.memory.state.reference_w)[0] != self.given[0]:
            return 0
        for i in range(1, self.results):
            if applied[i - 1] != self.given[i]:
                return <int64_t>i
        return -1

    def recorded_w(self, int64_t place):
        if not 0 <= place < <int64_t>self.results:
            raise IndexError(place)
        return (<double *>self.given)[place]


def limits_bytes(image.Configuration configuration):
    cdef bytes scalars = (<char *>&configuration.limits.site)[:sizeof(image.Site)]
    cdef bytes arrays = (<char *>configuration.memory)[:configuration.size]
    return scalars + arrays


def limits_from(const uint8_t[::1] data):
    cdef image.Site site
    cdef image.Configuration found
    if data.shape[0] < <Py_ssize_t>sizeof(image.Site):
        raise ValueError("limits that are cut off")
    memcpy(&site, &data[0], sizeof(image.Site))
    found = image.Configuration(
        slots=site.slots, racks=site.racks, nodes=site.nodes, loops=site.loops, groups=site.groups, tiers=site.tiers,
        history=site.history, levels=site.levels, windows=site.windows, under_steps=site.under_steps,
        feeders=site.feeders, links=site.links,
    )
    if <size_t>data.shape[0] != sizeof(image.Site) + found.size:
        raise ValueError("limits of another version")
    memcpy(&found.limits.site, &data[0], sizeof(image.Site))
    memcpy(found.memory, &data[sizeof(image.Site)], found.size)
    return found
