"""The site meter dies or freezes under a running daemon that has a second one: nothing is lost, dispatches go on."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from rampd.daemon import sitecheck
from tests.hall import Hall
from tests.waits import ever, until

# The hall's time at which the site meter is gone, and for how long.
AT, FOR_S = 20.0, 25.0


class TwoMeters(Hall):
    """A hall with a check meter beside its own."""

    def __enter__(self) -> Self:
        super().__enter__()
        text = self.site.read_text(encoding="utf-8")
        check = f'id = "check"\nmap = "janitza-umg"\naddress = "127.{self.net}.254.9:1502"\nperiod_s = 0.2'
        for old, new in {
            'meter = "poi"': 'meter = "poi"\nsecond_meter = "check"',
            '[[meter]]\nid = "poi"': f'[[meter]]\n{check}\n\n[[meter]]\nid = "poi"',
        }.items():
            assert text.count(old) == 1
            text = text.replace(old, new)
        self.site.write_text(text, encoding="utf-8")
        self.config = sitecheck.load(self.site)
        return self


def test_a_dispatch_up_and_down_without_the_site_meter(tmp_path: Path) -> None:
    fault = f'[[fault]]\ndevice = "poi"\nkind = "down"\nat_s = {AT}\nfor_s = {FOR_S}\n'
    columns = {"asic.up_kw_per_s": "109"}
    with TwoMeters(tmp_path, columns=columns, faults=fault) as hall, hall.start().client() as client:
        full_w = hall.config.site.max_mw * 1e6
        until(lambda: client.of("state"), 10, "the first state message")
        client.command("setpoint", percent=70, ramp_s=5)
        hall.until_time(AT)
        until(lambda: hall.metric("rampd_device_up", device="poi") == 0, 5, "the site meter is gone")
        assert hall.ready == (200, "ok")
        for percent in (50, 80):
            client.command("setpoint", percent=percent, ramp_s=5)
            until(lambda percent=percent: hall.settled(percent / 100 * full_w, ratio=0.02), 15, f"it is at {percent} %")
            assert hall.metric("rampd_site_power_watts") is not None
        assert hall.since_s < AT + FOR_S, "the site meter is back too early"
        until(lambda: hall.since_s > AT + FOR_S + 2, 30, "the site meter is back")
        until(lambda: "site meter poi is read again" in hall.daemon.words, 15, "it counts again")
        assert not ever(lambda: not hall.settled(0.8 * full_w, ratio=0.02), 3)
        lost = [one for message in client.of("state") for one in message.payload["failsafe"]]
        assert not [one for one in lost if one["reason"].startswith("meter_lost")]
        assert "site meter poi cannot be read: check stands for it" in hall.daemon.words
        assert hall.limits_broken(since_s=10) == []


def test_a_site_meter_that_freezes_counts_no_more_until_it_has_gone_along(tmp_path: Path) -> None:
    """The reason has its eleven seconds once; it does not come back with the meter that still answers."""
    fault = f'[[fault]]\ndevice = "poi"\nkind = "frozen"\nat_s = {AT}\n'
    with (
        TwoMeters(tmp_path, columns={"asic.up_kw_per_s": "109"}, faults=fault) as hall,
        hall.start().client() as client,
    ):
        full_w = hall.config.site.max_mw * 1e6
        until(lambda: client.of("state"), 10, "the first state message")
        until(lambda: hall.metric("rampd_meter_counts", device="poi") == 1, 15, "the first counts")
        hall.until_time(AT + 1)
        client.command("setpoint", percent=60, ramp_s=5)
        words = "site meter poi is not believed: check stands for it"
        until(lambda: words in hall.daemon.words, 20, "it is found out")
        until(lambda: not client.state["failsafe"], 20, "the second meter is believed")
        for percent in (80, 50):
            client.command("setpoint", percent=percent, ramp_s=5)
            until(lambda percent=percent: hall.settled(percent / 100 * full_w, ratio=0.02), 20, f"it is at {percent} %")
        # Longer than what reads for ten seconds on end is waited for.
        assert not ever(lambda: hall.metric("rampd_meter_counts", device="poi") == 1, 15)
        assert "meter poi has gone along" not in hall.daemon.words
        told = [one.payload for one in client.of("event/meter")]
        assert ("counts", "check", "doubted") in {(one["state"], one["device"], one.get("why")) for one in told}
        assert abs(hall.metric("rampd_meters_apart_watts") or 0.0) > 0.03 * full_w
        until(
            lambda: "differ" in {one.payload["state"] for one in client.of("event/meter")}, 70, "they differ for long"
        )
        assert hall.limits_broken(since_s=10) == []
