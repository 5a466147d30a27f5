# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, auto_pickle=False, autotestdict=False
"""Memory of the process image and the triple-buffered wall between asyncio and the control thread."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uintptr_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from rampd.ext.codes cimport BASE_SLOTS, FIRMS, LOOKS, LUMPS, REASONS, VETOES, WINDOW_SLOTS

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


cdef inline void *take(char *base, size_t *offset, size_t size) noexcept:
    """The next piece of a block, on a cache line of its own; with base NULL it only measures."""
    cdef void *piece = base + offset[0] if base != NULL else NULL
    offset[0] += (size + 63) & ~<size_t>63
    return piece


cdef size_t lay_limits(Limits *x, char *base) noexcept:
    cdef size_t o = 0
    cdef size_t racks = x.site.racks
    cdef size_t nodes = x.site.nodes
    cdef size_t loops = x.site.loops
    cdef size_t groups = x.site.groups
    cdef size_t tiers = x.site.tiers
    x.min_w = <double *>take(base, &o, racks * 8)
    x.max_w = <double *>take(base, &o, racks * 8)
    x.up_w_per_s = <double *>take(base, &o, racks * 8)
    x.down_w_per_s = <double *>take(base, &o, racks * 8)
    x.weight = <double *>take(base, &o, racks * 8)
    x.quantum_w = <double *>take(base, &o, racks * 8)
    x.level_w = <double *>take(base, &o, x.site.levels * 8)
    x.on_ns = <int64_t *>take(base, &o, racks * 8)
    x.off_ns = <int64_t *>take(base, &o, racks * 8)
    x.wear_ns = <int64_t *>take(base, &o, racks * 8)
    x.stale_ns = <int64_t *>take(base, &o, racks * 8)
    x.budget_ns = <int64_t *>take(base, &o, racks * 8)
    x.fall_w = <double *>take(base, &o, racks * 8)
    x.rise_w = <double *>take(base, &o, racks * 8)
    x.headroom_w = <double *>take(base, &o, racks * 8)
    x.full_at = <double *>take(base, &o, groups * 8)
    x.slow = <uint8_t *>take(base, &o, racks)
    x.dead_up = <int32_t *>take(base, &o, racks * 4)
    x.dead_down = <int32_t *>take(base, &o, racks * 4)
    x.tier = <int32_t *>take(base, &o, racks * 4)
    x.node = <int32_t *>take(base, &o, racks * 4)
    x.loop = <int32_t *>take(base, &o, racks * 4)
    x.group = <int32_t *>take(base, &o, racks * 4)
    x.feeder = <int32_t *>take(base, &o, racks * 4)
    x.link = <int32_t *>take(base, &o, racks * 4)
    x.level_first = <int32_t *>take(base, &o, (racks + 1) * 4)
    x.power_slot = <int32_t *>take(base, &o, racks * 4)
    x.limit_slot = <int32_t *>take(base, &o, racks * 4)
    x.node_parent = <int32_t *>take(base, &o, nodes * 4)
    x.node_end = <int32_t *>take(base, &o, nodes * 4)
    x.rack_first = <int32_t *>take(base, &o, (nodes + 1) * 4)
    x.node_w = <double *>take(base, &o, nodes * 8)
    x.trip_ns = <int64_t *>take(base, &o, nodes * 8)
    x.rating_w = <double *>take(base, &o, nodes * 8)
    x.node_a = <double *>take(base, &o, nodes * 8)
    x.draw_slot = <int32_t *>take(base, &o, nodes * 4)
    x.amps_slot = <int32_t *>take(base, &o, 3 * nodes * 4)
    x.node_stale_ns = <int64_t *>take(base, &o, nodes * 8)
    x.span_ns = <int64_t *>take(base, &o, nodes * 8)
    x.voltage_slot = <int32_t *>take(base, &o, 3 * 4)
    x.window_ns = <int64_t *>take(base, &o, x.site.windows * 8)
    x.window_envelope = <int64_t *>take(base, &o, x.site.windows * 8)
    x.window_up_w = <double *>take(base, &o, x.site.windows * 8)
    x.window_down_w = <double *>take(base, &o, x.site.windows * 8)
    x.under_hz = <double *>take(base, &o, x.site.under_steps * 8)
    x.under_tier = <int32_t *>take(base, &o, x.site.under_steps * 4)
    x.group_first = <int32_t *>take(base, &o, tiers * (nodes + 1) * 4)
    x.group_node = <int32_t *>take(base, &o, groups * 4)
    x.stepped = <int32_t *>take(base, &o, racks * 4)
    x.stepped_first = <int32_t *>take(base, &o, (tiers + 1) * 4)
    x.ranked = <int32_t *>take(base, &o, racks * 4)
    x.ranked_first = <int32_t *>take(base, &o, (tiers + 1) * 4)
    x.supply_slot = <int32_t *>take(base, &o, loops * 4)
    x.flow_slot = <int32_t *>take(base, &o, loops * 4)
    x.leak_slot = <int32_t *>take(base, &o, loops * 4)
    x.dew_slot = <int32_t *>take(base, &o, loops * 4)
    x.dew_stale_ns = <int64_t *>take(base, &o, loops * 8)
    x.warn_c = <double *>take(base, &o, loops * 8)
    x.derate_c = <double *>take(base, &o, loops * 8)
    x.trip_c = <double *>take(base, &o, loops * 8)
    x.return_c = <double *>take(base, &o, loops * 8)
    x.min_flow_lpm = <double *>take(base, &o, loops * 8)
    x.loop_max_w = <double *>take(base, &o, loops * 8)
    x.margin_k = <double *>take(base, &o, loops * 8)
    x.zone_racks = <int32_t *>take(base, &o, x.site.zones * 4)
    x.reason_clear_ns = <int64_t *>take(base, &o, REASONS * 8)
    x.reason_action = <uint8_t *>take(base, &o, REASONS)
    x.reason_latches = <uint8_t *>take(base, &o, REASONS)
    return o


cdef size_t lay_inputs(Inputs *x, char *base, const Site *site) noexcept:
    cdef size_t o = 0
    x.value = <double *>take(base, &o, site.slots * 8)
    x.at_ns = <int64_t *>take(base, &o, site.slots * 8)
    x.quality = <uint8_t *>take(base, &o, site.slots)
    x.rack_state = <uint8_t *>take(base, &o, site.racks)
    x.latched = <int32_t *>take(base, &o, site.zones * 4)
    x.free_ns = <int64_t *>take(base, &o, site.racks * 8)
    x.worn_ns = <int64_t *>take(base, &o, site.racks * 8)
    return o


cdef size_t lay_outputs(Outputs *x, char *base, const Site *site) noexcept:
    cdef size_t o = 0
    x.vetoes = <int64_t *>take(base, &o, VETOES * 8)
    x.late_bins = <int64_t *>take(base, &o, BINS * 8)
    x.busy_bins = <int64_t *>take(base, &o, BINS * 8)
    x.recent_late_ns = <int64_t *>take(base, &o, RECENT * 8)
    x.loop_w = <double *>take(base, &o, site.loops * 8)
    x.taken_w = <double *>take(base, &o, site.nodes * 8)
    x.loop_action = <uint8_t *>take(base, &o, site.loops)
    x.zone_reasons = <int32_t *>take(base, &o, site.zones * 4)
    x.zone_latched = <int32_t *>take(base, &o, site.zones * 4)
    x.zone_lost = <int32_t *>take(base, &o, site.zones * 4)
    x.reason_racks = <int64_t *>take(base, &o, REASONS * 8)
    # The racks last: they are written straight into the buffer that goes out.
    x.setpoint_w = <double *>take(base, &o, site.racks * 8)
    x.demand_w = <double *>take(base, &o, site.racks * 8)
    x.free_ns = <int64_t *>take(base, &o, site.racks * 8)
    x.worn_ns = <int64_t *>take(base, &o, site.racks * 8)
    x.active = <uint8_t *>take(base, &o, site.racks)
    x.stale = <uint8_t *>take(base, &o, site.racks)
    x.action = <uint8_t *>take(base, &o, site.racks)
    x.why = <uint8_t *>take(base, &o, site.racks)
    return o


cdef size_t lay_state(State *x, char *base, const Site *site) noexcept:
    cdef size_t o = 0
    cdef size_t racks = site.racks * 8
    cdef size_t nodes = site.nodes * 8
    cdef size_t loops = site.loops * 8
    x.asked_w = <double *>take(base, &o, racks)
    x.applied_w = <double *>take(base, &o, racks)
    x.cap_w = <double *>take(base, &o, racks)
    x.edge_tick = <int64_t *>take(base, &o, racks)
    x.acts_w = <double *>take(base, &o, racks)
    x.power_w = <double *>take(base, &o, racks)
    x.demand_w = <double *>take(base, &o, racks)
    x.lo_w = <double *>take(base, &o, racks)
    x.hi_w = <double *>take(base, &o, racks)
    x.share_w = <double *>take(base, &o, racks)
    x.head_w = <double *>take(base, &o, racks)
    x.floor_w = <double *>take(base, &o, racks)
    x.reach_w = <double *>take(base, &o, racks)
    x.ahead_w = <double *>take(base, &o, racks)
    x.back_w = <double *>take(base, &o, racks)
    x.end_w = <double *>take(base, &o, racks)
    x.near_w = <double *>take(base, &o, racks)
    x.far_w = <double *>take(base, &o, racks)
    x.next_w = <double *>take(base, &o, racks)
    x.odd = <int32_t *>take(base, &o, site.racks * 4)
    x.tier_spare_w = <double *>take(base, &o, 2 * site.tiers * 8)
    x.past_w = <double *>take(base, &o, racks * (site.history + 1))
    x.edge_w = x.past_w + site.history * site.racks if base != NULL else NULL
    x.past_first = <int64_t *>take(base, &o, site.history * 8)
    x.past_model_w = <double *>take(base, &o, site.history * 8)
    x.base_w = <double *>take(base, &o, BASE_SLOTS * 8)
    x.swing_low_w = <double *>take(base, &o, WINDOW_SLOTS * 8)
    x.swing_high_w = <double *>take(base, &o, WINDOW_SLOTS * 8)
    x.noise_low_w = <double *>take(base, &o, WINDOW_SLOTS * 8)
    x.noise_high_w = <double *>take(base, &o, WINDOW_SLOTS * 8)
    x.crest_w = <double *>take(base, &o, WINDOW_SLOTS * 8)
    x.window_low_w = <double *>take(base, &o, site.windows * WINDOW_SLOTS * 8)
    x.window_high_w = <double *>take(base, &o, site.windows * WINDOW_SLOTS * 8)
    x.window_at = <int64_t *>take(base, &o, site.windows * 8)
    x.range_w = <double *>take(base, &o, site.groups * 8)
    x.group_part = <double *>take(base, &o, site.groups * 8)
    x.used_w = <double *>take(base, &o, nodes)
    x.flow_w = <double *>take(base, &o, nodes)
    x.slope_w = <double *>take(base, &o, nodes)
    x.full_w = <double *>take(base, &o, nodes)
    x.fill = <double *>take(base, &o, nodes)
    x.worst_w = <double *>take(base, &o, nodes)
    x.reserve_w = <double *>take(base, &o, nodes)
    x.late_w = <double *>take(base, &o, nodes)
    x.firm_w = <double *>take(base, &o, FIRMS * 8)
    x.firm_mean_w = <double *>take(base, &o, FIRMS * 8)
    x.firm_var = <double *>take(base, &o, FIRMS * 8)
    x.firm_vague_w = <double *>take(base, &o, FIRMS * 8)
    x.firm_node_w = <double *>take(base, &o, 2 * FIRMS * nodes)
    x.firm_node_var = <double *>take(base, &o, 2 * FIRMS * nodes)
    x.firm_node_vague_w = <double *>take(base, &o, 2 * FIRMS * nodes)
    x.lump_p = <double *>take(base, &o, LUMPS * 8)
    x.lump_w = <double *>take(base, &o, LUMPS * 8)
    x.coming_w = <double *>take(base, &o, LOOKS * 8)
    x.node_in = <int64_t *>take(base, &o, nodes)
    x.node_out = <int64_t *>take(base, &o, nodes)
    x.loop_w = <double *>take(base, &o, loops)
    x.loop_cap_w = <double *>take(base, &o, loops)
    x.loop_load_w = <double *>take(base, &o, loops)
    x.loop_more = <double *>take(base, &o, loops)
    x.loop_flow_w = <double *>take(base, &o, loops)
    x.loop_slope_w = <double *>take(base, &o, loops)
    x.loop_level = <double *>take(base, &o, loops)
    x.cut_w = <double *>take(base, &o, racks)
    x.served_w = <double *>take(base, &o, nodes)
    x.seen_ns = <int64_t *>take(base, &o, racks)
    x.seen_w = <double *>take(base, &o, racks)
    x.peak_w = <double *>take(base, &o, racks)
    x.dead_up_s = <double *>take(base, &o, racks)
    x.dead_down_s = <double *>take(base, &o, racks)
    x.up_w_per_s = <double *>take(base, &o, racks)
    x.down_w_per_s = <double *>take(base, &o, racks)
    x.bottom_w = <double *>take(base, &o, racks)
    x.step_w = <double *>take(base, &o, racks)
    x.success = <double *>take(base, &o, racks)
    x.error_w = <double *>take(base, &o, racks)
    x.gain = <double *>take(base, &o, racks)
    x.stood_cap_w = <double *>take(base, &o, racks)
    x.stood_w = <double *>take(base, &o, racks)
    x.start_w = <double *>take(base, &o, racks)
    x.mark_w = <double *>take(base, &o, racks)
    x.lead_w = <double *>take(base, &o, racks)
    x.aim_w = <double *>take(base, &o, racks)
    x.pace_w_per_s = <double *>take(base, &o, racks)
    x.after_w = <double *>take(base, &o, racks)
    x.before_ns = <int64_t *>take(base, &o, racks)
    x.after_ns = <int64_t *>take(base, &o, racks)
    x.dead_up = <int64_t *>take(base, &o, racks)
    x.dead_down = <int64_t *>take(base, &o, racks)
    x.led_ns = <int64_t *>take(base, &o, racks)
    x.moved_ns = <int64_t *>take(base, &o, racks)
    x.gap_ns = <int64_t *>take(base, &o, racks)
    x.lost_w = <double *>take(base, &o, racks)
    x.sunk_w = <double *>take(base, &o, racks)
    x.sunk_ns = <int64_t *>take(base, &o, racks)
    x.low_w = <double *>take(base, &o, racks)
    x.held_w = <double *>take(base, &o, racks)
    x.lately_w = <double *>take(base, &o, racks)
    x.held_ns = <int64_t *>take(base, &o, racks)
    x.bound_ns = <int64_t *>take(base, &o, racks)
    x.slack_ns = <int64_t *>take(base, &o, racks)
    x.news = <int32_t *>take(base, &o, site.racks * 4)
    x.trough = <uint8_t *>take(base, &o, site.racks)
    x.crest = <uint8_t *>take(base, &o, site.racks)
    x.trough_ago = <uint8_t *>take(base, &o, site.racks)
    x.crest_ago = <uint8_t *>take(base, &o, site.racks)
    x.swings = <uint8_t *>take(base, &o, site.racks)
    x.free_ns = <int64_t *>take(base, &o, racks)
    x.worn_ns = <int64_t *>take(base, &o, racks)
    x.slow = <uint8_t *>take(base, &o, site.racks)
    x.excursion = <uint8_t *>take(base, &o, site.racks)
    x.passed = <uint8_t *>take(base, &o, site.racks)
    x.rising = <uint8_t *>take(base, &o, site.racks)
    x.known = <uint8_t *>take(base, &o, site.racks)
    x.ours = <uint8_t *>take(base, &o, site.racks)
    x.fresh = <uint8_t *>take(base, &o, site.racks)
    x.stale = <uint8_t *>take(base, &o, site.racks)
    x.action = <uint8_t *>take(base, &o, site.racks)
    x.usual = <uint8_t *>take(base, &o, site.racks)
    x.loop_action = <uint8_t *>take(base, &o, site.loops)
    x.zone_action = <uint8_t *>take(base, &o, site.zones)
    x.zone_reasons = <int32_t *>take(base, &o, site.zones * 4)
    x.zone_latched = <int32_t *>take(base, &o, site.zones * 4)
    x.zone_until_ns = <int64_t *>take(base, &o, site.zones * REASONS * 8)
    x.zone_lost = <int32_t *>take(base, &o, site.zones * 4)
    x.zone_burst = <int32_t *>take(base, &o, site.zones * 4)
    x.zone_burst_ns = <int64_t *>take(base, &o, site.zones * 8)
    x.reason_racks = <int64_t *>take(base, &o, REASONS * 8)
    x.span_at_ns = <int64_t *>take(base, &o, nodes)
    x.most_below_w = <double *>take(base, &o, 2 * nodes)
    x.least_below_w = <double *>take(base, &o, 2 * nodes)
    x.read_ns = <int64_t *>take(base, &o, nodes)
    x.read_w = <double *>take(base, &o, nodes)
    x.weighed_ns = <int64_t *>take(base, &o, nodes)
    x.low_other_w = <double *>take(base, &o, nodes)
    x.high_other_w = <double *>take(base, &o, nodes)
    x.learnt_w = <double *>take(base, &o, nodes)
    x.lean_w = <double *>take(base, &o, nodes)
    x.phase_w = <double *>take(base, &o, nodes)
    x.other_w = <double *>take(base, &o, nodes)
    x.taken_w = <double *>take(base, &o, nodes)
    x.node_lost = <uint8_t *>take(base, &o, site.nodes)
    x.bound_why = <uint8_t *>take(base, &o, site.racks)
    x.why = <uint8_t *>take(base, &o, site.racks)
    return o


cdef size_t lay_watch(Watch *x, char *base, const Site *site) noexcept:
    cdef size_t o = 0
    x.vetoes = <int64_t *>take(base, &o, VETOES * 8)
    x.last_w = <double *>take(base, &o, site.racks * 8)
    x.least_w = <double *>take(base, &o, site.racks * 8)
    x.heard_w = <double *>take(base, &o, site.racks * 8)
    x.heard_ns = <int64_t *>take(base, &o, site.racks * 8)
    x.sum_w = <double *>take(base, &o, site.nodes * 8)
    x.over_ns = <int64_t *>take(base, &o, site.nodes * 8)
    x.hot_ns = <int64_t *>take(base, &o, site.nodes * 8)
    x.span_at_ns = <int64_t *>take(base, &o, site.nodes * 8)
    x.most_below_w = <double *>take(base, &o, 2 * site.nodes * 8)
    x.least_below_w = <double *>take(base, &o, 2 * site.nodes * 8)
    x.read_ns = <int64_t *>take(base, &o, site.nodes * 8)
    x.read_w = <double *>take(base, &o, site.nodes * 8)
    x.read_before_w = <double *>take(base, &o, site.nodes * 8)
    x.weighed_ns = <int64_t *>take(base, &o, site.nodes * 8)
    x.low_other_w = <double *>take(base, &o, site.nodes * 8)
    x.high_other_w = <double *>take(base, &o, site.nodes * 8)
    x.learnt_w = <double *>take(base, &o, site.nodes * 8)
    x.lean_w = <double *>take(base, &o, site.nodes * 8)
    x.phase_w = <double *>take(base, &o, site.nodes * 8)
    x.other_w = <double *>take(base, &o, site.nodes * 8)
    x.taken_w = <double *>take(base, &o, site.nodes * 8)
    x.known = <uint8_t *>take(base, &o, site.racks)
    x.breach = <uint8_t *>take(base, &o, site.nodes)
    x.tripped = <uint8_t *>take(base, &o, site.nodes)
    x.vetoed = <uint8_t *>take(base, &o, site.racks)
    return o


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
