"""The structs of `rampd.ext.image`, the same memory. Arrays are C pointers: every index is from the composition."""

from __future__ import annotations

import ctypes

from rampd.ext import image
from rampd.ext.structs import Bytes, Ints, Longs, struct
from rampd.ext.structs import Doubles as Doubles  # noqa: PLC0414 (kernels take it from here)


@struct
class Command(ctypes.Structure):
    """The one arbitrated command."""

    seq: int
    verb: int
    envelope: int
    expires_ns: int
    shape: int
    lost_ns: int
    resets: int
    target_w: float
    ramp_s: float
    rate_w_per_s: float


@struct
class Inputs(ctypes.Structure):
    """What asyncio knows: readings by slot, the command, the racks' delivery states."""

    published_ns: int
    command: Command
    value: Doubles
    at_ns: Longs
    quality: Bytes
    rack_state: Bytes
    latched: Ints


@struct
class Site(ctypes.Structure):
    """Scalars of the configuration, SI units."""

    slots: int
    racks: int
    nodes: int
    loops: int
    groups: int
    tiers: int
    feeders: int
    links: int
    zones: int
    levels: int
    history: int
    phases: int
    period_ns: int
    power_slot: int
    frequency_slot: int
    breaker_slot: int
    meter_stale_ns: int
    freeze_ns: int
    rack_stale_ns: int
    breach_ns: int
    loop_stale_ns: int
    meter_delay_ns: int
    align_ticks: int
    after_hold: int
    raise_after: int
    hold_max_ns: int
    stagger_ns: int
    windows: int
    under_steps: int
    slow: int
    bridge_ticks: int
    resting: int
    max_w: float
    min_w: float
    import_w: float
    default_w: float
    loss_ratio: float
    feedback_s: float
    lead_s: float
    normal_up: float
    normal_down: float
    dispatched_up: float
    dispatched_down: float
    return_up: float
    nominal_v: float
    nominal_hz: float
    droop: float
    deadband_hz: float
    hold_hz: float
    quiet_w: float
    grain_w: float
    freeze_w: float
    swing_limit_w: float
    jump_w: float


@struct
class Limits(ctypes.Structure):
    """The configuration: racks in the order of their nodes, nodes parents first."""

    site: Site
    min_w: Doubles
    max_w: Doubles
    up_w_per_s: Doubles
    down_w_per_s: Doubles
    weight: Doubles
    quantum_w: Doubles
    level_w: Doubles
    on_ns: Longs
    off_ns: Longs
    wear_ns: Longs
    stale_ns: Longs
    budget_ns: Longs
    fall_w: Doubles
    rise_w: Doubles
    full_at: Doubles
    slow: Bytes
    dead_up: Ints
    dead_down: Ints
    tier: Ints
    node: Ints
    loop: Ints
    group: Ints
    feeder: Ints
    link: Ints
    level_first: Ints
    power_slot: Ints
    limit_slot: Ints
    node_parent: Ints
    node_end: Ints
    rack_first: Ints
    node_w: Doubles
    voltage_slot: Ints
    window_ns: Longs
    window_envelope: Longs
    window_up_w: Doubles
    window_down_w: Doubles
    under_hz: Doubles
    under_tier: Ints
    group_first: Ints
    group_node: Ints
    stepped: Ints
    stepped_first: Ints
    supply_slot: Ints
    return_slot: Ints
    flow_slot: Ints
    leak_slot: Ints
    dew_slot: Ints
    dew_stale_ns: Longs
    warn_c: Doubles
    derate_c: Doubles
    trip_c: Doubles
    return_c: Doubles
    min_flow_lpm: Doubles
    margin_k: Doubles
    zone_racks: Ints
    reason_clear_ns: Longs
    reason_action: Bytes
    reason_latches: Bytes


