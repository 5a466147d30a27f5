"""The composition: what stands in the image's limits is what the site file says, in SI units."""

from __future__ import annotations

from pathlib import Path

import pytest

from rampd.daemon import halls, sitecheck
from rampd.daemon.site import Composed, compose
from rampd.ext import views
from tests.sites import EXAMPLES, NODES, RACKS, RATED, SITE, site


@pytest.fixture(params=["bench-12", "hall-48mw"])
def composed(request: pytest.FixtureRequest) -> Composed:
    return compose(sitecheck.load(EXAMPLES / request.param / SITE))


def limits(composed: Composed) -> views.Limits:
    return views.limits(composed.limits)


def test_every_value_of_every_device_has_a_slot_of_its_own(composed: Composed) -> None:
    slots = [slot for point in composed.points for slot in point.slots.values()]
    assert sorted(slots) == list(range(composed.slots))
    assert limits(composed).site.slots == composed.slots
    for point in composed.points:
        assert list(point.slots) == list(point.map.values)


def test_points_are_the_devices(composed: Composed) -> None:
    config = composed.config
    measured = [node.id for node in config.nodes if node.map]
    names = [m.id for m in config.meters] + measured + [loop.id for loop in config.loops] + [r.id for r in config.racks]
    assert sorted(composed.by_id) == sorted(names)
    assert composed.meter is composed.by_id[config.site.meter]
    assert [point.id for point in composed.rack_points] == [rack.id for rack in composed.racks]


def test_racks_in_si_units(composed: Composed) -> None:
    table = limits(composed)
    hz = composed.config.control.hz
    for i, rack in enumerate(composed.racks):
        assert table.min_w[i] == pytest.approx(rack.min_kw * 1000)
        assert table.max_w[i] == pytest.approx(rack.max_kw * 1000)
        assert table.up_w_per_s[i] == pytest.approx(rack.up_kw_per_s * 1000)
        assert table.down_w_per_s[i] == pytest.approx(rack.down_kw_per_s * 1000)
        assert table.quantum_w[i] == pytest.approx(rack.quantum_kw * 1000)
        assert table.weight[i] == rack.weight
        assert table.dead_up[i] == 1 + round(rack.dead_up_s * hz)
        assert table.dead_down[i] == 1 + round(rack.dead_down_s * hz)
        assert table.power_slot[i] == composed.by_id[rack.id].slots["power_w"]
        assert table.limit_slot[i] == composed.by_id[rack.id].slots["limit_w"]
        assert composed.nodes[table.node[i]].id == rack.node
        assert composed.config.loops[table.loop[i]].id == rack.loop
        assert table.dead_up[i] < table.site.history
        assert table.dead_down[i] < table.site.history


@pytest.mark.parametrize("example", ["bench-12", "hall-48mw", "mixed-10"])
def test_the_power_of_the_racks_stands_together_in_their_order(example: str) -> None:
    composed = compose(sitecheck.load(EXAMPLES / example / SITE))
    table = limits(composed)
    slots = [table.power_slot[i] for i in range(table.site.racks)]
    assert slots == [point.slots["power_w"] for point in composed.power_points]
    assert slots == list(range(table.site.racks))


def test_the_site_in_si_units(composed: Composed) -> None:
    config, found = composed.config, limits(composed).site
    assert found.max_w == pytest.approx(config.site.max_mw * 1e6)
    assert found.min_w == pytest.approx(config.site.min_mw * 1e6)
    assert found.import_w == pytest.approx(config.site.import_limit_mw * 1e6)
    assert found.default_w == pytest.approx(config.site.default_mw * 1e6)
    assert found.loss_ratio == pytest.approx(config.site.losses_percent / 100)
    assert found.normal_up * 60 == pytest.approx(config.normal.up_mw_per_min * 1e6)
    assert found.normal_down * 60 == pytest.approx(config.normal.down_mw_per_min * 1e6)
    assert found.dispatched_up == pytest.approx(config.dispatched.up_mw_per_s * 1e6)
    assert found.dispatched_down == pytest.approx(config.dispatched.down_mw_per_s * 1e6)
    assert found.period_ns * config.control.hz == pytest.approx(1e9)
    assert found.meter_stale_ns == config.control.meter_stale_s * 1e9
    assert found.rack_stale_ns == config.control.rack_stale_s * 1e9
    assert found.loop_stale_ns == config.control.loop_stale_s * 1e9
    assert found.meter_delay_ns == config.control.meter_delay_s * 1e9
    assert (found.after_hold, found.raise_after) == (0, 1)
    assert found.power_slot == composed.meter.slots["power_w"]
    assert found.frequency_slot == composed.meter.slots["frequency_hz"]
    assert (found.racks, found.nodes, found.loops) == (
        len(config.racks), len(config.nodes), len(config.loops),
    )  # fmt: skip


