"""Rules between the parts of a site that are kept by sites out of the ordinary."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rampd.daemon import sitecheck, summary
from rampd.daemon.config import Config
from rampd.daemon.field import transport
from rampd.daemon.logins import logins
from rampd.daemon.mqtt import secret
from rampd.daemon.site import compose
from rampd.daemon.sitefile import ConfigError
from tests.sites import NODES, RACKS, RATED, SITE, Edit, problems, site

ROOT = Path(__file__).resolve().parents[2]
MAP = """
name = "mine"
kind = "{kind}"
title = "a device of this site"
source = ["the vendor's list, page 12"]
verified = "read on this hardware"
[values]
power_w = {{ at = 0, type = "f32", range = [0.0, 1.0e7] }}
"""


def load(folder: Path, *edits: Edit) -> Config:
    return sitecheck.load(site(folder, *edits))


def test_devices_in_order_with_the_kind_of_map_they_need(tmp_path: Path) -> None:
    rows = [(name, kind) for name, kind, _ in sitecheck.device_rows(load(tmp_path))]
    assert rows[:5] == [
        ("poi", "meter"), ("pdu-001", "pdu"), ("pdu-002", "pdu"), ("gpu-loop-1", "cdu"), ("asic-loop-1", "cdu"),
    ]  # fmt: skip
    assert [kind for _, kind in rows[5:]] == ["rack"] * 12


def test_a_node_may_be_measured_by_a_meter_or_not_at_all(tmp_path: Path) -> None:
    config = load(tmp_path, (NODES, "xerus-pdu", "janitza-umg"), (NODES, "xerus-pdu,127.21.0.2:1502", ","))
    assert [node.map for node in config.nodes] == [None, None, None, "janitza-umg", None]
    assert "pdu-002" not in compose(config).by_id


def test_what_a_phase_is_rated_needs_a_meter_that_shows_phases(tmp_path: Path) -> None:
    config = load(tmp_path / "good", *RATED, (NODES, "xerus-pdu", "janitza-umg"))
    assert [node.rating_a for node in config.nodes] == [None, None, None, 1200.0, None]
    (problem,) = problems(site(tmp_path / "phases", *RATED))
    assert problem.message == "node pdu-001 has rating_a, its map xerus-pdu does not show the current of its phases"
    assert "current_l1_a" in problem.remedy
    (problem,) = problems(site(tmp_path / "meter", *RATED, (NODES, "xerus-pdu,127.21.0.1:1502", ",")))
    assert "rating_a needs a meter that shows the current of each phase" in problem.message


def test_units_share_an_address(tmp_path: Path) -> None:
    config = load(tmp_path, (RACKS, "127.23.0.2:1502,1,", "127.23.0.1:1502,2,"))
    assert (config.racks[1].address, config.racks[1].unit) == (config.racks[0].address, 2)


def test_a_meter_beside_the_one_that_is_held(tmp_path: Path) -> None:
    check = '[[meter]]\nid = "check"\nmap = "sunspec-213"\naddress = "127.20.0.2:1502"\n\n[[meter]]'
    config = load(tmp_path, (SITE, "[[meter]]", check))
    assert [meter.id for meter in config.meters] == ["check", "poi"]
    assert compose(config).meter.id == "poi"


def test_a_feeder_may_stand_above_transformers_above_pdus(tmp_path: Path) -> None:
    config = load(tmp_path, (NODES, "pdu-001,pdu,feeder-1", "tx-1,transformer,feeder-1,1500,0.8,,,,\npdu-001,pdu,tx-1"))
    composed = compose(config)
    assert composed.feeders[:6] == ("feeder-1",) * 6


def test_racks_may_hang_on_the_feeder_itself(tmp_path: Path) -> None:
    assert load(tmp_path, (RACKS, "gpu,pdu-001", "gpu,feeder-1")).racks[0].node == "feeder-1"


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("meter", MAP, None),
        ("pdu", MAP, "poi is a meter, map 'mine' is for a pdu"),
        ("meter", MAP.replace('"f32"', '"f33"'), "poi: map 'mine' cannot be used: "),
        ("meter", "[[[", "poi: map 'mine' cannot be used: "),
        ("meter", MAP + "\xfc", "poi: map 'mine' cannot be used: "),
    ],
)
def test_a_map_of_the_site_itself(tmp_path: Path, kind: str, text: str, message: str | None) -> None:
    path = site(tmp_path, (SITE, '"janitza-umg"', '"mine"'), (SITE, "min_mw = 0", 'min_mw = 0\nmap_folder = "maps"'))
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "mine.toml").write_bytes(text.format(kind=kind).encode("latin-1"))
    if message is None:
        assert compose(sitecheck.load(path)).meter.map.title == "a device of this site"
    else:
        (problem,) = problems(path)
        assert (problem.file, problem.line) == ("site.toml", 46)
        assert message in problem.message
        assert problem.remedy


def test_a_wrong_map_is_told_once_however_many_use_it(tmp_path: Path) -> None:
    path = site(tmp_path, (SITE, "min_mw = 0", 'min_mw = 0\nmap_folder = "."'))
    (tmp_path / "rack-power.toml").write_text("[[[")
    assert len(problems(path)) == 1


@pytest.mark.parametrize("limit_kw", [199.9, 200.1])
def test_a_tree_carries_what_its_racks_need_and_no_less(tmp_path: Path, limit_kw: float) -> None:
    edit = (NODES, "feeder,main,1039,0.8", f"feeder,main,{limit_kw},1.0")
    if limit_kw > 200:
        load(tmp_path, edit)
    else:
        with pytest.raises(ConfigError, match=r"racks below feeder-1 need 200 kW, its limit is 199\.9 kW"):
            load(tmp_path, edit)


@pytest.mark.parametrize(("limit_mw", "fits"), [(0.13, False), (0.14, True)])
def test_racks_without_a_dead_man_have_a_limit(tmp_path: Path, limit_mw: float, fits: bool) -> None:
    # Miners of a maker hold what they were told; all racks of the example's own map fall back.
    edits = [
        (SITE, "min_mw = 0", f"min_mw = 0\nmax_deadman_mw = {limit_mw}"),
        (RACKS, "66,rack-power,127.23.0.1:1502", ",luxos,192.0.2.1"),
    ]
    if fits:
        assert load(tmp_path, *edits).site.max_deadman_mw == limit_mw
    else:
        with pytest.raises(ConfigError, match=r"racks hold 0\.132 MW for ever, max_deadman_mw is 0\.13: gpu-001"):
            load(tmp_path, *edits)


def test_what_happens_when_rampd_dies_is_told_in_mw(tmp_path: Path) -> None:
    found = summary.summary(compose(load(tmp_path)))
    # Five GPU racks fall from 132 to 66 kW or rise from 40, seven ASIC racks fall from 109 kW to nothing.
    assert (found["without_dead_man_mw"], found["dead_man_falls_mw"], found["dead_man_rises_mw"]) == (0.0, 1.093, 0.13)
    text = "\n".join(summary.lines(compose(load(tmp_path))))
    assert "one after the other, after 30 to 137 s, by 1.093 MW at most, or rise by 0.13 MW" in text


@pytest.mark.parametrize("gap_s", [0.3, 0.5])
def test_pauses_leave_time_to_read_every_device_of_a_link(tmp_path: Path, gap_s: float) -> None:
    """Twice a second each: 0.6 of the time is told and taken, the whole of it is refused."""
    path = site(tmp_path, (SITE, "min_mw = 0", 'min_mw = 0\nmap_folder = "."'), (RACKS, "rack-power", "rack-paused"))
    plain = (ROOT / "drivers" / "maps" / "rack-power.toml").read_text(encoding="utf-8")
    text = plain.replace("in_flight = 1", f"in_flight = 1\ngap_s = {gap_s}\nconnect_delay_s = 0.5")
    (tmp_path / "rack-paused.toml").write_text(text.replace('"rack-power"', '"rack-paused"'))
    if gap_s < 0.4:
        shown = summary.lines(compose(sitecheck.load(path)))
        assert any("1 at a time, 300 ms apart, 500 ms after a connect, 2.0 requests/s" in line for line in shown)
    else:
        found = problems(path)
        assert "2.0 requests/s to" in found[0].message
        assert "with pauses of 500 ms take 100% of the time" in found[0].message
        assert {problem.file for problem in found} == {"racks.csv"}


BROKER = ("password_file", "ca_file", "cert_file", "key_file")
LOGIN = '[[login]]\nid = "bmc"\n{line}\n[fleet]'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('secret_file = "gone"', r"login bmc: secret_file: .*gone cannot be read: there is no such file"),
        ('ca_file = "gone.pem"', r"login bmc: ca_file: .*gone\.pem cannot be read: there is no such file"),
        ('secret_file = "."', r"login bmc: secret_file: .* cannot be read: there is no such file"),
        ('secret_file = "/run/credentials/rampd@site.service/bmc"', None),
    ],
)
def test_files_that_a_site_names_are_there(tmp_path: Path, line: str, message: str | None) -> None:
    path = site(tmp_path, (SITE, "[fleet]", LOGIN.format(line=line)))
    if message is None:
        sitecheck.load(path)
        return
    (problem,) = problems(path)
    assert re.search(message, problem.message)
    assert (tmp_path / problem.file).read_text().splitlines()[problem.line - 1] == "[[login]]"


@pytest.mark.parametrize(("login", "taken"), [("bmc", True), ("miner", False)])
def test_what_believes_a_certificate_has_no_place_where_none_is_shown(tmp_path: Path, login: str, taken: bool) -> None:
    edit = (SITE, f'id = "{login}"', f'id = "{login}"\npin_sha256 = "{"0" * 64}"')
    path = site(tmp_path, edit, example="mixed-10")
    if taken:
        sitecheck.load(path)
    else:
        (problem,) = problems(path)
        assert problem.message.startswith("login miner: ca_file and pin_sha256 have no effect: map braiins")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("[::1]:4433", None),
        ("[2001:db8::17]", None),
        ("http://[2001:db8::17]", None),
        ("serial:/dev/ttyUSB0", "gpu-001: address 'serial:/dev/ttyUSB0' does not lead to a BMC or miner"),
        ("tls://10.0.7.21:4433", "gpu-001: address 'tls://10.0.7.21:4433' does not lead to a BMC or miner"),
        ("[::1::2]:4433", "address: [::1::2] is no IPv6 address"),
    ],
)
def test_the_address_of_a_miner(tmp_path: Path, given: str, message: str | None) -> None:
    path = site(tmp_path, (RACKS, "rack-power,127.23.0.1:1502", f"whatsminer-v3,{given}"))
    if message is None:
        assert sitecheck.load(path).racks[0].address == given
    else:
        (problem,) = problems(path)
        assert (problem.file, problem.line) == ("racks.csv", 2)
        assert problem.message.startswith(message)


def test_one_miner_in_two_spellings_is_told(tmp_path: Path) -> None:
    edits = [
        (RACKS, f"rack-power,127.23.0.{n}:1502", f"whatsminer-v3,[{ip}]:4433") for n, ip in ((1, "::1"), (2, "0::1"))
    ]
    (problem,) = problems(site(tmp_path, *edits))
    assert "stands in gpu-001 and gpu-002" in problem.message


@pytest.mark.parametrize(("deadband_hz", "taken"), [(0.299, True), (0.3, False)])
def test_a_deadband_leaves_something_of_the_droop(tmp_path: Path, deadband_hz: float, taken: bool) -> None:
    grid = f"[grid]\ndroop_percent = 0.5\ndeadband_hz = {deadband_hz}\n\n[fleet]"
    path = site(tmp_path, (SITE, "[fleet]", grid))
    if taken:
        sitecheck.load(path)
    else:
        assert "leaves nothing of a droop of 0.3 Hz" in problems(path)[0].message


@pytest.mark.parametrize("key", ["password_file", "ca_file", "cert_file", "key_file"])
def test_the_files_of_the_broker_stand_beside_the_site_file(tmp_path: Path, key: str) -> None:
    path = site(tmp_path, (SITE, "[mqtt]", f'[mqtt]\n{key} = "secrets/broker"'))
    (problem,) = problems(path)
    assert problem.message == f"mqtt.{key}: secrets/broker cannot be read: there is no such file"
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "broker").write_text("word\n")
    assert getattr(sitecheck.load(path).mqtt, key) == tmp_path / "secrets" / "broker"


@pytest.mark.parametrize("way", ["absolute", "relative", "in its folder", "through a link to its folder", "above"])
@pytest.mark.parametrize("there", [True, False])
def test_the_files_of_a_site_are_found_from_wherever_it_is_named(
    tmp_path: Path, way: str, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Maps, fleets, secrets and certificates of broker, login and link: told once each where they are missing."""
    folder = tmp_path / "mysite"
    site(
        folder,
        (SITE, "min_mw = 0", 'min_mw = 0\nmap_folder = "maps"'),
        (SITE, "[mqtt]", "[mqtt]\n" + "".join(f'{key} = "s/{key}"\n' for key in BROKER)),
        (SITE, "[fleet]", LOGIN.format(line='secret_file = "s/bmc"\nca_file = "s/bmc.pem"')),
        (SITE, '"127.20.0.1:1502"', '"tls://poi:802"'),
        (SITE, "[fleet]", '[[link]]\naddress = "tls://poi:802"\nca_file = "s/poi.pem"\n\n[fleet]'),
        (SITE, '"janitza-umg"', '"mine"'),
    )
    (folder / "maps").mkdir()
    (folder / "maps" / "mine.toml").write_text(MAP.format(kind="meter"))
    if there:
        (folder / "s").mkdir()
        for name in (*BROKER, "bmc", "bmc.pem", "poi.pem"):
            (folder / "s" / name).write_text("word\n")
    (tmp_path / "link").symlink_to(folder)
    (folder / "deeper").mkdir()
    cwd, name = {
        "absolute": (tmp_path, str(folder / SITE)), "relative": (tmp_path, f"mysite/{SITE}"),
        "in its folder": (folder, SITE), "through a link to its folder": (tmp_path, f"link/{SITE}"),
        "above": (folder / "deeper", f"../{SITE}"),
    }[way]  # fmt: skip
    monkeypatch.chdir(cwd)
    if not there:
        with pytest.raises(ConfigError) as raised:
            sitecheck.load(Path(name))
        beside = Path(name).parent
        told = {line.message.partition(" cannot be read")[0].rpartition(" ")[2] for line in raised.value.problems}
        assert told == {str(beside / "s" / file) for file in (*BROKER, "bmc", "bmc.pem", "poi.pem")}
        assert len(raised.value.problems) == len(told)
        return
    config = sitecheck.load(Path(name))
    assert compose(config).meter.map.title == "a device of this site"
    assert secret(config.mqtt.password_file) == "word"
    assert logins(config)["bmc"][0].secret == "word"
    for file in (config.mqtt.ca_file, logins(config)["bmc"][1].ca_file, transport(config, "tls://poi:802").tls.ca_file):
        assert file is not None
        assert file.read_text() == "word\n"