@struct
class State(ctypes.Structure):
    """The step's own memory."""

    tick: int
    now_ns: int
    first_ns: int
    started: int
    seq: int
    taken_tick: int
    verb: int
    envelope: int
    lapsed: int
    meter_at_ns: int
    meter_good: int
    meter_frozen: int
    shown_ns: int
    still_ns: int
    blind_ns: int
    site_why: int
    fault: int
    fault_hold: int
    shedding: int
    shed_tier: int
    resets: int
    resetting: int
    returning: int
    return_ns: int
    base_at: int
    base_count: int
    base_n: int
    noise_at: int
    ballast_ns: int
    swing_ns: int
    swing_at: int
    changed_ns: int
    turn_ns: int
    turn_half_ns: int
    turn_side: int
    turns: int
    detune_ns: int
    foreign_ns: int
    slow_count: int
    urgent: int
    firm_turn: int
    swing_seen_w: float
    swing_w: float
    drift_w: float
    fast_w: float
    band_var: float
    band_w: float
    refresh_s: float
    turn_w: float
    turn_before_w: float
    detune: float
    shown_w: float
    own_w: float
    away_hz: float
    calm_w: float
    response_w: float
    return_cap_w: float
    base_sum_w: float
    ballast: float
    noise_w: float
    curve_w: float
    curve_s: float
    curve_at_s: float
    reference_w: float
    goal_w: float
    rate_w_per_s: float
    rise_w: float
    fall_w: float
    pace_w: float
    disturbance_w: float
    total_w: float
    model_w: float
    stand_w: float
    left_w: float
    idle_w: float
    least_w: float
    most_w: float
    loss_p: float
    grain_w: float
    asked_w: Doubles
    applied_w: Doubles
    cap_w: Doubles
    power_w: Doubles
    demand_w: Doubles
    lo_w: Doubles
    hi_w: Doubles
    share_w: Doubles
    head_w: Doubles
    floor_w: Doubles
    reach_w: Doubles
    ahead_w: Doubles
    near_w: Doubles
    far_w: Doubles
    next_w: Doubles
    tier_spare_w: Doubles
    past_w: Doubles
    past_model_w: Doubles
    base_w: Doubles
    noise_low_w: Doubles
    swing_low_w: Doubles
    swing_high_w: Doubles
    noise_high_w: Doubles
    window_low_w: Doubles
    window_high_w: Doubles
    window_at: Longs
    range_w: Doubles
    group_part: Doubles
    used_w: Doubles
    flow_w: Doubles
    slope_w: Doubles
    full_w: Doubles
    fill: Doubles
    worst_w: Doubles
    reserve_w: Doubles
    firm_w: Doubles
    firm_mean_w: Doubles
    firm_var: Doubles
    firm_vague_w: Doubles
    firm_node_w: Doubles
    lump_p: Doubles
    lump_w: Doubles
    node_in: Longs
    node_out: Longs
    loop_w: Doubles
    loop_load_w: Doubles
    loop_floor_w: Doubles
    loop_part: Doubles
    seen_ns: Longs
    seen_w: Doubles
    peak_w: Doubles
    dead_up_s: Doubles
    dead_down_s: Doubles
    up_w_per_s: Doubles
    down_w_per_s: Doubles
    bottom_w: Doubles
    step_w: Doubles
    success: Doubles
    error_w: Doubles
    start_w: Doubles
    mark_w: Doubles
    lead_w: Doubles
    aim_w: Doubles
    pace_w_per_s: Doubles
    after_w: Doubles
    before_ns: Longs
    after_ns: Longs
    dead_up: Longs
    dead_down: Longs
    led_ns: Longs
    moved_ns: Longs
    gap_ns: Longs
    low_w: Doubles
    bound_ns: Longs
    slack_ns: Longs
    free_ns: Longs
    worn_ns: Longs
    swings: Bytes
    slow: Bytes
    excursion: Bytes
    passed: Bytes
    rising: Bytes
    known: Bytes
    ours: Bytes
    stale: Bytes
    action: Bytes
    loop_action: Bytes
    zone_action: Bytes
    zone_reasons: Ints
    zone_latched: Ints
    zone_until_ns: Longs
    zone_lost: Ints
    zone_burst: Ints
    zone_burst_ns: Longs
    reason_racks: Longs
    node_lost: Bytes
    bound_why: Bytes
    why: Bytes


@struct
class Watch(ctypes.Structure):
    """The guard's own memory."""

    last_ns: int
    shown_ns: int
    still_ns: int
    thaw_ns: int
    frozen: int
    shown_w: float
    own_w: float
    rise_w: float
    fall_w: float
    vetoes: Longs
    last_w: Doubles
    heard_w: Doubles
    heard_ns: Longs
    sum_w: Doubles
    over_ns: Longs
    known: Bytes
    breach: Bytes
    vetoed: Bytes


@struct
class Outputs(ctypes.Structure):
    """The snapshot of one tick."""

    tick: int
    at_ns: int
    late_ns: int
    busy_ns: int
    skipped: int
    late_sum_ns: int
    busy_sum_ns: int
    fault: int
    seq: int
    verb: int
    envelope: int
    lapsed: int
    started: int
    meter_good: int
    site_why: int
    reference_w: float
    goal_w: float
    power_w: float
    disturbance_w: float
    total_w: float
    model_w: float
    least_w: float
    most_w: float
    band_w: float
    swing_w: float
    refresh_s: float
    detune: float
    firm_up_w: float
    firm_up_60_w: float
    firm_up_600_w: float
    firm_down_w: float
    firm_down_60_w: float
    firm_down_600_w: float
    vetoes: Longs
    late_bins: Longs
    busy_bins: Longs
    recent_late_ns: Longs
    setpoint_w: Doubles
    demand_w: Doubles
    active: Bytes
    stale: Bytes
    action: Bytes
    why: Bytes
    loop_w: Doubles
    loop_action: Bytes
    zone_reasons: Ints
    zone_latched: Ints
    zone_lost: Ints
    reason_racks: Longs


def limits(configuration: image.Configuration) -> Limits:
    """The configuration's memory, to be filled once."""
    return Limits.from_address(configuration.address)


def inputs(wall: image.InputWall) -> Inputs:
    """asyncio's own image; `wall.publish` hands a copy of it over."""
    return Inputs.from_address(wall.address)


def outputs(wall: image.OutputWall) -> Outputs:
    """The newest snapshot; valid until the next call."""
    return Outputs.from_address(wall.latch())


def state(memory: image.Memory) -> State:
    """The step's memory, for tests and replay; the daemon never writes it."""
    return State.from_address(memory.state_address)


def watch(memory: image.Memory) -> Watch:
    """The guard's memory, for tests and replay."""
    return Watch.from_address(memory.watch_address)