def below(composed: Composed, name: str) -> set[str]:
    """Nodes of a subtree, by the parents in the file."""
    inside = {name}
    while grown := {node.id for node in composed.config.nodes if node.parent in inside} - inside:
        inside |= grown
    return inside


def test_the_tree_parents_first_and_subtrees_in_one_piece(composed: Composed) -> None:
    table = limits(composed)
    nodes = composed.nodes
    assert sorted(node.id for node in nodes) == sorted(node.id for node in composed.config.nodes)
    for i, node in enumerate(nodes):
        parent = table.node_parent[i]
        assert (nodes[parent].id if parent >= 0 else "") == node.parent
        assert parent < i
        assert {other.id for other in nodes[i : table.node_end[i]]} == below(composed, node.id)
        assert table.node_w[i] == pytest.approx(node.rating_kw * node.derating * 1000)
    assert [table.node[i] for i in range(len(composed.racks))] == sorted(
        table.node[i] for i in range(len(composed.racks))
    )


def test_a_node_trips_after_what_its_slowest_rack_needs_and_the_nodes_below_before_it(composed: Composed) -> None:
    """What a rack needs: a write and its answer, half as much again as its fall takes, two readings, two seconds."""
    table = limits(composed)
    slowest_s: dict[str, float] = {}
    for rack, point in zip(composed.racks, composed.rack_points, strict=True):
        assert point.map.policy is not None
        own_s = 1.5 * (rack.dead_down_s + (rack.max_kw - rack.min_kw) / rack.down_kw_per_s) + point.period_s + 2.0
        own_s = max(own_s, point.map.policy.effect_s) + point.period_s
        own_s += point.map.policy.accept_s + 1.0 / point.map.policy.writes_per_s
        node = rack.node
        while node:
            slowest_s[node] = max(own_s, slowest_s.get(node, 0.0))
            node = next(one.parent for one in composed.nodes if one.id == node)
    for i, node_of in enumerate(composed.nodes):
        below = [k for k, one in enumerate(composed.nodes) if one.parent == node_of.id]
        before_s = max((table.trip_ns[k] * 1e-9 for k in below), default=0.0)
        assert table.trip_ns[i] * 1e-9 == pytest.approx(slowest_s[node_of.id] + before_s)
        assert 5.0 < table.trip_ns[i] * 1e-9 < 60.0


def test_each_rack_hangs_on_the_feeder_above_it(composed: Composed) -> None:
    for rack, feeder in zip(composed.racks, composed.feeders, strict=True):
        assert rack.node in below(composed, feeder)
        assert next(node for node in composed.nodes if node.id == feeder).kind == "feeder"


def test_groups_are_the_racks_of_one_tier_node_and_weight(composed: Composed) -> None:
    table = limits(composed)
    tiers = sorted({rack.tier for rack in composed.racks})
    keys: dict[int, set[tuple[int, str, float]]] = {}
    for i, rack in enumerate(composed.racks):
        assert tiers[table.tier[i]] == rack.tier
        keys.setdefault(table.group[i], set()).add((rack.tier, rack.node, rack.weight))
    assert sorted(keys) == list(range(table.site.groups))
    assert all(len(key) == 1 for key in keys.values())
    assert len({next(iter(key)) for key in keys.values()}) == len(keys)
    for group, key in keys.items():
        (_, node, weight) = next(iter(key))
        assert composed.nodes[table.group_node[group]].id == node
        assert table.full_at[group] == pytest.approx(1 / weight)


def test_group_first_gives_the_groups_of_a_tier_below_a_node(composed: Composed) -> None:
    """By the index that the kernels use: groups of a tier in a subtree are first[node] .. first[end of the subtree]."""
    table = limits(composed)
    nodes, tiers = len(composed.nodes), table.site.tiers
    group_tier = {table.group[i]: table.tier[i] for i in range(len(composed.racks))}
    for tier in range(tiers):
        for i, node in enumerate(composed.nodes):
            begin = table.group_first[tier * (nodes + 1) + i]
            end = table.group_first[tier * (nodes + 1) + table.node_end[i]]
            inside = below(composed, node.id)
            wanted = {
                g for g in range(table.site.groups)
                if group_tier[g] == tier and composed.nodes[table.group_node[g]].id in inside
            }  # fmt: skip
            assert set(range(begin, end)) == wanted


