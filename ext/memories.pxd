# What step and guard remember from tick to tick, each for itself: plain structs, SI units, int64 nanoseconds of
# CLOCK_MONOTONIC. rampd.ext.memories mirrors them for Python, field by field. Arrays hang at the end of each struct.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

cdef struct State:              # the step's own memory
    int64_t tick
    int64_t now_ns
    int64_t first_ns            # of the first tick
    int64_t news_count          # racks with a new reading
    int64_t news_at             # and those of them that the model has taken in
    int64_t started             # the first good meter reading was seen
    int64_t seq                 # of the command being followed
    int64_t taken_tick          # when it was taken
    int64_t verb
    int64_t envelope
    int64_t regulating          # a regulation signal holds
    int64_t regulation_seq      # and this is its number
    int64_t climbing            # what a restart found regulated down comes back slowly, until a fresh command
    int64_t lapsed              # the lease of seq has ended
    int64_t astray              # it comes back up to the way of its command, or from an emergency
    int64_t meter_at_ns
    int64_t meter_good          # fresh now
    int64_t meter_frozen        # it shows the same while the racks move, and has not moved since
    int64_t shown_ns            # when what it shows was first read
    int64_t still_ns            # since when that contradicts the racks
    int64_t short               # it shows less than the racks do
    int64_t short_ns            # since when
    int64_t racks_ns            # the oldest of their fresh readings
    int64_t blind_ns            # since when it is not good
    int64_t site_why
    int64_t fault               # voltage, breaker or frequency show one now
    int64_t fault_seen          # bits of those that showed one when last read
    int64_t fault_ns            # when one was shown last, or none was any more
    int64_t fault_hold          # everything holds, for ten seconds after it as well
    int64_t shedding
    int64_t shed_tier
    int64_t parted              # the breaker is open and nothing is purchased
    int64_t parted_ns           # since when both were read; 0: one of them was not so
    int64_t exceeding           # the purchase is above what it may be now, by more than tracking leaves
    int64_t exceeded            # it is, or was until just now: an emergency
    int64_t above_ns            # since when one reading after the other shows it; 0: the last does not
    int64_t lasts_ns            # since when they show it, or what the load's own noise may be
    int64_t resets              # of operators, seen so far
    int64_t resetting           # one came with this tick
    int64_t tight               # some loop does not carry all that its racks can take
    int64_t cut                 # shares were cut to what loops carry
    int64_t exchanged           # and some gave way for two others
    int64_t cooling_lost        # a loop does not cool its racks, so that they are lowered, or a node is tripped
    int64_t returning
    int64_t return_ns
    int64_t base_at
    int64_t base_count
    int64_t base_n
    int64_t noise_at
    int64_t ballast_ns
    int64_t swing_ns            # of the last meter reading taken into swings
    int64_t swing_at
    int64_t changed_ns          # when the meter last showed something new
    int64_t turn_ns             # when the feedback last turned round
    int64_t turn_half_ns        # and how long before that
    int64_t turn_side           # where it stands
    int64_t turns               # how often it has done so in equal times
    int64_t detune_ns           # when the feedback was last made slower or faster
    int64_t foreign_ns          # when swings were found to come from elsewhere
    int64_t slow_count          # racks that are slow, by configuration or by what they showed
    int64_t rests               # how often free_ns and worn_ns of a rack have changed
    int64_t urgent              # racks that are seen to in every tick: held by others, or safe at once
    int64_t firm_turn           # where the round of firm capacity stands
    int64_t firm_first          # where its sums begin; those of the round before stand in the other half
    int64_t minute              # which one it is
    double swing_seen_w         # the last meter reading
    double swing_w              # peak to peak in five seconds
    double coming_w_per_s       # mean slope of the purchase in the coming fifteen seconds, as far as it is known
    double drift_w
    double fast_w
    double band_var
    double band_w               # root mean square from 0.1 Hz to 0.4 times the refresh rate
    double refresh_s            # between two values of the meter that differ
    double turn_w               # the most since the last turn
    double turn_before_w        # and before it
    double detune               # how many times slower the feedback is than configured
    double shown_w              # what the meter shows
    double own_w                # what the racks moved by since it was first read, by their own readings
    double racks_w              # the sum of their fresh readings
    double racks_least_w        # the least of that since `short_ns`
    double meter_most_w         # and the most that the meter showed
    double above_w              # the first reading that did
    double away_hz
    double calm_w               # the disturbance as slow racks see it
    double droop_w              # primary frequency response that the frequency asks for, of purchase
    double response_w           # and what the site's limits leave of it
    double signal_w             # what a regulation signal wants beside the reference; 0: none holds
    double unmet_w              # and what of that the limits of racks and site do not leave
    double regulation_w         # how far that has come
    double beside_w             # both in sum: what is purchased beside the reference
    double return_cap_w
    double base_sum_w
    double ballast              # where between trough and most the caps of swinging racks stand
    double noise_w              # peak to peak in 15 s of what the model does not explain
    double from_w               # how far a command has brought the reference; an S-curve: where it began
    double curve_s              # takes so long
    double curve_at_s           # and is there
    double reference_w
    double goal_w
    double rate_w_per_s
    double wakes_w              # the least of those that are off and may come back, the largest of them
    double rise_w               # what the set points may still rise and fall in this second
    double fall_w
    double give_w               # what racks may give way by now, that others below their node or on their loop rise
    double pace_w               # how far the reference moves in a tick now
    double heading_w            # and where to: its goal, or what a return or a lost meter leaves of it
    double disturbance_w        # meter minus model: what the racks do not explain
    double surge_w              # how far what is beside the racks was above its mean in fifteen seconds
    double excess_w             # of that, what the last reading above the import limit showed
    double found_w              # the last meter reading
    double stray_w              # how far it lay beyond what the model passed
    double before_w             # and the last of another value
    double meter_w              # and what is believed of it: one alone may be wild
    double total_w              # asked of the racks in sum
    double model_w              # the racks' model in sum
    double room_w               # what the import limit leaves for the racks
    double stand_w              # what the set points that stand allow the racks to draw in sum, the least in full
    double stand_drawn_w        # and what they draw of that, by their gains
    double through              # what the meter shows of one W of set points: by the racks' gains, and the losses
    double left_w               # what rounding left in this tick
    double idle_w               # what racks draw less than their least set point
    double least_w              # what the meter could be brought to, given time
    double most_w
    double kept_w              # what reasons, nodes and loops keep the racks from
    double owed_w              # and what they were kept from of the target: given back along the normal ramp
    double led_w               # the reference when that was told last
    double loss_p               # how likely a call is held to find a node's racks lost together
    double grain_w              # step that only stepped racks could take
    double fell_w               # what racks fell by that have fallen by themselves, in sum
    double *asked_w             # [racks] set points of this tick, before the guard
    double *applied_w           # [racks] set points after the guard
    double *cap_w               # [racks] the cap as it must be acting now
    double *edge_w              # [racks] where it was sent last in the direction that it answers quicker to
    int64_t *edge_tick          # [racks] and when; before the first tick: never
    double *pending_w           # [racks] the set point that one was lowered from on its way up; 0: none
    int64_t *pending_tick       # [racks] until when it may still go there
    double *acts_w              # [racks] the set point that acts now
    double *power_w             # [racks] model power
    double *demand_w
    double *lo_w
    double *hi_w
    double *share_w
    double *head_w              # [racks] what the set point stands above the demand
    double *floor_w             # [racks] what capability lets the set point reach in this move, down and up
    double *reach_w
    double *ahead_w             # [racks] fair share of what the reference will be
    double *back_w              # [racks] where one that bridges must be again by now; else its set point
    double *end_w               # [racks] where a rack with minimum times goes in one change
    double *near_w              # [racks] what it will draw when the others can make up for it
    double *far_w               # [racks] and how far it may be moved for that
    double *next_w              # [racks] the level above the share that rounding may give it; 0: none
    int32_t *odd                # [racks] those that need a look of their own, in their order
    double *tier_spare_w        # [2 tiers] what rounding leaves, of the slow racks in the second half
    double *past_w              # [history * racks] applied set points; edge_w stands after them
    int64_t *past_first         # [history] where those of so many ticks ago begin
    double *past_model_w        # [history] sum of the model
    double *base_w              # [BASE_SLOTS]
    double *noise_low_w         # [WINDOW_SLOTS]
    double *swing_low_w         # [WINDOW_SLOTS]
    double *swing_high_w
    double *noise_high_w
    double *crest_w             # [WINDOW_SLOTS], the most beside the racks in each second
    double *window_low_w        # [windows * WINDOW_SLOTS]
    double *window_high_w
    int64_t *window_at          # [windows]
    double *range_w             # [groups]
    double *group_part          # [groups] how much of its range a rack gets in this tick
    double *used_w              # [nodes] scratch of the allocation
    double *flow_w
    double *slope_w
    double *full_w
    double *fill
    double *worst_w             # [nodes] what its racks may draw by the set points that stand, as the guard counts
    double *reserve_w           # [nodes] what may still be drawn beyond the set points
    double *late_w              # [nodes] and what of that passes when lowered racks have fallen
    double *firm_w              # [FIRMS] firm capacity: three horizons down, then three up
    double *firm_mean_w         # [FIRMS] scratch of its round: the racks' sum
    double *firm_var            # [FIRMS] and its variance
    double *firm_vague_w        # [FIRMS] what of it nobody has seen drawn yet
    double *firm_node_w         # [2 FIRMS * nodes] a node's part of the sum
    double *firm_node_var       # [2 FIRMS * nodes] of its variance
    double *firm_node_vague_w   # [2 FIRMS * nodes] and of what nobody has seen
    double *lump_p              # [LUMPS] lost nodes by size: chance
    double *lump_w              # [LUMPS] and mean size
    double *coming_w            # [LOOKS] what slow racks will draw in sum, then what the others must come back to
    int64_t *node_in            # [nodes] racks that can be counted on
    int64_t *node_out           # [nodes] and those that cannot
    double *loop_w              # [loops] what the present flow carries
    double *loop_cap_w          # [loops] what the racks may come to, by temperature as well
    double *loop_load_w         # [loops] what they come to
    double *loop_more           # [loops] part of what they would draw more that it carries
    double *loop_flow_w         # [loops] scratch of one tier: what it takes at a level
    double *loop_slope_w
    double *loop_level          # [loops] level of the tier at which the loop is full, ENDLESS: it is not
    double *cut_w               # [racks] what its loop leaves a rack, ENDLESS: all; in the end what it gets
    double *arc_left_w          # [arcs] what more an arc carries
    double *arc_whole_w         # [arcs] what a bundle could have carried more, or backward less, before the exchange
    double *vertex_cost         # [vertices] of the cheapest way to it
    int32_t *vertex_arc         # [vertices] the arc that is tried next
    int32_t *way                # [vertices] arcs of the way that is tried
    double *served_w            # [nodes] what more protected tiers take
    int64_t *seen_ns            # [racks] time of the last reading used
    double *seen_w              # [racks] and its value
    double *peak_w              # [racks] the most of late: what it is known to want
    double *dead_up_s           # [racks] what it has shown, the configuration until then
    double *dead_down_s
    double *up_w_per_s
    double *down_w_per_s
    double *bottom_w            # [racks] the least it goes to
    double *step_w              # [racks] what it stays below its set point at most: its step
    double *success             # [racks] share of moves that it follows
    double *error_w             # [racks] delivered less asked
    double *gain                # [racks] part of its cap that it draws where that binds
    double *stood_cap_w         # [racks] cap and power of an earlier rest, 0: none
    double *stood_w
    double *start_w             # [racks] of the present excursion: where the power was
    double *mark_w              # [racks] what it must pass
    double *lead_w              # [racks] how far its cap must go for that
    double *aim_w               # [racks] and where that part goes
    double *pace_w_per_s        # [racks] slope seen in it; 0: none
    double *after_w             # [racks] the reading that passed the mark
    int64_t *before_ns          # [racks] the readings between which it passed
    int64_t *after_ns
    int64_t *dead_up            # [racks] dead times as ticks
    int64_t *dead_down
    int64_t *led_ns             # [racks] when that part was given; 0: not yet
    int64_t *moved_ns           # [racks] when the set point last changed
    int64_t *gap_ns             # [racks] how far apart its readings come
    double *lost_w              # [racks] what it fell by, by itself; 0: it has not
    double *sunk_w              # [racks] the least since then
    int64_t *sunk_ns            # [racks] and when that was
    double *low_w               # [racks] trough of one that swings
    double *held_w              # [racks] the least set point of a time in which a rack answers, whatever it is like
    double *lately_w            # [racks] and since then
    int64_t *held_ns            # [racks] when that was
    int64_t *bound_ns           # [racks] when its cap last bound it
    int64_t *slack_ns           # [racks] and left it slack
    int64_t *free_ns            # [racks] before this time it does not change, safety apart
    int64_t *worn_ns            # [racks] when its budget of changes will be whole again
    int32_t *news               # [racks] those with a new reading, in their order: `news_count`
    uint8_t *trough             # [racks] the least of its readings of this minute, in 1/200 of its most; 255: none
    uint8_t *crest              # [racks] and the most
    uint8_t *trough_ago         # [racks] and of the minute before
    uint8_t *crest_ago
    uint8_t *swings             # [racks] its job swings
    uint8_t *slow               # [racks] its dead time is too long to follow tick by tick
    uint8_t *excursion          # [racks]
    uint8_t *passed             # [racks] it passed the mark
    uint8_t *rising             # [racks] it was more than the one before
    uint8_t *known              # [racks] a set point was adopted
    uint8_t *ours               # [racks] the model follows its cap, else its reading
    uint8_t *fresh              # [racks] its reading is
    uint8_t *stale              # [racks] it is not; until the racks are judged, as of the tick before
    uint8_t *action             # [racks]
    uint8_t *usual              # [racks] adopted, fresh, in our hands, and nothing keeps it from rising
    uint8_t *loop_action        # [loops] of the loop's own reasons
    uint8_t *zone_action        # [zones] what its reasons do to its racks
    int64_t *zone_reasons       # [zones] bits of the reasons that act
    int64_t *zone_latched       # [zones] those of them that need a reset
    int64_t *zone_until_ns      # [zones * REASONS] before this time one does not end
    int32_t *zone_lost          # [zones] known racks of a feeder or link that are stale
    int32_t *zone_burst         # [zones] that became so within a short time
    int64_t *zone_burst_ns      # [zones] which began then
    int64_t *reason_racks       # [REASONS] racks that have a reason of their own
    int64_t *span_at_ns         # [nodes] since when what the racks below read is looked at, see limits
    double *most_below_w        # [2 nodes] the most that they may have drawn since then, and in the span before
    double *least_below_w       # [2 nodes] and the least
    int64_t *drawn_ns           # [nodes] the time of what its meter showed last, be that what it may
    double *drawn_w             # [nodes] and what it was
    double *same_w              # [nodes] what it shows, ENDLESS: it was not read
    double *same_least_w        # [nodes] the most of what its racks drew at least in any reading that shows it
    double *same_most_w         # [nodes] the least of what they drew at most
    int64_t *same_ns            # [nodes] since when that is more than they could pretend, 0: it is not
    int64_t *false_ns           # [nodes] since when it shows what cannot be, 0: it does not
    double *steady_w            # [nodes] what the racks drew when they last stood, ENDLESS: they did not yet
    double *steady_drawn_w      # [nodes] and what its meter showed then
    double *ratio               # [nodes] how many times that moved by what they did, where it was not once
    uint8_t *strange            # [nodes] in so many moves in a row
    uint8_t *doubts             # [nodes] bits of `codes.Doubt`
    int64_t *told_ns            # [nodes] since when its meter shows that it is above its limit, or is not
    double *told_w              # [nodes] and what it showed then
    int64_t *read_ns            # [nodes] the time of the node's last reading
    double *read_w              # [nodes] and what it showed
    int64_t *weighed_ns         # [nodes] the one that was held against its racks last
    double *low_other_w         # [nodes] the least that draws there beside racks by that one
    double *high_other_w        # [nodes] and the most
    double *learnt_w            # [nodes] what is believed to draw there beside racks
    double *lean_w              # [nodes] what the fullest phase took of its limit in the last reading
    double *phase_w             # [nodes] and what is believed to be
    double *amps_per_w          # [6 nodes] what each phase drew of a node's power when last read, and the time before
    double *other_w             # [nodes] what draws at a node and below beside racks
    double *taken_w             # [nodes] what of its limit is not for racks: that, and what its fullest phase takes
    uint8_t *above              # [nodes] its last reading is above its limit
    uint8_t *over               # [nodes] two in a row are: nothing below it rises
    uint8_t *node_lost          # [nodes] most of its racks went at once
    uint8_t *bound_why          # [racks] what set its upper bound in this tick
    uint8_t *why                # [racks] as of its last turn

