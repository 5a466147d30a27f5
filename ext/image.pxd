# The process image: plain structs, SI units, int64 nanoseconds of CLOCK_MONOTONIC. rampd.ext.views mirrors every
# struct for Python, field by field. Arrays hang at the end of each struct, so that the scalars copy in one piece.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from rampd.ext.memories cimport State, Watch

cdef struct Command:            # the one arbitrated command
    int64_t seq                 # a new number is a new command
    int64_t verb
    int64_t envelope
    int64_t expires_ns          # end of its lease
    int64_t shape               # LINEAR or S_CURVE
    int64_t lost_ns             # since when its channel is silent; 0: it lives, or there is none
    int64_t resets              # the operator's resets so far
    int64_t resumed             # it held before a restart: no fresh one
    int64_t outlived            # a channel was lost for too long and none fresh came since: no end raises
    int64_t regulation_seq      # a new number is a new regulation signal
    int64_t regulation_ns       # end of its lease
    int64_t regulation_after    # what follows that: AFTER_FLAT until more is known
    double target_w
    double ramp_s               # <= 0: not given
    double rate_w_per_s         # <= 0: not given
    double regulation_w         # what a regulation signal wants beside it

cdef struct Inputs:
    int64_t published_ns
    Command command
    int64_t shedding            # before a restart, and so read at the first tick only, as what ends in `latched` is
    int64_t shed_tier
    int64_t returning
    int64_t return_ns
    int64_t regulated           # the purchase was below its set point by regulation
    int64_t doubted             # until it has started: reasons for which the site meter was not believed
    double return_cap_w         # 0: not known
    double rest_w               # where it was doubted: what the rest of the site drew last
    double held_w               # regulation where a lost channel held it
    double *value               # [slots]
    int64_t *at_ns              # [slots] when the request was sent
    uint8_t *quality            # [slots]
    uint8_t *rack_state         # [racks]
    int64_t *latched            # [zones] reasons that were latched before a restart
    int64_t *free_ns            # [racks] before this time it does not change
    int64_t *worn_ns            # [racks] when its budget of changes will be whole again
    double *learnt_w            # [nodes] what was believed to draw there beside racks
    double *phase_w             # [nodes] and what its fullest phase took of its limit

cdef struct Site:
    int64_t slots
    int64_t racks
    int64_t nodes
    int64_t loops
    int64_t groups
    int64_t tiers
    int64_t feeders
    int64_t links               # addresses that several racks share
    int64_t zones               # the site, feeders, links, loops and nodes, in this order
    int64_t levels              # entries of level_w
    int64_t history             # ticks of set points kept for the dead times
    int64_t phases              # ticks between two moves of one rack
    int64_t period_ns
    int64_t power_slot
    int64_t frequency_slot      # -1: not measured
    int64_t breaker_slot        # -1: not known; 0 is open
    int64_t meter_stale_ns
    int64_t freeze_ns           # the meter may contradict the racks for so long
    int64_t rack_stale_ns       # the longest of them
    int64_t breach_ns           # how long a node may be above its limit until its racks go to their least
    int64_t loop_stale_ns
    int64_t meter_delay_ns
    int64_t align_ticks         # how far model and meter may disagree in time
    int64_t after_hold          # lease end: 1 holds, 0 goes to the default
    int64_t raise_after         # lease end may raise
    int64_t hold_max_ns         # a silent channel is waited for so long
    int64_t blind_max_ns        # what the rest of the site drew last is believed for so long
    int64_t stagger_ns          # between two feeders on the return
    int64_t windows
    int64_t under_steps         # under-frequency steps, the highest frequency first
    int64_t slow                # racks whose dead time is too long to follow tick by tick
    int64_t bridge_ticks        # what the others make up for is looked at so far ahead
    int64_t measured            # nodes that are measured
    int64_t resting             # some racks have minimum times or a budget of changes
    double max_w
    double min_w
    double import_w
    double default_w
    double loss_ratio
    double feedback_s
    double lead_s               # from the reference to the meter
    double normal_up            # W/s
    double normal_down
    double dispatched_up
    double dispatched_down
    double return_up            # after an emergency
    double nominal_v
    double nominal_hz
    double droop                # of nominal; <= 0: no primary frequency response
    double deadband_hz
    double hold_hz              # beyond it no ramp goes against the frequency; <= 0: never
    double quiet_w              # peak to peak in 15 s that is let stand while dispatched
    double grain_w              # the largest step of a rack
    double freeze_w             # by so much: more than any one rack could pretend
    double swing_limit_w        # more than that in five seconds, unexplained, is said; 0: never
    double generation_w         # what is generated behind the meter at most
    double jump_w               # the most that one rack moves at once: a step, or from off to its least

