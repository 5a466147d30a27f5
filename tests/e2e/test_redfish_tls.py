"""Whom the Redfish client believes: a CA file, a pinned certificate, and nobody else."""

from __future__ import annotations

import hashlib
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rampd.drivers.members import DeviceError, Trust
from rampd.drivers.redfish.member import RedfishMember
from tests.bmc import LOGIN, address, board, scripted, shipped


def certificate(folder: Path, host: str) -> tuple[ssl.SSLContext, str]:
    """A self-signed certificate for an address: a server's TLS context, and its SHA-256."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=bmc", "-addext", f"subjectAltName=IP:{host}", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, hashlib.sha256(ssl.PEM_cert_to_DER_cert(cert.read_text())).hexdigest()


@pytest.mark.parametrize("by", ["ca_file", "pin", "PIN"])
async def test_a_certificate_that_is_trusted(tmp_path: Path, by: str) -> None:
    host = address()
    context, pin = certificate(tmp_path, host)
    trust = {"ca_file": {"ca_file": tmp_path / "cert.pem"}, "pin": {"pin": pin}, "PIN": {"pin": pin.upper()}}[by]
    device_map = shipped("redfish-hgx", points=2)
    async with scripted(board([700] * 2), context, host) as bmc:
        ours = bmc.client(device_map, **trust)
        await ours.open()
        await ours.set_limit(4000.0)
        assert len(bmc.written()) == 2
        await ours.close()


@pytest.mark.parametrize(
    ("trust", "other_host", "words"),
    [
        ({}, False, "certificate is not trusted: self-signed certificate: give its ca_file or pin it"),
        ({"pin": "ab" * 32}, False, r"certificate is not the pinned one but [0-9a-f]{64}: compare it at the BMC"),
        ({"ca_file": "other"}, False, "certificate is not trusted"),
        ({"ca_file": "cert.pem"}, True, r"certificate is not trusted: .* not valid for '127\."),
    ],
)
async def test_a_certificate_that_is_not(tmp_path: Path, trust: dict[str, Any], other_host: bool, words: str) -> None:
    host, other = address(), address()
    context, _ = certificate(tmp_path, other if other_host else host)
    if trust.get("ca_file") == "other":
        (tmp_path / "theirs").mkdir()
        certificate(tmp_path / "theirs", host)
        trust = {"ca_file": tmp_path / "theirs" / "cert.pem"}
    elif "ca_file" in trust:
        trust = {"ca_file": tmp_path / trust["ca_file"]}
    async with scripted(board([700] * 2), context, host) as bmc:
        ours = bmc.client(shipped("redfish-hgx", points=2), **trust)
        with pytest.raises(DeviceError, match=words) as failed:
            await ours.open()
        assert not failed.value.refused
        await ours.close()
        assert bmc.asked == [], "nothing is said to a BMC that is not trusted"


async def test_tls_and_plain_text_do_not_stand_in_for_each_other(tmp_path: Path) -> None:
    device_map, host = shipped("redfish-hgx", points=2), address()
    async with scripted(board([700] * 2), certificate(tmp_path, host)[0], host) as bmc:
        bare = RedfishMember(f"http://{bmc.host}:{bmc.port}", device_map, LOGIN, Trust())
        with pytest.raises(DeviceError, match="no usable answer"):
            await bare.open()
        await bare.close()
        assert bmc.asked == []
    async with scripted(board([700] * 2)) as bmc:
        ours = RedfishMember(f"{bmc.host}:{bmc.port}", device_map, LOGIN, Trust())
        with pytest.raises(DeviceError, match=r"no TLS: .*: for a BMC without TLS the address is http://HOST"):
            await ours.open()
        await ours.close()
        assert bmc.asked == []


@pytest.mark.parametrize(
    ("trust", "words"),
    [
        ({"pin": "abcd"}, "pin abcd is no SHA-256 of a certificate: 64 hex digits"),
        ({"pin": "xy" * 32}, "is no SHA-256 of a certificate"),
        (
            {"ca_file": Path("/nowhere/ca.pem")},
            "ca_file /nowhere/ca.pem cannot be used: .*: give a file of PEM certificates",
        ),
        ({"ca_file": Path("/dev/null")}, "ca_file /dev/null cannot be used"),
    ],
)
def test_wrong_trust_is_found_before_anything_is_sent(trust: dict[str, Any], words: str) -> None:
    with pytest.raises(DeviceError, match=words):
        RedfishMember("bmc-1", shipped("redfish-chassis"), LOGIN, Trust(**trust))


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("bmc-1", "bmc-1:443"), ("bmc-1:8443", "bmc-1:8443"), ("https://10.0.0.1/", "10.0.0.1:443"),
        ("http://10.0.0.1", "10.0.0.1:443"), ("http://10.0.0.1:8000", "10.0.0.1:8000"),
        ("[fd00::1]:8443", "fd00::1:8443"),
        ("ftp://bmc", None), ("", None), ("bmc/redfish", None), ("https://u:p@bmc", None), ("bmc:99999", None),
        ("bmc 1", None), ("https://", None),
    ],
)  # fmt: skip
def test_addresses(address: str, name: str | None) -> None:
    if name is None:
        with pytest.raises(DeviceError, match="is no address of a BMC: give HOST, HOST:PORT or https://HOST"):
            RedfishMember(address, shipped("redfish-chassis"), LOGIN, Trust())
    else:
        assert RedfishMember(address, shipped("redfish-chassis"), LOGIN, Trust()).id == name