cdef struct Watch:              # the guard's own memory
    int64_t last_ns
    int64_t shown_ns            # when what the meter shows was first read
    int64_t still_ns            # since when that contradicts the racks
    int64_t thaw_ns             # since when it moves again
    int64_t frozen              # it shows the same while the racks move
    int64_t short_ns            # since when it shows less than they do
    int64_t trust_ns            # and until when it last did
    int64_t racks_ns            # the oldest of their fresh readings
    int64_t implausible         # it shows less than they do, for longer than readings are apart
    int64_t resets              # of the operator's, as of the last tick
    int64_t fault_seen          # bits of what showed a fault when last read: three voltages, frequency, breaker
    double shown_w
    double own_w                # what the racks moved by since then
    double racks_w              # the sum of their fresh readings
    double racks_least_w        # the least of that since `short_ns`
    double meter_most_w         # and the most that the meter showed
    double rise_w               # budget left
    double fall_w
    int64_t *vetoes             # [VETOES]
    double *last_w              # [racks] what the guard let pass
    double *least_w             # [racks] what it is held to draw whatever it is asked
    double *heard_w             # [racks] its last good power reading
    int64_t *heard_ns           # [racks] and the time of it
    double *sum_w               # [nodes]
    int64_t *over_ns            # [nodes] since when its sum is above the limit
    int64_t *hot_ns             # [nodes] since when its racks draw more, although they were sent to their least
    int64_t *span_at_ns         # [nodes] since when what the racks below read is looked at, see limits
    double *most_below_w        # [2 nodes] the most that they may have drawn since then, and in the span before
    double *least_below_w       # [2 nodes] and the least
    int64_t *drawn_ns           # [nodes] the time of what its meter showed last, be that what it may
    double *drawn_w             # [nodes] and what it was
    double *same_w              # [nodes] what it shows, ENDLESS: it was not read
    double *same_least_w        # [nodes] the most of what its racks drew at least in any reading that shows it
    double *same_most_w         # [nodes] the least of what they drew at most
    int64_t *same_ns            # [nodes] since when that is more than they could pretend, 0: it is not
    int64_t *false_ns           # [nodes] since when it shows what cannot be, 0: it does not
    double *steady_w            # [nodes] what the racks drew when they last stood, ENDLESS: they did not yet
    double *steady_drawn_w      # [nodes] and what its meter showed then
    double *ratio               # [nodes] how many times that moved by what they did, where it was not once
    uint8_t *strange            # [nodes] in so many moves in a row
    uint8_t *doubts             # [nodes] bits of `codes.Doubt`
    int64_t *until_ns           # [nodes] before this time its meter is doubted
    int64_t *told_ns            # [nodes] since when its meter shows that it is above its limit, or is not
    double *told_w              # [nodes] and what it showed then
    int64_t *read_ns            # [nodes] the time of the node's last reading
    double *read_w              # [nodes] and what it showed
    double *read_before_w       # [nodes] and what the one before it showed
    int64_t *weighed_ns         # [nodes] the one that was held against its racks last
    double *low_other_w         # [nodes] the least that draws there beside racks by that one
    double *high_other_w        # [nodes] and the most
    double *learnt_w            # [nodes] what is believed to draw there beside racks
    double *lean_w              # [nodes] what the fullest phase took of its limit in the last reading
    double *phase_w             # [nodes] and what is believed to be
    double *amps_per_w          # [6 nodes] what each phase drew of a node's power when last read, and the time before
    double *other_w             # [nodes] what draws at a node and below beside racks
    double *taken_w             # [nodes] what of its limit is not for racks: that, and what its fullest phase takes
    uint8_t *above              # [nodes] its last reading is above its limit
    uint8_t *over               # [nodes] two in a row are
    uint8_t *shut               # [nodes] so nothing below it rises, nor below a node above which that is so
    uint8_t *known              # [racks]
    uint8_t *breach             # [nodes]
    uint8_t *tripped            # [nodes] its racks are off until a reset
    uint8_t *vetoed             # [racks]