cdef struct Limits:             # configuration; written once, read by step and guard
    Site site
    double *min_w               # [racks] in the order of their nodes
    double *max_w
    double *up_w_per_s
    double *down_w_per_s
    double *weight
    double *quantum_w           # [racks] 0: continuous, or a list of levels
    double *level_w             # [levels] rising, those of one rack after those of the other
    int64_t *on_ns              # [racks] after a rise it does not fall for so long, safety apart
    int64_t *off_ns             # [racks] after a fall it does not rise for so long
    int64_t *wear_ns            # [racks] what one change takes of its budget of time; 0: no budget
    int64_t *stale_ns           # [racks] how old a reading of it may be
    int64_t *budget_ns          # [racks] the most that budget holds
    double *fall_w              # [racks] how far it gets by its next move and its dead time, down and up
    double *rise_w
    double *headroom_w          # [racks] how far its set point stands above its demand at most
    double *full_at             # [groups] fill level at which its racks are full: 1 / weight
    uint8_t *slow               # [racks] its dead time is too long to follow tick by tick
    int32_t *dead_up            # [racks] ticks
    int32_t *dead_down
    int32_t *tier               # [racks] 0 is the most protected
    int32_t *node
    int32_t *loop
    int32_t *group
    int32_t *feeder             # [racks]
    int32_t *link               # [racks] -1: an address of its own
    int32_t *level_first        # [racks + 1] the rack's levels in level_w; none: continuous or quantum_w
    int32_t *power_slot
    int32_t *limit_slot         # -1: no read-back
    int32_t *node_parent        # [nodes] -1: the root; parents stand before their children
    int32_t *node_end           # [nodes] one past the last node below
    int32_t *rack_first         # [nodes + 1] racks at a node; those below v end at rack_first[node_end[v]]
    double *node_w              # [nodes] continuous limit
    int64_t *trip_ns            # [nodes] how long its racks may draw more, once sent to their least, until it trips
    double *rating_w            # [nodes] what a meter may show at most is twice that
    double *node_a              # [nodes] continuous limit of a phase; 0: none
    int32_t *draw_slot          # [nodes] what a node draws; -1: not measured
    int32_t *amps_slot          # [3 nodes] and its phases
    int64_t *node_stale_ns      # [nodes]
    double *pretend_w           # [nodes] what one of its racks could pretend, or two that are all, and its meter round
    int64_t *span_ns            # [nodes] its racks are all read within this time, however late they show it
    int32_t *voltage_slot       # [3] of the phases, -1: none
    int64_t *window_ns          # [windows]
    int64_t *window_envelope
    double *window_up_w
    double *window_down_w
    double *under_hz            # [under_steps]
    int32_t *under_tier         # from this tier on racks go down
    int32_t *group_first        # [tiers * (nodes + 1)] groups of a tier at a node
    int32_t *group_node         # [groups]
    int32_t *stepped            # [racks] those that move in steps, by tier, then the others in their order
    int32_t *stepped_first      # [tiers + 1]
    int32_t *ranked             # [racks] tier by tier
    int32_t *ranked_first       # [tiers + 1]
    int32_t *bundle             # [racks] the arc of the racks of one tier, node and loop, from that node to that loop
    int32_t *arc_first          # [nodes + loops + 2] arcs that leave a vertex: the nodes, the loops, the outlet
    int32_t *arc_head           # [arcs] the vertex where it ends
    int32_t *arc_back           # [arcs] the same arc backward
    double *arc_cost            # [arcs] of a watt: whole numbers
    int32_t *supply_slot        # [loops]
    int32_t *flow_slot
    int32_t *leak_slot          # -1: none
    int32_t *dew_slot           # -1: none
    int64_t *dew_stale_ns
    double *warn_c
    double *derate_c
    double *trip_c
    double *return_c
    double *min_flow_lpm
    double *loop_max_w          # [loops] the most that its racks can take
    double *margin_k            # the supply stays so far above the dew point
    int32_t *zone_racks         # [zones] racks of a feeder or link
    int64_t *reason_clear_ns    # [REASONS]
    uint8_t *reason_action      # [REASONS] what it does to racks
    uint8_t *reason_latches     # [REASONS] it needs an operator's reset

