"""Wrong site files: what rampd says, where, and what it tells to do about it.

Every line of the tables is an edit of examples/bench-12, and the problems that must come of it and no others:
"file:line", a part of the message, a part of the remedy.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sites import NODES, RACKS, SITE, Edit, Expected, judge, site

NODE = '[[node]]\nid = "n1"\nkind = "pdu"\nparent = "feeder-1"\n{}\n\n[[meter]]'
BAD_NUMBER = "a plain number is needed, with a point for decimals"


UNKNOWN: list[tuple[Edit, list[Expected]]] = [
    ((SITE, "[control]", "[contol]"), [("site.toml:15", "unknown key 'contol'", "did you mean 'control'?")]),
    (
        (SITE, "max_mw =", "max_mv ="),
        [
            ("site.toml:4", "site.max_mw is missing", "add max_mw here"),
            ("site.toml:8", "unknown key 'site.max_mv'", "did you mean 'max_mw'?"),
        ],
    ),
    (
        (SITE, "losses_percent", "zzz"),
        [("site.toml:13", "unknown key 'site.zzz'", "known here: id, name, meter, max_mw")],
    ),
    (
        (SITE, "meter_stale_s", "meter_stale"),
        [("site.toml:17", "unknown key 'control.meter_stale'", "did you mean 'meter_stale_s'?")],
    ),
    (
        (SITE, "up_mw_per_min", "up_mw_min"),
        [("site.toml:21", "unknown key 'normal.up_mw_min'", "did you mean 'up_mw_per_min'?")],
    ),
    (
        (SITE, "up_mw_per_s", "up_mw_per_sec"),
        [
            ("site.toml:24", "dispatched.up_mw_per_s is missing", "add up_mw_per_s here"),
            ("site.toml:25", "unknown key 'dispatched.up_mw_per_sec'", "did you mean 'up_mw_per_s'?"),
        ],
    ),
    (
        (SITE, "raise_after", "rise_after"),
        [("site.toml:31", "unknown key 'lease.rise_after'", "did you mean 'raise_after'?")],
    ),
    ((SITE, "[mqtt]\nhost", "[mqtt]\nhots"), [("site.toml:34", "unknown key 'mqtt.hots'", "did you mean 'host'?")]),
    ((SITE, "port = 9464", "prot = 9464"), [("site.toml:39", "unknown key 'http.prot'", "did you mean 'port'?")]),
    ((SITE, "period_s = 0.1", "periode_s = 0.1"), [("site.toml:49", "unknown key 'meter.0.periode_s'", "'period_s'?")]),
    ((SITE, "warn_c = 41", "wran_c = 41"), [("site.toml:65", "unknown key 'loop.1.wran_c'", "did you mean 'warn_c'?")]),
    (
        (SITE, "[[meter]]", NODE.format("ratig_kw = 5")),
        [
            ("site.toml:45", "node.0.rating_kw is missing", "add rating_kw here"),
            ("site.toml:49", "unknown key 'node.0.ratig_kw'", "did you mean 'rating_kw'?"),
        ],
    ),
    ((NODES, "derating", "deratin"), [("nodes.csv:1", "unknown column 'deratin'", "did you mean 'derating'?")]),
    ((RACKS, "tier", "teir"), [("racks.csv:1", "unknown column 'teir'", "did you mean 'tier'?")]),
    ((RACKS, "quantum_kw", "min_kw"), [("racks.csv:1", "column 'min_kw' stands twice", "keep one of them")]),
]

IDS: list[tuple[Edit, list[Expected]]] = [
    ((RACKS, "gpu-002", "gpu-001"), [("racks.csv:3", "duplicate id 'gpu-001', first at racks.csv:2", "rename one")]),
    ((RACKS, "gpu-002", "pdu-001"), [("nodes.csv:5", "duplicate id 'pdu-001', first at racks.csv:3", "rename one")]),
    ((RACKS, "gpu-002", "poi"), [("racks.csv:3", "duplicate id 'poi', first at site.toml:45", "rename one")]),
    ((NODES, "feeder-2,f", "feeder-1,f"), [("nodes.csv:4", "duplicate id 'feeder-1', first at nodes.csv:3", "rename")]),
    (
        (SITE, 'id = "gpu-loop-1"', 'id = "poi"'),
        [("site.toml:51", "duplicate id 'poi', first at site.toml:45", "rename one")],
    ),
    ((RACKS, "gpu-001", "gpu 001"), [("racks.csv:2", "id: String should match pattern", "starting with a letter or")]),
    ((RACKS, "gpu-001", "-gpu"), [("racks.csv:2", "(got '-gpu')", "starting with a letter or digit")]),
    ((RACKS, "gpu-001", "g" * 64), [("racks.csv:2", "id: String should match pattern", "letters, digits")]),
    ((RACKS, "gpu-002,", ","), [("racks.csv:3", "id is missing", "add id here")]),
    ((SITE, 'id = "poi"', "id = 5"), [("site.toml:46", "meter.0.id: Input should be a valid string (got 5)", "")]),
]

REFERENCES: list[tuple[Edit, list[Expected]]] = [
    (
        (RACKS, "gpu,pdu-001", "gpu,pdu-01"),
        [("racks.csv:2", "rack gpu-001 is on no feeder: there is no node 'pdu-01'", "did you mean 'pdu-001'?")],
    ),
    (
        (RACKS, "gpu,pdu-001", "gpu,basement"),
        [("racks.csv:2", "rack gpu-001 is on no feeder: there is no node 'basement'", "name one of the site's nodes")],
    ),
    (
        (RACKS, "gpu,pdu-001", "gpu,main"),
        [("racks.csv:2", "rack gpu-001 is on no feeder: main", "hang it on a feeder or below one")],
    ),
    (
        (RACKS, "gpu-loop-1", "gpu-lop-1"),
        [("racks.csv:2", "rack gpu-001 has no cooling: there is no loop 'gpu-lop-1'", "did you mean 'gpu-loop-1'?")],
    ),
    ((SITE, 'meter = "poi"', 'meter = "pio"'), [("site.toml:4", "site.meter: there is no meter 'pio'", "'poi'?")]),
    (
        (NODES, "pdu-001,pdu,feeder-1", "pdu-001,pdu,feeder-9"),
        [("nodes.csv:5", "node pdu-001: parent: there is no node 'feeder-9'", "did you mean 'feeder-")],
    ),
    (
        (NODES, "feeder-1,feeder,main", "feeder-1,feeder,pdu-001"),
        [
            ("nodes.csv:3", "cycle in the tree: feeder-1 -> pdu-001 -> feeder-1", "a parent nearer to the main"),
            ("nodes.csv:5", "cycle in the tree: pdu-001 -> feeder-1 -> pdu-001", "a parent nearer to the main"),
        ],
    ),
    (
        (NODES, "feeder-1,feeder,main", "feeder-1,feeder,feeder-1"),
        [("nodes.csv:3", "cycle in the tree: feeder-1 -> feeder-1", "give one of them a parent nearer to the main")],
    ),
    (
        (NODES, "feeder-1,feeder,main", "feeder-1,feeder,"),
        [("site.toml:4", "the tree needs one root, found: main, feeder-1", "exactly one node has kind main")],
    ),
    (
        (NODES, "main,main,,", "main,main,feeder-1,"),
        [
            ("nodes.csv:2", "cycle in the tree: main -> feeder-1 -> main", "a parent nearer to the main"),
            ("nodes.csv:2", "node main is main below feeder-1", "make it a feeder"),
            ("nodes.csv:3", "cycle in the tree: feeder-1 -> main -> feeder-1", "a parent nearer to the main"),
            ("site.toml:4", "the tree needs one root, found: none", "exactly one node has kind main and no parent"),
        ],
    ),
    ((NODES, "main,main,,", "main,feeder,,"), [("site.toml:4", "the tree needs one root, found: main", "kind main")]),
    (
        (NODES, "pdu-002,pdu,feeder-2", "pdu-002,pdu,main"),
        [
            (f"racks.csv:{line}", f"rack asic-{line - 1:03d} is on no feeder: pdu-002 -> main", "hang it on a feeder")
            for line in range(8, 14)
        ],
    ),
    (
        (RACKS, "127.23.0.2:1502", "127.23.0.1:1502"),
        [("racks.csv:3", "gpu-002 and gpu-001 share 127.23.0.1:1502 unit 1", "correct the address or the unit")],
    ),
    (
        (RACKS, "127.23.0.2:1502", "127.23.0.1:01502"),
        [("racks.csv:3", "gpu-002 and gpu-001 share 127.23.0.1", "correct the address or the unit")],
    ),
    (
        (SITE, "127.22.0.1:1502", "127.20.0.1:1502"),
        [("site.toml:51", "gpu-loop-1 and poi share 127.20.0.1:1502 unit 1", "correct the address or the unit")],
    ),
    ((SITE, "janitza-umg", "janitza-um"), [("site.toml:45", "poi: there is no map 'janitza-um'", "'janitza-umg'?")]),
    (
        (SITE, "janitza-umg", "modbus"),
        [("site.toml:45", "poi: there is no map 'modbus'", "known: eastron-sdm630, janitza-umg")],
    ),
    (
        (SITE, '"janitza-umg"', '"orv3-rpu"'),
        [("site.toml:45", "poi is a meter, map 'orv3-rpu' is for a cdu", "choose a meter map, see rampd maps list")],
    ),
    (
        (RACKS, "rack-power", "xerus-pdu"),
        [("racks.csv:2", "gpu-001 is a rack, map 'xerus-pdu' is for a pdu", "rack map")],
    ),
    (
        (NODES, "xerus-pdu", "rack-power"),
        [("nodes.csv:5", "pdu-001 is a pdu, map 'rack-power' is for a rack", "pdu map")],
    ),
]

LIMITS: list[tuple[Edit, list[Expected]]] = [
    ((SITE, "max_mw = 1.46", "max_mw = 1.6"), [("site.toml:4", "max_mw 1.6 <= import_limit_mw 1.53 must hold", "")]),
    ((SITE, "min_mw = 0", "min_mw = 1.46"), [("site.toml:4", "min_mw 1.46 < max_mw 1.46", "")]),
    ((SITE, "default_mw = 1.46", "default_mw = 1.5"), [("site.toml:4", "default_mw 1.5 lies outside min_mw to", "")]),
    ((SITE, "default_s = 900", "default_s = 15000"), [("site.toml:28", "default_s 15000 exceeds max_s 14400", "")]),
    ((SITE, "warn_c = 38", "warn_c = 40"), [("site.toml:51", "warn_c < derate_c < max_supply_c < return_max_c", "")]),
    ((SITE, "derate_c = 40", "derate_c = 45"), [("site.toml:51", "warn_c < derate_c < max_supply_c", "")]),
    ((SITE, "max_supply_c = 45", "max_supply_c = 65"), [("site.toml:51", "max_supply_c < return_max_c must hold", "")]),
    ((RACKS, "40,132.0", "140,132.0"), [("racks.csv:2", "limits contradict: min_kw 140 exceeds max_kw 132", "")]),
    ((RACKS, "132.0,0,", "132.0,133,"), [("racks.csv:2", "limits contradict: quantum_kw 133 exceeds max_kw 132", "")]),
    ((RACKS, ",66,", ",133,"), [("racks.csv:2", "limits contradict: fallback_kw 133 exceeds max_kw 132", "")]),
    (
        (NODES, "feeder-1,1000", "feeder-1,200"),
        [
            (
                "nodes.csv:5",
                "limits contradict: racks below pdu-001 need 200 kW, its limit is 160 kW",
                "rating_kw x derating",
            )
        ],
    ),
    (
        (NODES, "feeder,main,1039", "feeder,main,200"),
        [
            (
                "nodes.csv:3",
                "racks below feeder-1 need 200 kW, its limit is 160 kW",
                "must carry the min_kw of its racks",
            )
        ],
    ),
    (
        (SITE, "period_s = 0.1", "period_s = 1.5"),
        [("site.toml:45", "limits contradict: poi is read every 1.5 s but stale after 2 s", "at most half")],
    ),
    (
        (RACKS, "127.23.0.1:1502,1,0.5", "127.23.0.1:1502,1,3"),
        [("racks.csv:2", "limits contradict: gpu-001 is read every 3 s but stale after 5 s", "at most half")],
    ),
    (
        (SITE, "warn_c = 38", "period_s = 60\nwarn_c = 38"),
        [("site.toml:51", "limits contradict: gpu-loop-1 is read every 60 s but stale after 10 s", "at most half")],
    ),
    ((SITE, "hz = 20", "hz = 2"), [("site.toml:15", "actuation_deadline_s is shorter than four ticks", "raise it or")]),
    (
        (SITE, "deadman_s = 30", "deadman_s = 2\nactuation_deadline_s = 2"),
        [
            (
                "site.toml:15",
                "deadman_s must be longer than actuation_deadline_s",
                "must not fall back while rampd still",
            )
        ],
    ),
    (
        (NODES, "xerus-pdu,127.21.0.1:1502", "xerus-pdu,"),
        [("nodes.csv:5", "a measured node has both map and address", "")],
    ),
    ((NODES, "xerus-pdu,127.21.0.1:1502", ",127.21.0.1:1502"), [("nodes.csv:5", "both map and address", "")]),
]

UNITS: list[tuple[Edit, list[Expected]]] = [
    ((RACKS, "40,132.0", "40,132000"), [("racks.csv:2", "max_kw: Input should be less than", "unit of its key (kw)?")]),
    (
        (RACKS, "40,132.0", "-40,132"),
        [("racks.csv:2", "min_kw: Input should be greater than or", "unit of its key (kw)?")],
    ),
    ((SITE, "max_mw = 1.46", "max_mw = 1460000"), [("site.toml:8", "(got 1460000)", "in the unit of its key (mw)?")]),
    ((SITE, "max_supply_c = 45", "max_supply_c = 113"), [("site.toml:57", "(got 113)", "in the unit of its key (c)?")]),
    (
        (SITE, "min_flow_lpm = 100", "min_flow_lpm = 100\ncondensation_margin_k = 30"),
        [("site.toml:60", "(got 30)", "in the unit of its key (k)?")],
    ),
    (
        (SITE, "min_flow_lpm = 100", "min_flow_lpm = -1"),
        [("site.toml:59", "(got -1)", "in the unit of its key (lpm)?")],
    ),
    (
        (SITE, "default_s = 900", "default_s = 900000"),
        [("site.toml:29", "(got 900000)", "in the unit of its key (s)?")],
    ),
    (
        (SITE, "losses_percent = 1.5", "losses_percent = 150"),
        [("site.toml:13", "(got 150)", "in the unit of its key (percent)?")],
    ),
    ((NODES, "main,main,,1993", "main,main,,1993000000"), [("nodes.csv:2", "rating_kw: ", "unit of its key (kw)?")]),
    ((NODES, "1993,0.8", "1993,80"), [("nodes.csv:2", "derating: Input should be less than or equal to 1", "no unit")]),
    ((RACKS, "1502,1,0.5", "1502,256,0.5"), [("racks.csv:2", "unit: Input should be less than or equal to 255", "")]),
]

TYPES: list[tuple[Edit, list[Expected]]] = [
    (
        (SITE, "max_mw = 1.46", 'max_mw = "much"'),
        [("site.toml:8", "site.max_mw: Input should be a valid number", BAD_NUMBER)],
    ),
    (
        (SITE, "max_mw = 1.46", "max_mw = [1.46]"),
        [("site.toml:8", "site.max_mw: Input should be a valid number", BAD_NUMBER)],
    ),
    ((SITE, "max_mw = 1.46", "max_mw = nan"), [("site.toml:8", "site.max_mw: Input should be a finite number", "")]),
    ((SITE, "max_mw = 1.46", "max_mw = true"), [("site.toml:8", "site.max_mw: ", "")]),
    ((SITE, "deadman_s = 30", "deadman_s = true"), [("site.toml:18", "control.deadman_s: ", "")]),
    ((SITE, "period_s = 0.1", "unit = true"), [("site.toml:49", "meter.0.unit: ", "")]),
    ((SITE, "raise_after = true", "raise_after = 1"), [("site.toml:31", "lease.raise_after: ", "")]),
    ((SITE, "raise_after = true", 'raise_after = "maybe"'), [("site.toml:31", "lease.raise_after: ", "")]),
    (
        (SITE, "losses_percent = 1.5", "losses_percent = inf"),
        [("site.toml:13", "should be a finite number (got inf)", "")],
    ),
    (
        (SITE, "deadman_s = 30", "deadman_s = 30.5"),
        [("site.toml:18", "control.deadman_s: Input should be a valid int", "")],
    ),
    ((SITE, "nominal_hz = 60", "nominal_hz = 55"), [("site.toml:12", "Input should be 50 or 60 (got 55)", "")]),
    ((SITE, '[mqtt]\nhost = "127.0.0.1"', "[mqtt]\nhost = 1"), [("site.toml:34", "mqtt.host: ", "")]),
    ((SITE, "[mqtt]", '[mqtt]\nprefix = "hall/#"'), [("site.toml:34", "a topic prefix has no wildcards", "")]),
    *(
        (
            (SITE, f'[{section}]\nhost = "127.0.0.1"', f'[{section}]\nhost = "{host}"'),
            [
                (
                    f"site.toml:{line}",
                    f"{section}.host: a host is a name, an IPv4 address, or",
                    "write broker.hall, 10.0",
                )
            ],
        )
        for section, line in (("mqtt", 34), ("http", 38))
        for host in (
            "",
            " ",
            "\\u0000",
            "a b",
            "h:1883",
            "[::1]",
            "::1::2",
            "mqtt://h",
            f"{'h' * 64}",
            "h\\n",
            "h\u00fc",
        )
    ),
    *(
        ((SITE, "[mqtt]", f'[mqtt]\n{key} = "hall{letter}"'), [("site.toml:34", f"mqtt.{key}: no control char", "")])
        for key in ("prefix", "username")
        for letter in ("\\u0000", "\\u0001", "\\n", "\\u007f", "\\u0085", "\\ufdd0", "\\U0001fffe", "\\u200b")
    ),
    ((SITE, "[mqtt]", f'[mqtt]\nprefix = "{"h" * 201}"'), [("site.toml:34", "at most 200 characters", "")]),
    (
        (SITE, '"127.20.0.1:1502"', '"127.20.0.1"'),
        [("site.toml:48", "meter.0.address: ", "write host:port, 10.0.3.17:502")],
    ),
    ((SITE, '"127.20.0.1:1502"', '"127.20.0.1:0"'), [("site.toml:48", "the port lies between 1 and 65535", "")]),
    ((SITE, '"127.20.0.1:1502"', '"127.20.0.1:70000"'), [("site.toml:48", "the port lies between 1 and 65535", "")]),
    (
        (SITE, '"127.20.0.1:1502"', '"..:1502"'),
        [("site.toml:48", "meter.0.address: ", "write host:port, 10.0.3.17:502")],
    ),
    ((NODES, "127.21.0.1:1502", "127.21.0.1:70000"), [("nodes.csv:5", "the port lies between 1 and 65535", "")]),
    ((RACKS, "127.23.0.1:1502", "127.23.0.1:99999"), [("racks.csv:2", "the port lies between 1 and 65535", "")]),
    ((RACKS, "gpu-001,gpu", "gpu-001,cpu"), [("racks.csv:2", "kind: Input should be 'gpu' or 'asic' (got 'cpu')", "")]),
    ((RACKS, "40,132.0", "nan,132.0"), [("racks.csv:2", "min_kw: Input should be a finite number (got 'nan')", "")]),
    ((RACKS, "40,132.0", "40,inf"), [("racks.csv:2", "max_kw: Input should be a finite number (got 'inf')", "")]),
    ((RACKS, "40,132.0", "true,132.0"), [("racks.csv:2", "min_kw: Input should be a valid number", BAD_NUMBER)]),
    ((RACKS, "40,132.0", '"40,5",132.0'), [("racks.csv:2", "(got '40,5')", BAD_NUMBER)]),
    ((RACKS, "1,40,132.0", "1,,132.0"), [("racks.csv:2", "min_kw is missing", "add min_kw here")]),
    (
        (RACKS, "gpu-001,gpu", "gpu-001"),
        [("racks.csv:2", "16 cells in a table of 17 columns", "empty for its default")],
    ),
    (
        (RACKS, "gpu-001,gpu", "gpu-001,gpu,x"),
        [("racks.csv:2", "18 cells in a table of 17 columns", "give every column")],
    ),
    ((RACKS, "gpu-003", '"gpu-003'), [("racks.csv:4", "", "close the quotation mark")]),
    (
        (SITE, "import_limit_mw = 1.53", ""),
        [("site.toml:4", "site.import_limit_mw is missing", "add import_limit_mw here")],
    ),
    (
        (SITE, "up_mw_per_s = 0.438", ""),
        [("site.toml:24", "dispatched.up_mw_per_s is missing", "add up_mw_per_s here")],
    ),
    ((SITE, 'racks = "racks.csv"', ""), [("site.toml:41", "fleet.racks is missing", "add racks here")]),
    ((SITE, 'address = "127.22.0.1:1502"', ""), [("site.toml:51", "loop.0.address is missing", "add address here")]),
    ((SITE, "[[meter]]", "[meter]"), [("site.toml:45", "meter: Input should be a valid tuple", "")]),
    ((SITE, "[site]", "[[site]]"), [("site.toml:4", "site: Input should be a valid dictionary", "")]),
]

FILES: list[tuple[Edit, list[Expected]]] = [
    (
        (SITE, "max_mw = 1.46", "max_mw = ="),
        [("site.toml:8", "not TOML: Invalid value", "correct the syntax at this line")],
    ),
    ((SITE, "[control]", "[control"), [("site.toml:15", "not TOML: Expected ']'", "correct the syntax at this line")]),
    (
        (SITE, "min_mw = 0", "min_mw = 0\nmin_mw = 1"),
        [("site.toml:10", "not TOML: Cannot overwrite", "correct the syntax")],
    ),
    (
        (SITE, "[normal]", "[control]"),
        [("site.toml:20", "not TOML: Cannot declare", "correct the syntax at this line")],
    ),
    (
        (SITE, '"racks.csv"', '"raks.csv"'),
        [("site.toml:42", "fleet.racks: no file raks.csv", "put the file beside site.toml")],
    ),
    ((SITE, '"nodes.csv"', '"."'), [("site.toml:43", "fleet.nodes: no file .", "or correct the name")]),
    ((SITE, '"racks.csv"', f'"{"r" * 300}"'), [("site.toml:42", "fleet.racks: no file rrr", "or correct the name")]),
    ((SITE, '"racks.csv"', '"a\\u0000b"'), [("site.toml:42", "fleet.racks: no file a", "or correct the name")]),
]


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        pytest.param(edit, expected, id=f"{group}: {edit[0]}: {edit[1]!r} -> {edit[2][:40]!r}")
        for group, table in (
            ("unknown", UNKNOWN), ("ids", IDS), ("references", REFERENCES), ("limits", LIMITS), ("units", UNITS),
            ("types", TYPES), ("files", FILES),
        )
        for edit, expected in table
    ],
)  # fmt: skip
def test_one_thing_wrong(tmp_path: Path, edit: Edit, expected: list[Expected]) -> None:
    judge(site(tmp_path, edit), expected)
