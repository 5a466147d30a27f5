"""The tick's arithmetic by vectorised numpy, as one writes it without a compiler: what the step is held against."""

from __future__ import annotations

from typing import Any

import numpy as np

from rampd.drivers.sim.fleet import pointer


class Tick:
    """Judge, model, target, bounds, two allocations, rounding, moves and guard, on arrays taken from a world."""

    def __init__(self, made: Any) -> None:
        limits, state, site = made.limits, made.state, made.limits.site
        n, nodes = site.racks, site.nodes

        def rack(name: str) -> Any:
            return pointer(getattr(limits, name), n).copy()

        self.min_w, self.max_w, self.weight, self.quantum_w = map(rack, ("min_w", "max_w", "weight", "quantum_w"))
        self.up_w, self.down_w = rack("up_w_per_s") * 0.05, rack("down_w_per_s") * 0.05
        self.tier, self.node, self.group = rack("tier"), rack("node"), rack("group")
        self.dead_up, self.dead_down = rack("dead_up"), rack("dead_down")
        self.power_slot, self.loop = rack("power_slot"), rack("loop")
        self.stale_ns = rack("stale_ns")
        self.parent = pointer(limits.node_parent, nodes).copy()
        self.node_w = pointer(limits.node_w, nodes).copy()
        self.group_node = pointer(limits.group_node, site.groups).copy()
        self.full_at = pointer(limits.full_at, site.groups).copy()
        self.group_tier = np.zeros(site.groups, dtype=int)
        self.group_tier[self.group] = self.tier
        self.tiers, self.groups, self.nodes, self.n = site.tiers, site.groups, nodes, n
        depth = np.zeros(nodes, dtype=int)
        for v in range(1, nodes):
            depth[v] = depth[self.parent[v]] + 1
        self.levels = [np.nonzero(depth == d)[0] for d in range(depth.max(), -1, -1)]
        self.cap_w = pointer(state.cap_w, n).copy()
        self.demand_w = pointer(state.demand_w, n).copy()
        self.applied_w = pointer(state.applied_w, n).copy()
        self.last_w = self.applied_w.copy()
        self.past_w = pointer(state.past_w, n * site.history).copy().reshape(site.history, n)
        self.every = np.arange(n)
        self.seen_ns = np.zeros(n, dtype=np.int64)
        self.tick = int(state.tick)

    def run(self, made: Any) -> None:
        """One tick on the newest image."""
        self.tick += 1
        self.advance(made)
        lo_w = self.min_w
        hi_w = np.minimum(self.max_w, np.maximum(lo_w, self.demand_w))
        head_w = np.minimum(self.max_w - hi_w, np.maximum(0.08 * self.max_w, 1.2 * self.quantum_w))
        floor_w = np.clip(np.minimum(self.applied_w, self.cap_w - 10 * self.down_w - self.quantum_w), lo_w, hi_w)
        reach_w = np.clip(np.maximum(self.applied_w, self.cap_w + 10 * self.up_w + self.quantum_w), lo_w, hi_w)
        total_w = made.state.total_w
        share_w = self.allocate(lo_w, hi_w, total_w)
        share_w = np.clip(share_w, floor_w, reach_w)
        sum_w = share_w.sum()
        share_w = (
            self.allocate(share_w, reach_w, total_w) if sum_w < total_w else self.allocate(floor_w, share_w, total_w)
        )
        share_w = self.round(share_w, hi_w)
        self.move(made, share_w, hi_w, head_w)

    def advance(self, made: Any) -> None:
        """Freshness, dead times, slopes and demand."""
        site, inputs = made.limits.site, made.inputs
        value = pointer(inputs.value, site.slots)[self.power_slot]
        at_ns = pointer(inputs.at_ns, site.slots)[self.power_slot]
        quality = pointer(inputs.quality, site.slots)[self.power_slot]
        self.fresh = (quality == 1) & (made.now_ns - at_ns <= self.stale_ns) & np.isfinite(value)
        rows = len(self.past_w)
        goal_w = np.minimum(
            self.past_w[(self.tick - self.dead_up) % rows, self.every],
            self.past_w[(self.tick - self.dead_down) % rows, self.every],
        )
        self.cap_w = np.clip(goal_w, self.cap_w - self.down_w, self.cap_w + self.up_w)
        new = self.fresh & (at_ns != self.seen_ns)
        self.seen_ns = np.where(new, at_ns, self.seen_ns)
        slack = (
            new & (value < self.cap_w - 0.05 * self.max_w) & (np.abs(self.applied_w - self.cap_w) < 0.01 * self.max_w)
        )
        self.demand_w = np.where(slack, self.demand_w + 0.5 * (value - self.demand_w), self.demand_w)
        self.power_w = np.minimum(self.cap_w, self.demand_w)
        self.value = value

    def up_the_tree(self, at_racks: Any) -> Any:
        """Sums of the racks below every node."""
        sums = np.bincount(self.node, at_racks, self.nodes)
        for level in self.levels[:-1]:
            np.add.at(sums, self.parent[level], sums[level])
        return sums

    def allocate(self, lo_w: Any, hi_w: Any, total_w: float) -> Any:
        """Tier by tier, level by level of the tree: all nodes of a level find their fill together, by Newton."""
        range_w = np.bincount(self.group, hi_w - lo_w, self.groups)
        used_w = self.up_the_tree(lo_w)
        fills = np.zeros(self.groups)
        for tier in range(self.tiers):
            mine = np.nonzero(self.group_tier == tier)[0]
            fill = np.full(self.nodes, np.inf)
            for level in self.levels:
                room_w = self.node_w - used_w
                if level[0] == 0:
                    room_w[0] = min(room_w[0], total_w - used_w[0])
                self.solve(mine, level, fill, range_w, np.maximum(room_w, 0.0))
            for level in self.levels[-2::-1]:
                fill[level] = np.minimum(fill[level], fill[self.parent[level]])
            fills[mine] = np.minimum(1.0, fill[self.group_node[mine]] / self.full_at[mine])
            taken = np.bincount(self.group_node[mine], fills[mine] * range_w[mine], self.nodes)
            for level in self.levels[:-1]:
                np.add.at(taken, self.parent[level], taken[level])
            used_w = used_w + taken
        return lo_w + fills[self.group] * (hi_w - lo_w)

    def solve(self, mine: Any, level: Any, fill: Any, range_w: Any, room_w: Any) -> None:
        """The fill of every node of a level where it is full; groups below are held by the nodes between."""
        at = np.zeros(self.nodes)
        active = level
        for _ in range(60):
            reach = at.copy()
            for upper in self.levels[::-1]:
                if upper[0] != 0:
                    reach[upper] = np.where(np.isin(upper, active), at[upper], reach[self.parent[upper]])
            x = np.minimum(reach[self.group_node[mine]], fill[self.group_node[mine]])
            part = np.minimum(1.0, x / self.full_at[mine])
            flow = np.bincount(self.group_node[mine], part * range_w[mine], self.nodes)
            grows = (part < 1.0) & (x < fill[self.group_node[mine]])
            slope = np.bincount(
                self.group_node[mine], np.where(grows, range_w[mine] / self.full_at[mine], 0.0), self.nodes
            )
            for lower in self.levels[:-1]:
                if lower[0] in active:
                    break
                np.add.at(flow, self.parent[lower], flow[lower])
                np.add.at(slope, self.parent[lower], slope[lower])
            short = (flow[active] < room_w[active] - 1e-6) & (slope[active] > 0.0)
            if not short.any():
                break
            step = np.where(
                short, (room_w[active] - flow[active]) / np.where(slope[active] > 0.0, slope[active], 1.0), 0.0
            )
            at[active] += step
        full = slope[active] > 0.0
        fill[active[full]] = at[active[full]]

    def round(self, share_w: Any, hi_w: Any) -> Any:
        """Whole steps; what is left goes back tier by tier, to those first that have it."""
        stepped = self.quantum_w > 0.0
        step_w = np.where(stepped, self.quantum_w, 1.0)
        whole_w = np.where(stepped, np.floor(share_w / step_w + 1e-10) * step_w, share_w)
        carry_w = 0.0
        for tier in range(self.tiers):
            mine = np.nonzero(stepped & (self.tier == tier) & (whole_w + step_w <= hi_w))[0]
            spare_w = carry_w + (share_w - whole_w)[stepped & (self.tier == tier)].sum()
            order = mine[np.argsort(self.applied_w[mine] < whole_w[mine] + 0.99 * step_w[mine], kind="stable")]
            count = min(len(order), int(spare_w / self.quantum_w.max() + 0.5))
            whole_w[order[:count]] += step_w[order[:count]]
            carry_w = spare_w - step_w[order[:count]].sum()
        return whole_w

    def move(self, made: Any, share_w: Any, hi_w: Any, head_w: Any) -> None:
        """Racks on their turn, and the guard."""
        share_w = np.where(share_w >= hi_w, np.minimum(share_w + head_w, self.max_w), share_w)
        turn = (self.tick + self.every) % 10 == 0
        asked_w = np.where(turn & (np.abs(share_w - self.applied_w) >= 0.001 * self.max_w), share_w, self.applied_w)
        level = (asked_w == 0.0) | ((asked_w >= self.min_w) & (asked_w <= self.max_w))
        out_w = np.where(level & ((asked_w <= self.last_w) | self.fresh), asked_w, self.last_w)
        worst_w = np.where(
            self.fresh, np.maximum(np.maximum(self.last_w, out_w), np.minimum(self.value, self.max_w)), self.max_w
        )
        broken = self.up_the_tree(worst_w) > self.node_w * (1.0 + 1e-9)
        for lower in self.levels[-2::-1]:
            broken[lower] |= broken[self.parent[lower]]
        out_w = np.where(broken[self.node] & (out_w > self.last_w), self.last_w, out_w)
        self.last_w = out_w
        self.applied_w = out_w
        self.past_w[self.tick % len(self.past_w)] = out_w
