"""Golden words of SunSpec models, written down by hand; each place is (model, offset from its ID register)."""

from __future__ import annotations

from typing import Final

from rampd.ext.codes import RANGE, SENTINEL
from tests.golden.vector import NAN, Vectors, text

COMMON: Final = {
    (1, 2): text("Acme", 16),
    (1, 18): text("DER-1", 16),
    (1, 42): text("4.2", 8),
    (1, 50): text("0815", 16),
}
TEXTS: Final = {"manufacturer": "Acme", "model": "DER-1", "firmware": "4.2", "serial": "0815"}

GOLDEN: Final[Vectors] = {
    "sunspec-103": [
        (
            {
                **COMMON,
                # A 1234 1230 1235 1237 at -1; V 2770 2771 2769 at -1; W -1250 at 3; Hz 6001 at -2
                (103, 2): "04d2 04ce 04d3 04d5 ffff", (103, 10): "0ad2 0ad3 0ad1 ffff", (103, 14): "fb1e 0003",
                (103, 16): "1771 fffe", (103, 18): "0514 0003", (103, 20): "ff38 0003", (103, 22): "2580 fffe",
                (103, 24): "00bc614e 0001", (103, 31): "04f6 0003", (103, 33): "019f", (103, 37): "ffff 0004",
                (103, 40): "00000080",
            },
            {
                **TEXTS,
                "current_a": 123.4, "current_l1_a": 123.0, "current_l2_a": 123.5, "current_l3_a": 123.7,
                "voltage_l1_v": 277.0, "voltage_l2_v": 277.1, "voltage_l3_v": 276.9, "power_w": -1.25e6,
                "frequency_hz": 60.01, "apparent_va": 1.3e6, "reactive_var": -200e3, "power_factor_percent": 96.0,
                "energy_wh": 123456780.0, "dc_w": 1.27e6, "cabinet_c": 41.5, "operating_state": 4.0,
                "event_bits": 128.0,
            },
        ),
        # not implemented: the value, the counter at 0, and values whose factor is not there
        (
            {(103, 14): "8000 0000", (103, 16): "1771 8000", (103, 2): "ffff", (103, 24): "00000000",
             (103, 38): "ffff"},
            {"power_w": SENTINEL, "frequency_hz": SENTINEL, "current_a": SENTINEL, "energy_wh": SENTINEL,
             "operating_state": SENTINEL},
        ),
        # a factor that moves takes the value with it
        ({(103, 14): "007d 0004", (103, 16): "0258 ffff"}, {"power_w": 1.25e6, "frequency_hz": 60.0}),
        ({(103, 14): "007d 000b", (103, 16): "0258 fffe"}, {"power_w": SENTINEL, "frequency_hz": RANGE}),
    ],
    "sunspec-113": [
        (
            {
                **COMMON,
                (113, 2): "478aac00 4789b240 478ba600 478ca020", (113, 16): "45f8fc00 45f91000 45f8ea00",
                (113, 22): "49989680 4270147b 499eb100 c8aae600 42c04ccd 49712060", (113, 38): "499b0780 42260000",
                (113, 48): "0004", (113, 50): "00000001",
            },
            {
                **TEXTS,
                "current_a": 71000.0, "current_l1_a": 70500.5, "current_l2_a": 71500.0, "current_l3_a": 72000.25,
                "voltage_l1_v": 7967.5, "voltage_l2_v": 7970.0, "voltage_l3_v": 7965.25, "power_w": 1.25e6,
                "frequency_hz": 60.02000045776367, "apparent_va": 1.3e6, "reactive_var": -350e3,
                "power_factor_percent": 96.15, "energy_wh": 987654.0, "dc_w": 1.27e6, "cabinet_c": 41.5,
                "operating_state": 4.0, "event_bits": 1.0,
            },
        ),
        ({(113, 22): NAN, (113, 24): "42820001"}, {"power_w": SENTINEL, "frequency_hz": RANGE}),
    ],
    "sunspec-203": [
        (
            {
                **COMMON,
                # A 7100 2330 2360 2400 at 1; V 7967 at 0; Hz 5998 at -2; W 5025 1640 1650 1735 at 4
                (203, 2): "1bbc 091a 0938 0960", (203, 6): "0001", (203, 7): "1f1f", (203, 15): "0000",
                (203, 16): "176e fffe",
                (203, 18): "13a1 0668 0672 06c7 0004", (203, 23): "13ec", (203, 27): "0004", (203, 28): "ff83",
                (203, 32): "0004", (203, 33): "03d9", (203, 37): "ffff", (203, 38): "00000064",
                (203, 46): "075bcd15", (203, 54): "0003", (203, 105): "00000004",
            },
            {
                **TEXTS,
                "current_a": 71000.0, "current_l1_a": 23300.0, "current_l2_a": 23600.0, "current_l3_a": 24000.0,
                "voltage_v": 7967.0, "frequency_hz": 59.98, "power_w": 50.25e6,
                "power_l1_w": 16.4e6, "power_l2_w": 16.5e6, "power_l3_w": 17.35e6, "apparent_va": 51e6,
                "reactive_var": -1.25e6, "power_factor_percent": 98.5, "energy_export_wh": 100e3,
                "energy_wh": 123456789e3, "event_bits": 4.0,
            },
        ),
        (
            {(203, 16): "176e 8000", (203, 18): "13a1", (203, 22): "8000", (203, 46): "00000000"},
            {"frequency_hz": SENTINEL, "power_w": SENTINEL, "energy_wh": SENTINEL},
        ),
    ],
    "sunspec-213": [
        (
            {
                **COMMON,
                (213, 2): "478aac00 46b60800 46b86000 46bb8000", (213, 10): "4657a000", (213, 26): "426fef9e",
                (213, 28): "4c3fb044 4b7a3e80 4b7bc520 4b845eb8", (213, 36): "4c428cb0", (213, 44): "ca559f80",
                (213, 60): "4eb2d05e", (213, 68): "4f1502f9",
            },
            {
                **TEXTS,
                "current_a": 71000.0, "current_l1_a": 23300.0, "current_l2_a": 23600.0, "current_l3_a": 24000.0,
                "voltage_v": 13800.0, "frequency_hz": 59.98400115966797, "power_w": 50.25e6,
                "power_l1_w": 16.4e6, "power_l2_w": 16.5e6, "power_l3_w": 17.35e6, "apparent_va": 51e6,
                "reactive_var": -3.5e6, "energy_export_wh": 1.5e9, "energy_wh": 2.5e9,
            },
        ),
        ({(213, 28): NAN, (213, 26): NAN}, {"power_w": SENTINEL, "frequency_hz": SENTINEL}),
    ],
    "sunspec-701": [
        (
            {
                **COMMON,
                # W -1250, VA 1300, Var -200 at 3; PF -96 at -2; A 1234 at 0; LLV 4800, LNV 2771 at -1
                (701, 4): "0003 0001 00000000", (701, 10): "fb1e 0514 ff38 ffa0 04d2 12c0 0ad3",
                # Hz 60010 at -3
                (701, 17): "0000ea6a", (701, 19): "00000000075bcd15 000000e5f4c8f374", (701, 35): "00fa 019f",
                (701, 41): "fe60", (701, 64): "fe5f", (701, 87): "fe5f", (701, 110): "0019",
                (701, 113): "0000 ffff fffd 0003 fffe 0003 0003 0000", (701, 122): "ffff",
            },
            {
                **TEXTS,
                "inverter_state": 3.0, "connected_state": 1.0, "alarm_bits": 0.0, "power_w": -1.25e6,
                "power_l1_w": -416e3, "power_l2_w": -417e3, "power_l3_w": -417e3, "apparent_va": 1.3e6,
                "reactive_var": -200e3, "power_factor_ratio": -0.96, "current_a": 1234.0, "voltage_ll_v": 480.0,
                "voltage_v": 277.1, "frequency_hz": 60.01, "energy_export_wh": 123456789.0,
                "energy_wh": 987654321012.0, "ambient_c": 25.0, "cabinet_c": 41.5, "throttled_percent": 25.0,
            },
        ),
        (
            {(701, 10): "8000", (701, 17): "ffffffff", (701, 19): "ffffffffffffffff", (701, 116): "0003"},
            {"power_w": SENTINEL, "frequency_hz": SENTINEL, "energy_export_wh": SENTINEL, "power_l1_w": 0.0},
        ),
    ],
    "sunspec-802": [
        (
            {
                **COMMON,
                (802, 3): "03e8 00fa 01f4", (802, 11): "2134", (802, 13): "0062", (802, 16): "0003",
                (802, 22): "0003", (802, 26): "00000000", (802, 34): "1f40", (802, 44): "fb1e", (802, 47): "03e8",
                (802, 53): "0003 0003", (802, 56): "fffe", (802, 58): "0000 ffff", (802, 61): "ffff", (802, 63): "0002",
            },
            {
                **TEXTS,
                "capacity_wh": 1e6, "charge_max_w": 250e3, "discharge_max_w": 500e3, "soc_percent": 85.0,
                "soh_percent": 98.0, "charge_state": 3.0, "battery_state": 3.0, "event_bits": 0.0, "voltage_v": 800.0,
                "current_a": -125.0, "power_w": 100e3,
            },
        ),
        ({(802, 11): "ffff", (802, 47): "03e8 0000", (802, 63): "8000"},
         {"soc_percent": SENTINEL, "power_w": SENTINEL}),
    ],
    "sunspec-704": [
        (
            {
                **COMMON,
                (701, 10): "fb50", (701, 116): "0002", (702, 26): "0528", (702, 45): "0002",
                # enabled, 60.5 %, reverts to 40 % and stays enabled, after 30 s, 17 s left
                (704, 14): "0001 025d 0190 0001 0000001e 00000011", (704, 54): "ffff",
            },
            {
                **TEXTS,
                # absorbing 120 kW: -1200 at 2
                "power_w": 120e3, "rating_w": 132e3, "enabled_state": 1.0, "limit_percent": 60.5,
                "fallback_percent": 40.0, "fallback_state": 1.0, "deadman_s": 30.0, "deadman_left_s": 17.0,
            },
        ),
        # a controller that counts a load positive, against the standard, is not believed
        ({(701, 10): "04b0", (701, 116): "0002"}, {"power_w": RANGE}),
        ({(704, 15): "ffff", (704, 54): "ffff"}, {"limit_percent": SENTINEL}),
        ({(704, 15): "025d", (704, 54): "8000"}, {"limit_percent": SENTINEL}),
    ],
    "sunspec-123": [
        (
            {
                **COMMON,
                (103, 14): "fb50 0002", (103, 38): "0005", (123, 5): "003c 0000 0078 0002 0001", (123, 23): "0000",
            },
            {
                **TEXTS,
                "power_w": 120e3, "operating_state": 5.0, "limit_percent": 60.0, "revert_s": 120.0, "ramp_s": 2.0,
                "enabled_state": 1.0,
            },
        ),
        ({(123, 5): "03e9", (123, 23): "ffff"}, {"limit_percent": RANGE}),
    ],
}  # fmt: skip
