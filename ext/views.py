"""The structs of image.pxd, the same memory. Arrays are C pointers: every index is from the composition."""

from __future__ import annotations

import ctypes

from rampd.ext import image
from rampd.ext.memories import State as State  # noqa: PLC0414 (kernels take them from here)
from rampd.ext.memories import Watch as Watch  # noqa: PLC0414
from rampd.ext.structs import Bytes as Bytes  # noqa: PLC0414 (kernels take it from here)
from rampd.ext.structs import Doubles as Doubles  # noqa: PLC0414
from rampd.ext.structs import Ints, Longs, struct


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
    resumed: int
    outlived: int
    regulation_seq: int
    regulation_ns: int
    regulation_after: int
    target_w: float
    ramp_s: float
    rate_w_per_s: float
    regulation_w: float


@struct
class Inputs(ctypes.Structure):
    """What asyncio knows: readings by slot, the command, the racks' delivery states, what was so before a restart."""

    published_ns: int
    command: Command
    shedding: int
    shed_tier: int
    returning: int
    return_ns: int
    regulated: int
    doubted: int
    return_cap_w: float
    rest_w: float
    held_w: float
    value: Doubles
    at_ns: Longs
    quality: Bytes
    rack_state: Bytes
    latched: Longs
    free_ns: Longs
    worn_ns: Longs
    learnt_w: Doubles
    phase_w: Doubles


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
    blind_max_ns: int
    stagger_ns: int
    windows: int
    under_steps: int
    slow: int
    bridge_ticks: int
    measured: int
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
    generation_w: float
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
    headroom_w: Doubles
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
    trip_ns: Longs
    rating_w: Doubles
    node_a: Doubles
    draw_slot: Ints
    amps_slot: Ints
    node_stale_ns: Longs
    pretend_w: Doubles
    span_ns: Longs
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
    ranked: Ints
    ranked_first: Ints
    bundle: Ints
    arc_first: Ints
    arc_head: Ints
    arc_back: Ints
    arc_cost: Doubles
    supply_slot: Ints
    flow_slot: Ints
    leak_slot: Ints
    dew_slot: Ints
    dew_stale_ns: Longs
    warn_c: Doubles
    derate_c: Doubles
    trip_c: Doubles
    return_c: Doubles
    min_flow_lpm: Doubles
    loop_max_w: Doubles
    margin_k: Doubles
    zone_racks: Ints
    reason_clear_ns: Longs
    reason_action: Bytes
    reason_latches: Bytes


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
    regulating: int
    regulation_seq: int
    started: int
    meter_good: int
    site_why: int
    shedding: int
    shed_tier: int
    returning: int
    return_ns: int
    regulated: int
    rests: int
    return_cap_w: float
    reference_w: float
    regulation_w: float
    unmet_w: float
    response_w: float
    goal_w: float
    power_w: float
    disturbance_w: float
    total_w: float
    model_w: float
    least_w: float
    most_w: float
    band_w: float
    swing_w: float
    coming_w_per_s: float
    refresh_s: float
    detune: float
    fell_w: float
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
    free_ns: Longs
    worn_ns: Longs
    active: Bytes
    stale: Bytes
    action: Bytes
    why: Bytes
    loop_w: Doubles
    taken_w: Doubles
    learnt_w: Doubles
    phase_w: Doubles
    loop_action: Bytes
    zone_reasons: Longs
    zone_latched: Longs
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