cdef struct Outputs:            # the read-only snapshot
    int64_t tick
    int64_t at_ns
    int64_t late_ns
    int64_t busy_ns
    int64_t skipped
    int64_t late_sum_ns
    int64_t busy_sum_ns
    int64_t fault
    int64_t seq                 # the command being followed
    int64_t verb
    int64_t envelope
    int64_t lapsed
    int64_t regulating          # a regulation signal is followed
    int64_t regulation_seq      # this one
    int64_t started
    int64_t meter_good
    int64_t site_why
    int64_t shedding            # what a restart must know, as in Inputs
    int64_t shed_tier
    int64_t returning
    int64_t return_ns
    int64_t regulated           # the purchase is below its set point by regulation, or still on its way back
    int64_t rests               # and how often free_ns and worn_ns have changed
    double return_cap_w
    double reference_w          # without the primary response
    double regulation_w         # beside the reference
    double unmet_w              # what of the signal cannot be given
    double response_w           # primary response as far as there is room for it, beside both
    double goal_w
    double power_w              # meter, last good
    double disturbance_w
    double total_w
    double model_w
    double least_w              # what the meter could be brought to, given time
    double most_w
    double band_w               # the purchase's swings: root mean square in the band of its refresh rate
    double swing_w              # peak to peak in five seconds
    double coming_w_per_s       # its mean slope in the coming fifteen seconds, as far as it is known
    double refresh_s            # between two values of the meter
    double detune               # how many times slower the feedback is than configured
    double fell_w               # what racks fell by that have fallen by themselves, and are not up again
    double firm_up_w            # change of the purchase that 19 of 20 calls exceed, within five seconds
    double firm_up_60_w         # within 60 s
    double firm_up_600_w        # within ten minutes
    double firm_down_w
    double firm_down_60_w
    double firm_down_600_w
    int64_t *vetoes             # [VETOES]
    int64_t *late_bins          # [BINS] histogram of late_ns, see loop
    int64_t *busy_bins
    int64_t *recent_late_ns     # [RECENT] by tick, the newest overwrite the oldest
    double *setpoint_w          # [racks]
    double *demand_w
    int64_t *free_ns            # [racks] as in State
    int64_t *worn_ns
    uint8_t *active             # [racks] may be written
    uint8_t *stale
    uint8_t *action
    uint8_t *why
    double *loop_w              # [loops]
    double *taken_w             # [nodes] as in State
    double *learnt_w
    double *phase_w
    uint8_t *loop_action
    int64_t *zone_reasons       # [zones]
    int64_t *zone_latched
    int32_t *zone_lost
    int64_t *reason_racks       # [REASONS]

cdef enum:
    BINS = 32                   # log2 microseconds
    RECENT = 256

cdef struct Wall:               # a triple buffer: one writer, one reader, one atomic word
    uint32_t middle             # bits 0-1 index, bit 2 fresh
    uint32_t back               # the writer's
    uint32_t front              # the reader's

cdef extern from *:
    """
    #include <stdint.h>
    typedef struct { uint32_t middle, back, front; } rampd_wall_t;
    static inline void rampd_wall_publish(void *p) {
        rampd_wall_t *w = (rampd_wall_t *)p;
        w->back = __atomic_exchange_n(&w->middle, w->back | 4u, __ATOMIC_ACQ_REL) & 3u;
    }
    static inline int rampd_wall_latch(void *p) {
        rampd_wall_t *w = (rampd_wall_t *)p;
        if (!(__atomic_load_n(&w->middle, __ATOMIC_RELAXED) & 4u)) return 0;
        w->front = __atomic_exchange_n(&w->middle, w->front, __ATOMIC_ACQ_REL) & 3u;
        return 1;
    }
    """
    void rampd_wall_publish(void *wall) noexcept nogil
    int rampd_wall_latch(void *wall) noexcept nogil

cdef class Configuration:
    cdef Limits limits
    cdef void *memory
    cdef size_t size

cdef class InputWall:
    cdef Wall wall
    cdef Inputs own             # asyncio writes here
    cdef Inputs buffers[3]
    cdef void *memory
    cdef size_t size
    cdef const Inputs *latch(self) noexcept nogil

cdef class OutputWall:
    cdef Wall wall
    cdef Outputs own            # the control thread writes here, what is of the racks to the back
    cdef Py_ssize_t racks
    cdef Outputs buffers[3]
    cdef void *memory
    cdef size_t size
    cdef Outputs *back(self) noexcept nogil
    cdef void publish(self) noexcept nogil

cdef class Memory:
    cdef State state
    cdef Watch watch
    cdef void *state_memory
    cdef void *watch_memory
    cdef size_t state_size
    cdef size_t watch_size
