"""Several things wrong with a site at once: each of them is told, and nothing beside them."""

from __future__ import annotations

from pathlib import Path

from tests.sites import NODES, RACKS, SITE, judge, problems, site


def test_a_misspelt_column_that_is_needed(tmp_path: Path) -> None:
    found = problems(site(tmp_path, (RACKS, "min_kw", "min_kv")))
    assert str(found[0]) == "racks.csv:1: unknown column 'min_kv'\n    did you mean 'min_kw'?"
    assert {problem.message for problem in found[1:]} <= {"min_kw is missing", "column 'min_kw' is missing"}


def test_megawatts_given_as_kilowatts_everywhere(tmp_path: Path) -> None:
    edits = [
        (SITE, "max_mw = 1.46 ", "max_mw = 1460 "),
        (SITE, "import_limit_mw = 1.53", "import_limit_mw = 1530"),
        (SITE, "default_mw = 1.46", "default_mw = 1460"),
    ]
    judge(
        site(tmp_path, *edits),
        [
            (
                "site.toml:4",
                "max_mw 1460 is far above what the racks can draw, 1.423 MW",
                "is max_mw given in MW and max_kw in",
            )
        ],
    )


def test_a_maximum_below_what_the_racks_need(tmp_path: Path) -> None:
    edits = [(SITE, "max_mw = 1.46 ", "max_mw = 0.1 "), (SITE, "default_mw = 1.46", "default_mw = 0.1")]
    judge(
        site(tmp_path, *edits),
        [("site.toml:4", "the racks' min_kw add up to 0.2 MW, max_mw is 0.1", "raise max_mw or")],
    )


def test_every_problem_at_once(tmp_path: Path) -> None:
    path = site(
        tmp_path,
        (SITE, "meter_stale_s = 2.0", "meter_stale = 2.0"),
        (SITE, "warn_c = 38", "warn_c = 44"),
        (SITE, "port = 9464", "port = 94640"),
        (RACKS, "40,132.0", "40,132000"),
        (RACKS, "gpu-004", "gpu-003"),
        (RACKS, "asic-012,asic", "asic-012,miner"),
        (NODES, "derating", "de-rating"),
        (NODES, "feeder-2,feeder,main,883", "feeder-2,feeder,main,lots"),
    )
    judge(
        path,
        [
            ("nodes.csv:1", "unknown column 'de-rating'", "did you mean 'derating'?"),
            ("nodes.csv:4", "rating_kw: Input should be a valid number", "a plain number is needed"),
            ("racks.csv:2", "max_kw: ", "(kw)?"),
            ("racks.csv:5", "duplicate id 'gpu-003', first at racks.csv:4", "rename one"),
            ("racks.csv:13", "kind: Input should be 'gpu' or 'asic'", ""),
            ("site.toml:17", "unknown key 'control.meter_stale'", "did you mean 'meter_stale_s'?"),
            ("site.toml:39", "http.port: ", ""),
            ("site.toml:51", "warn_c < derate_c", ""),
        ],
    )


def test_every_problem_between_the_parts_at_once(tmp_path: Path) -> None:
    path = site(
        tmp_path,
        (SITE, 'meter = "poi"', 'meter = "pio"'),
        (SITE, "janitza-umg", "janitza"),
        (RACKS, "gpu,pdu-001", "gpu,pdu-009"),
        (RACKS, "asic-loop-1", "asic-loop-9"),
        (RACKS, "127.23.0.4:1502", "127.23.0.3:1502"),
        (NODES, "feeder-2,feeder,main", "feeder-2,feeder,pdu-002"),
    )
    judge(
        path,
        [
            ("nodes.csv:4", "cycle in the tree", ""),
            ("nodes.csv:6", "cycle in the tree", ""),
            ("racks.csv:2", "rack gpu-001 is on no feeder: there is no node 'pdu-009'", "did you mean 'pdu-00"),
            ("racks.csv:5", "gpu-004 and gpu-003 share 127.23.0.3:1502 unit 1", ""),
            ("racks.csv:7", "rack asic-006 has no cooling", "did you mean 'asic-loop-1'?"),
            ("site.toml:4", "there is no meter 'pio'", "did you mean 'poi'?"),
            ("site.toml:45", "there is no map 'janitza'", "did you mean 'janitza-umg'?"),
        ],
    )


def test_an_empty_site_lists_what_it_needs(tmp_path: Path) -> None:
    path = site(tmp_path)
    path.write_text("")
    judge(
        path, [("site.toml:1", f"{n} is missing", f"add {n}") for n in ("dispatched", "fleet", "loop", "meter", "site")]
    )
