"""Site files in other forms: encodings, quotes, separators, fleets in the site file; and where a key stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from rampd.daemon import halls, sitecheck
from rampd.daemon.sitefile import ConfigError, Positions
from tests.sites import EXAMPLES, NODES, RACKS, SITE, judge, problems, site


@pytest.mark.parametrize("text", ["[" * 3000, "{a=" * 3000, "[" * 3000 + "]" * 3000])
def test_lists_within_lists_without_an_end(tmp_path: Path, text: str) -> None:
    path = site(tmp_path)
    path.write_text(f"x = {text}\n", encoding="utf-8")
    (problem,) = problems(path)
    assert problem.message == "not TOML that can be read: lists or tables within each other a thousand deep"


@pytest.mark.parametrize("host", ["localhost", "broker-1.hall.example", "10.0.3.17", "::1", "fe80::1%eth0", "0.0.0.0"])
def test_hosts_of_brokers_and_listeners(tmp_path: Path, host: str) -> None:
    edits = [(SITE, f'[{name}]\nhost = "127.0.0.1"', f'[{name}]\nhost = "{host}"') for name in ("mqtt", "http")]
    config = sitecheck.load(site(tmp_path, *edits))
    assert config.mqtt.host == config.http.host == host


@pytest.mark.parametrize("keep", [0, 1])
def test_a_fleet_without_racks(tmp_path: Path, keep: int) -> None:
    path = site(tmp_path)
    rows = (tmp_path / RACKS).read_text().splitlines()
    (tmp_path / RACKS).write_text("\n".join(rows[:keep]))
    judge(path, [("site.toml:4", "the site has no racks", "give fleet.racks at least one row")])


def test_a_tree_without_nodes(tmp_path: Path) -> None:
    path = site(tmp_path)
    (tmp_path / NODES).write_text("")
    found = problems(path)
    assert len(found) == 13
    assert found[-1].message == "the tree needs one root, found: none"
    assert all(p.remedy == "name one of the site's nodes" for p in found[:-1])


@pytest.mark.parametrize(("name", "line"), [(SITE, 6), (RACKS, 4), (NODES, 3)])
def test_a_file_in_another_encoding(tmp_path: Path, name: str, line: int) -> None:
    path = site(tmp_path)
    old = {SITE: "Example", RACKS: "gpu-003", NODES: "feeder-1"}[name]
    text = (tmp_path / name).read_text()
    (tmp_path / name).write_bytes(text.replace(old, "Übung", 1).encode("latin-1"))
    judge(path, [(f"{name}:{line}", "'utf-8' codec can't decode byte 0xdc", "UTF-8 text")])


def test_a_file_in_sixteen_bits(tmp_path: Path) -> None:
    path = site(tmp_path)
    path.write_text(path.read_text(), encoding="utf-16")
    judge(path, [("site.toml:1", "codec can't decode", "UTF-8 text")])


@pytest.mark.parametrize("name", [SITE, RACKS])
def test_a_path_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    path = site(tmp_path)
    target = tmp_path / name
    target.unlink()
    if name == SITE:
        judge(path, [("site.toml:1", "no such file", "give the path of the site's TOML file")])
        judge(tmp_path, [(f"{tmp_path.name}:1", "Is a directory", "")])
    else:
        target.mkdir()
        judge(path, [("site.toml:42", "fleet.racks: no file racks.csv", "or correct the name")])


def test_an_open_quote_in_a_fleet_of_thousands(tmp_path: Path) -> None:
    path = halls.write(halls.Hall("big", 2000), tmp_path)
    text = (tmp_path / RACKS).read_text()
    assert len(text) > 131_072  # csv's own limit for a cell
    (tmp_path / RACKS).write_text(text.replace("gpu-002", '"gpu-002', 1))
    judge(path, [("racks.csv:3", "", "close the quotation mark")])


# What is unusual and right.


def test_spreadsheets_write_byte_order_marks_semicolons_and_crlf(tmp_path: Path) -> None:
    plain = sitecheck.load(site(tmp_path))
    for name in (SITE, RACKS, NODES):
        text = (tmp_path / name).read_text()
        text = text if name == SITE else text.replace(",", ";")
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert sitecheck.load(tmp_path / SITE) == plain


def test_comments_blank_lines_blanks_and_quotes_in_a_fleet(tmp_path: Path) -> None:
    plain = sitecheck.load(site(tmp_path))
    header, *rows = (tmp_path / RACKS).read_text().splitlines()
    rows = ["# the GPU racks", "", *(row.replace(",", " , ") for row in rows[:5]), ",,,", *rows[5:]]
    (tmp_path / RACKS).write_text("\n".join([header, *rows[:2], '"' + rows[2].replace(" , ", '","') + '"', *rows[3:]]))
    assert sitecheck.load(tmp_path / SITE) == plain


def test_lines_stay_right_behind_comments_and_blank_lines(tmp_path: Path) -> None:
    path = site(tmp_path, (RACKS, "gpu-003", "\n\n# note\ngpu-002"))
    judge(path, [("racks.csv:7", "duplicate id 'gpu-002', first at racks.csv:3", "")])


def test_an_empty_cell_is_the_default(tmp_path: Path) -> None:
    config = sitecheck.load(site(tmp_path, (RACKS, "1,40,132.0,0,330,330,0.2,0.2,66,", ",40,132.0,,330,330,,,,")))
    rack = config.racks[0]
    assert (rack.tier, rack.quantum_kw, rack.dead_up_s, rack.fallback_kw) == (1, 0.0, 0.0, None)


def test_nodes_may_stand_in_the_site_file(tmp_path: Path) -> None:
    path = site(tmp_path, (SITE, 'nodes = "nodes.csv"\n', ""), (SITE, "[[meter]]", "{nodes}\n[[meter]]"))
    rows = [row.split(",") for row in (tmp_path / NODES).read_text().splitlines()[1:]]
    tables = [f'[[node]]\nid = "{r[0]}"\nkind = "{r[1]}"\nparent = "{r[2]}"\nrating_kw = {r[3]}\n' for r in rows]
    path.write_text(path.read_text().replace("{nodes}", "\n".join(tables)))
    config = sitecheck.load(path)
    assert [node.id for node in config.nodes] == ["main", "feeder-1", "feeder-2", "pdu-001", "pdu-002"]


@pytest.mark.parametrize(
    ("text", "place", "line"),
    [
        ("a = 1\n[site]\nid = 'x'\n", ("site", "id"), 3),
        ("[[meter]]\nid = 'a'\n\n[[meter]]\nid = 'b'\n", ("meter", 1, "id"), 5),
        ("[[meter]]\nid = 'a'\n\n[[meter]]\nid = 'b'\n", ("meter", 1, "unit"), 4),
        ("[site] # here\n\"id\" = 'x'\n", ("site", "id"), 2),
        ("site.id = 'x'\n", ("site", "id"), 1),
        ("[ mqtt ]\nport = 1\n", ("mqtt", "port"), 2),
        ("\n[site]\n", ("nowhere", "at", "all"), 1),
    ],
)
def test_positions_of_keys(text: str, place: tuple[str | int, ...], line: int) -> None:
    assert Positions(text).line(place) == line


def test_a_problem_reads_as_editors_want_it(tmp_path: Path) -> None:
    path = site(tmp_path, (RACKS, "gpu-002", "gpu-001"))
    with pytest.raises(ConfigError) as caught:
        sitecheck.load(path)
    first, remedy = str(caught.value).splitlines()
    assert first.startswith(f"{tmp_path / RACKS}:3: duplicate id 'gpu-001'")
    assert remedy.startswith("    ids are unique")


@pytest.mark.parametrize("name", ["bench-12", "hall-48mw"])
def test_the_examples_are_right(name: str) -> None:
    config = sitecheck.load(EXAMPLES / name / SITE)
    assert len(config.racks) == {"bench-12": 12, "hall-48mw": 400}[name]
