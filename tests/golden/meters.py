"""Golden words of meters and PDUs, written down by hand."""

from __future__ import annotations

from typing import Final

from rampd.ext.codes import RANGE, SENTINEL
from tests.golden.vector import NAN, Vectors

GOLDEN: Final[Vectors] = {
    "janitza-umg": [
        (
            {
                19000: "43668000 43674000 4365c000", 19012: "478aac00 4789b240 478ca020",
                19020: "4b7a3e80 4b7bc520 4b845eb8 4c3fb044", 19034: "4c428cb0", 19042: "c9989680",
                19050: "426fef9e", 19068: "51e5f468",
            },
            {
                "voltage_l1_v": 230.5, "voltage_l2_v": 231.25, "voltage_l3_v": 229.75,
                "current_l1_a": 71000.0, "current_l2_a": 70500.5, "current_l3_a": 72000.25,
                "power_l1_w": 16.4e6, "power_l2_w": 16.5e6, "power_l3_w": 17.35e6, "power_w": 50.25e6,
                "apparent_va": 51e6, "reactive_var": -1.25e6, "frequency_hz": 59.98400115966797,
                "energy_wh": 123455995904.0,
            },
        ),
        # words swapped by a wrong setting in the meter: the power passes, the frequency shows it
        ({19026: "b0444c3f", 19050: "ef9e426f"}, {"power_w": -7.139978e-10, "frequency_hz": RANGE}),
        ({19026: NAN, 19050: "00000000"}, {"power_w": SENTINEL, "frequency_hz": RANGE}),
        ({19026: "7f800000", 19050: "42820000"}, {"power_w": RANGE, "frequency_hz": 65.0}),
    ],
    "xerus-pdu": [
        (
            {12296: "43cf8000 44e11000", 12306: "49989680 499eb100 3f7624dd", 12322: "4270147b c8aae600"},
            {
                "voltage_v": 415.0, "current_a": 1800.5, "power_w": 1.25e6, "apparent_va": 1.3e6,
                "power_factor_ratio": 0.9615, "frequency_hz": 60.02000045776367, "reactive_var": -350e3,
            },
        ),
        ({12306: "c9989680", 12310: "3f800001"}, {"power_w": RANGE, "power_factor_ratio": RANGE}),
    ],
    "eastron-sdm630": [
        (
            {
                0: "43668000 43674000 4365c000", 6: "428f0000 428c8000 42918000", 12: "46802000 4680e800 46878c00",
                52: "47444a00", 56: "47473800", 60: "c49c5000", 62: "3f7c28f6", 70: "4247e148", 72: "42f70000 40e80000",
            },
            {
                "voltage_l1_v": 230.5, "voltage_l2_v": 231.25, "voltage_l3_v": 229.75,
                "current_l1_a": 71.5, "current_l2_a": 70.25, "current_l3_a": 72.75,
                "power_l1_w": 16.4e3, "power_l2_w": 16.5e3, "power_l3_w": 17.35e3, "power_w": 50.25e3,
                "apparent_va": 51e3, "reactive_var": -1250.5, "power_factor_ratio": 0.985, "frequency_hz": 49.97,
                "energy_wh": 123.5e3, "energy_export_wh": 7.25e3,
            },
        ),
        ({52: NAN, 70: "00000000"}, {"power_w": SENTINEL, "frequency_hz": RANGE, "current_l1_a": 0.0}),
    ],
    "schneider-3000": [
        (
            {
                2999: "428e0000 428d0000 42908000", 3027: "43668000 43674000 4365c000",
                3053: "41833333 41840000 418acccd 42490000", 3067: "bfa00000", 3075: "424c0000", 3083: "3fa00000",
                3109: "4247e148", 3203: "0000001cbe991a14 0000000000001267",
            },
            {
                "current_l1_a": 71.0, "current_l2_a": 70.5, "current_l3_a": 72.25,
                "voltage_l1_v": 230.5, "voltage_l2_v": 231.25, "voltage_l3_v": 229.75,
                "power_l1_w": 16.4e3, "power_l2_w": 16.5e3, "power_l3_w": 17.35e3, "power_w": 50.25e3,
                "reactive_var": -1250.0, "apparent_va": 51e3, "power_factor_4q_ratio": 1.25, "frequency_hz": 49.97,
                "energy_wh": 123456789012.0, "energy_export_wh": 4711.0,
            },
        ),
        (
            {3059: NAN, 3109: "ffc00000", 3203: "8000000000000000 ffffffffffffffff"},
            {"power_w": SENTINEL, "frequency_hz": SENTINEL, "energy_wh": SENTINEL, "energy_export_wh": RANGE},
        ),
    ],
    "schneider-3000-int32": [
        (
            {
                2999: "00011558 00011364 00011a3a", 3053: "000280aa 00028488 0002a5bc 0007aac8", 3067: "fffe17b8",
                3075: "0007c830", 3083: "fffffc27", 3203: "000000000001e240 000000000000002f",
            },
            {
                "current_l1_a": 71.0, "current_l2_a": 70.5, "current_l3_a": 72.25,
                "power_l1_w": 1.640100e6, "power_l2_w": 1.65e6, "power_l3_w": 1.735e6, "power_w": 5.024720e6,
                "reactive_var": -1.25e6, "apparent_va": 5.1e6, "power_factor_ratio": -0.985,
                "energy_wh": 123456e3, "energy_export_wh": 47e3,
            },
        ),
        (
            {2999: "ffffffff", 3059: "80000000", 3075: "ffffffff", 3083: "80000000"},
            {"current_l1_a": SENTINEL, "power_w": SENTINEL, "apparent_va": SENTINEL, "power_factor_ratio": SENTINEL},
        ),
        ({3059: "7fffffff"}, {"power_w": RANGE}),
    ],
}  # fmt: skip
