# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, auto_pickle=False, autotestdict=False
"""Memory of the process image and the triple-buffered wall between asyncio and the control thread."""

from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from rampd.ext.lay cimport lay_inputs, lay_limits, lay_outputs, lay_state, lay_watch

cdef extern from "stdlib.h" nogil:
    int posix_memalign(void **memory, size_t alignment, size_t size)

cdef extern from "sys/mman.h" nogil:
    int MADV_HUGEPAGE
    int madvise(void *memory, size_t size, int advice)

cdef enum:
    LINE = 64
    HUGE = 1 << 21


cdef void *allocate(size_t size) except NULL:
    """Zeroed memory; a large piece on huge pages where the kernel gives them: a tick goes through all of it."""
    cdef void *memory = NULL
    if posix_memalign(&memory, HUGE if size >= HUGE else LINE, size if size else LINE) != 0:
        raise MemoryError
    if size >= HUGE:
        madvise(memory, size, MADV_HUGEPAGE)
    memset(memory, 0, size)
    return memory


cdef class Configuration:
    def __cinit__(self, *, int64_t slots, int64_t racks, int64_t nodes, int64_t loops, int64_t groups, int64_t tiers,
                  int64_t history, int64_t levels=0, int64_t windows=0, int64_t under_steps=0, int64_t feeders=1,
                  int64_t links=0):
        if (min(slots, racks, nodes, loops, groups, tiers, feeders) < 1 or history < 2
                or min(levels, windows, under_steps, links) < 0):
            raise ValueError("an image has at least one slot, rack, node, loop, group, tier and feeder, and two ticks")
        self.limits.site.slots = slots
        self.limits.site.racks = racks
        self.limits.site.nodes = nodes
        self.limits.site.loops = loops
        self.limits.site.groups = groups
        self.limits.site.tiers = tiers
        self.limits.site.feeders = feeders
        self.limits.site.links = links
        self.limits.site.zones = 1 + feeders + links + loops + nodes
        self.limits.site.levels = levels
        self.limits.site.windows = windows
        self.limits.site.under_steps = under_steps
        self.limits.site.history = history
        self.size = lay_limits(&self.limits, NULL)
        self.memory = allocate(self.size)
        lay_limits(&self.limits, <char *>self.memory)

    def __dealloc__(self):
        free(self.memory)

    @property
    def address(self):
        return <uintptr_t>&self.limits


cdef class InputWall:
    def __cinit__(self, Configuration configuration):
        cdef int i
        cdef const Site *site = &configuration.limits.site
        self.size = lay_inputs(&self.own, NULL, site)
        self.memory = allocate(4 * self.size)
        lay_inputs(&self.own, <char *>self.memory, site)
        for i in range(3):
            lay_inputs(&self.buffers[i], <char *>self.memory + (i + 1) * self.size, site)
        self.wall.back = 0
        self.wall.front = 1
        self.wall.middle = 2

    def __dealloc__(self):
        free(self.memory)

    @property
    def address(self):
        return <uintptr_t>&self.own

    def publish(self, int64_t now_ns):
        cdef Inputs *back = &self.buffers[self.wall.back]
        self.own.published_ns = now_ns
        memcpy(back, &self.own, <size_t>(<char *>&self.own.value - <char *>&self.own))
        memcpy(back.value, self.own.value, self.size)
        rampd_wall_publish(&self.wall)

    cdef const Inputs *latch(self) noexcept nogil:
        rampd_wall_latch(&self.wall)
        return &self.buffers[self.wall.front]


cdef class OutputWall:
    def __cinit__(self, Configuration configuration):
        cdef int i
        cdef const Site *site = &configuration.limits.site
        self.racks = site.racks
        self.size = lay_outputs(&self.own, NULL, site)
        self.memory = allocate(4 * self.size)
        lay_outputs(&self.own, <char *>self.memory, site)
        for i in range(3):
            lay_outputs(&self.buffers[i], <char *>self.memory + (i + 1) * self.size, site)
        self.wall.back = 0
        self.wall.front = 1
        self.wall.middle = 2

    def __dealloc__(self):
        free(self.memory)

    cdef Outputs *back(self) noexcept nogil:
        return &self.buffers[self.wall.back]

    cdef void publish(self) noexcept nogil:
        cdef Outputs *back = &self.buffers[self.wall.back]
        memcpy(back, &self.own, <size_t>(<char *>&self.own.vetoes - <char *>&self.own))
        memcpy(back.vetoes, self.own.vetoes, <size_t>(<char *>self.own.setpoint_w - <char *>self.own.vetoes))
        rampd_wall_publish(&self.wall)

    def latch(self):
        rampd_wall_latch(&self.wall)
        return <uintptr_t>&self.buffers[self.wall.front]

    def moved(self, double[::1] last_w):
        cdef const Outputs *out = &self.buffers[self.wall.front]
        cdef Py_ssize_t i
        cdef list found = []
        if last_w.shape[0] != self.racks:
            raise ValueError(f"{last_w.shape[0]} set points for {self.racks} racks")
        for i in range(self.racks):
            if out.active[i] and out.setpoint_w[i] != last_w[i]:
                last_w[i] = out.setpoint_w[i]
                found.append(i)
        return found


cdef class Memory:
    def __cinit__(self, Configuration configuration):
        cdef const Site *site = &configuration.limits.site
        self.state_size = lay_state(&self.state, NULL, site)
        self.state_memory = allocate(self.state_size)
        lay_state(&self.state, <char *>self.state_memory, site)
        self.watch_size = lay_watch(&self.watch, NULL, site)
        self.watch_memory = allocate(self.watch_size)
        lay_watch(&self.watch, <char *>self.watch_memory, site)

    def __dealloc__(self):
        free(self.state_memory)
        free(self.watch_memory)

    @property
    def state_address(self):
        return <uintptr_t>&self.state

    @property
    def watch_address(self):
        return <uintptr_t>&self.watch


def sizes():
    return {
        "Command": sizeof(Command), "Inputs": sizeof(Inputs), "Site": sizeof(Site), "Limits": sizeof(Limits),
        "State": sizeof(State), "Watch": sizeof(Watch), "Outputs": sizeof(Outputs),
    }