def test_loops(composed: Composed) -> None:
    table = limits(composed)
    for i, loop in enumerate(composed.config.loops):
        slots = composed.by_id[loop.id].slots
        assert table.supply_slot[i] == slots["supply_c"]
        assert table.flow_slot[i] == slots["flow_lpm"]
        assert table.leak_slot[i] == slots["leak_bits"]
        assert (table.warn_c[i], table.derate_c[i], table.trip_c[i]) == (loop.warn_c, loop.derate_c, loop.max_supply_c)
        assert (table.return_c[i], table.min_flow_lpm[i]) == (loop.return_max_c, loop.min_flow_lpm)
        assert (table.dew_slot[i], table.margin_k[i]) == (-1, 2.0)


def test_the_order_of_rows_does_not_matter_to_the_tree(tmp_path: Path) -> None:
    path = site(tmp_path)
    straight = compose(sitecheck.load(path))
    header, *rows = (tmp_path / NODES).read_text().splitlines()
    (tmp_path / NODES).write_text("\n".join([header, *reversed(rows)]) + "\n")
    turned = compose(sitecheck.load(path))
    for i, node in enumerate(turned.nodes):
        assert {n.id for n in turned.nodes[i : limits(turned).node_end[i]]} == below(straight, node.id)
    assert turned.nodes[0].id == "main"


def test_tiers_and_weights_of_any_number(tmp_path: Path) -> None:
    path = site(
        tmp_path, (RACKS, "quantum_kw", "weight"), (RACKS, "gpu-loop-1,1,40,132.0,0", "gpu-loop-1,8,40,132.0,2.5")
    )
    text = (tmp_path / RACKS).read_text().replace(",132.0,0,", ",132.0,1,").replace(",3.40625,", ",1,")
    (tmp_path / RACKS).write_text(text)
    composed = compose(sitecheck.load(path))
    table = limits(composed)
    i = next(i for i, rack in enumerate(composed.racks) if rack.id == "gpu-001")
    assert table.site.tiers == 3
    assert table.tier[i] == 2
    assert table.full_at[table.group[i]] == pytest.approx(0.4)


@pytest.mark.parametrize("racks", [4, 5, 7, 12, 60, 61, 119, 121, 400])
def test_halls_of_any_size_compose(tmp_path: Path, racks: int) -> None:
    composed = compose(sitecheck.load(halls.write(halls.Hall("any", racks), tmp_path)))
    assert len(composed.racks) == racks
    assert 0 < composed.lead_s < 5.0


def test_measured_nodes_know_where_they_show_what(tmp_path: Path) -> None:
    """Stale as racks are; what is read below within its own second is all there two seconds later."""
    edits = [*RATED, (NODES, "xerus-pdu", "janitza-umg"), (RACKS, "127.23.0.2:1502,1,0.5", "127.23.0.2:1502,1,1.5")]
    made = compose(sitecheck.load(site(tmp_path, *edits)))
    table = limits(made)
    v = [node.id for node in made.nodes].index("pdu-001")
    point, plain = made.by_id["pdu-001"], made.by_id["pdu-002"]
    assert made.node_points[v] is point
    assert table.site.measured == 2
    assert [table.draw_slot[k] for k in range(5)].count(-1) == 3
    assert table.draw_slot[v] == point.slots["power_w"]
    assert table.amps_slot[3 * v : 3 * v + 3] == [point.slots[f"current_l{k}_a"] for k in (1, 2, 3)]
    assert (table.node_a[v], table.rating_w[v], table.node_stale_ns[v]) == (pytest.approx(960.0), 1e6, 5e9)
    assert table.span_ns[v] == 3.5e9
    w = [node.id for node in made.nodes].index("pdu-002")
    assert table.draw_slot[w] == plain.slots["power_w"]
    assert table.amps_slot[3 * w : 3 * w + 3] == [-1, -1, -1]
    assert (table.node_a[w], table.span_ns[w]) == (0.0, 2.5e9)
