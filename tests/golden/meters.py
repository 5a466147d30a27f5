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
            {12296: "43cf8000 44e11000", 12306: "49989680 499eb100", 12322: "4270147b"},
            {"voltage_v": 415.0, "current_a": 1800.5, "power_w": 1.25e6, "apparent_va": 1.3e6,
             "frequency_hz": 60.02000045776367},
        ),
        ({12306: "c9989680"}, {"power_w": RANGE}),
    ],
}  # fmt: skip
