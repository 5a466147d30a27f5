"""Addresses and what belongs to them, as an integrator writes them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rampd.daemon.field import transport
from rampd.drivers.address import Serial, Tls
from tests.sites import EXAMPLES, RACKS, SITE, Edit, load, problems, site

MEMBERS = (EXAMPLES / "mixed-10" / "members.csv").read_text(encoding="utf-8")
MINER = next(row for row in MEMBERS.splitlines() if row.startswith("asic-wm2,")).partition(",")[2]
METER = 'address = "127.20.0.1:1502"'


def test_a_meter_behind_tls_and_a_rack_on_a_serial_line(tmp_path: Path) -> None:
    path = site(
        tmp_path,
        (SITE, METER, 'address = "tls://meter.hall:802"'),
        (
            SITE,
            "[fleet]",
            '[[link]]\naddress = "tls://meter.hall:802"\nca_file = "ca.pem"\ncert_file = "c.pem"\nkey_file = "k.pem"\n'
            '[[link]]\naddress = "serial:/dev/ttyUSB0"\nbaud = 9600\nparity = "none"\nstop_bits = 2\n\n[fleet]',
        ),
        (RACKS, "127.23.0.1:1502", "serial:/dev/ttyUSB0"),
        (RACKS, "127.23.0.2:1502", "rtu+tcp://10.0.0.9:4001"),
    )
    for name in ("ca.pem", "c.pem", "k.pem"):
        (tmp_path / name).touch()
    config = load(path)
    meter = transport(config, "tls://meter.hall:802")
    assert (meter.address.kind, meter.address.port) == ("tls", 802)
    assert meter.tls == Tls(tmp_path / "ca.pem", tmp_path / "c.pem", tmp_path / "k.pem")
    line = transport(config, "serial:/dev/ttyUSB0")
    assert line.serial == Serial(9600, "none", 2)
    assert transport(config, "rtu+tcp://10.0.0.9:4001").serial == Serial(), "what is not said is as usual"


WRONG: list[tuple[str, list[Edit], str, str]] = [
    ("no host", [(SITE, METER, 'address = "1502"')], "an address is host:port, tls://host:port", "write host:port"),
    ("no such scheme", [(SITE, METER, 'address = "udp://a:1"')], "an address is host:port", "write host:port"),
    ("port 0", [(SITE, METER, 'address = "a:0"')], "between 1 and 65535", "write host:port"),
    (
        "baud over TCP", [(SITE, "[fleet]", '[[link]]\naddress = "127.20.0.1:1502"\nbaud = 9600\n[fleet]')],
        "baud, parity and stop_bits belong to a serial: address", "",
    ),
    (
        "a CA without TLS", [(SITE, "[fleet]", '[[link]]\naddress = "127.20.0.1:1502"\nca_file = "x"\n[fleet]')],
        "certificates belong to a tls:// address", "",
    ),
    (
        "a certificate without its key",
        [(SITE, METER, 'address = "tls://a:802"'),
         (SITE, "[fleet]", '[[link]]\naddress = "tls://a:802"\ncert_file = "x"\n[fleet]')],
        "cert_file and key_file go together", "",
    ),
    (
        "a link of nobody", [(SITE, "[fleet]", '[[link]]\naddress = "127.9.9.9:1502"\n[fleet]')],
        "no device has this address", "take the [[link]] out",
    ),
    (
        "a rack at a miner's address", [(RACKS, "127.23.0.1:1502", "http://10.0.0.1")],
        "does not lead to a Modbus device", "an address is host:port",
    ),
    (
        "a miner without a place", [(RACKS, "rack-power,127.23.0.6:1502", "luxos,")],
        "rack asic-006 has neither members nor an address", "list its BMCs or miners in fleet.members",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("edits", "message", "remedy"), [row[1:] for row in WRONG], ids=[r[0] for r in WRONG])
def test_what_is_wrong_is_said(tmp_path: Path, edits: list[Edit], message: str, remedy: str) -> None:
    found = problems(site(tmp_path, *edits))
    assert any(message in problem.message and remedy in problem.remedy for problem in found), found


@pytest.mark.parametrize(
    ("row", "edit", "message"),
    [
        pytest.param("asic-wm2,127.12.8.99", None, "", id="another miner"),
        pytest.param("asic-wm9,127.12.8.99", None, "there is no rack 'asic-wm9'", id="of no rack"),
        pytest.param(f"asic-wm2,{MINER}", None, "stands in asic-wm2 and asic-wm2", id="twice"),
        pytest.param(f"asic-wm2,http://{MINER}", None, "stands in asic-wm2 and asic-wm2", id="with a scheme"),
        pytest.param("asic-wm2,https://127.12.8.99", None, "are spoken to without TLS", id="TLS where there is none"),
        pytest.param("asic-wm2,HALL-7:4028\nasic-wm2,hall-7", None, "stands in asic-wm2 and asic-wm2", id="one port"),
        pytest.param(
            "asic-wm2,127.12.11.1", (RACKS, "whatsminer-v3,,2", "whatsminer-v3,127.12.11.1:4028,2"),
            "127.12.11.1:4028 stands in asic-wm2 and asic-wm3", id="a member, and a rack by itself",
        ),
    ],
)  # fmt: skip
def test_a_miner_belongs_to_one_rack(tmp_path: Path, row: str, edit: Edit | None, message: str) -> None:
    path = site(tmp_path, *([edit] if edit else []), example="mixed-10")
    rows = MEMBERS + row + "\n"
    if edit:
        rows = "".join(line for line in rows.splitlines(True) if not line.startswith("asic-wm3"))
    (tmp_path / "members.csv").write_text(rows, encoding="utf-8")
    if not message:
        load(path)
        return
    (found,) = problems(path)
    assert message in found.message
    expected = (RACKS, 9) if edit else ("members.csv", rows.count("\n"))
    assert (found.file, found.line) == expected


@pytest.mark.parametrize(
    ("name", "own", "message"),
    [
        ("luxoss", "", "map: there is no map 'luxoss': did you mean 'luxos'?"),
        ("mine", 'name = "mine"\nkind = "rack"\nprotocol = "luxos"\n', "map: mine.toml: title"),
    ],
)
def test_a_rack_whose_figures_come_from_a_map_that_is_wrong(tmp_path: Path, name: str, own: str, message: str) -> None:
    path = site(
        tmp_path, (RACKS, "luxos,,2", f"{name},,2"), (SITE, "[site]", '[site]\nmap_folder = "."'), example="mixed-10"
    )
    shutil.copy(EXAMPLES / "mixed-10" / "members.csv", tmp_path)
    (tmp_path / "mine.toml").write_text(own, encoding="utf-8")
    (found,) = problems(path)
    assert (found.file, found.line) == (RACKS, 7)
    assert found.message.startswith(message)


def test_a_link_is_pointed_at(tmp_path: Path) -> None:
    path = site(tmp_path, (SITE, "[fleet]", '[[link]]\naddress = "127.9.9.9:1502"\n[fleet]'))
    (found,) = problems(path)
    assert path.read_text(encoding="utf-8").splitlines()[found.line - 1] == "[[link]]"


def test_one_place_in_two_spellings_is_one_connection(tmp_path: Path) -> None:
    config = load(site(tmp_path, (SITE, METER, 'address = "Meter.Hall:01502"\nunit = 7')))
    assert config.meters[0].address == "meter.hall:1502"
