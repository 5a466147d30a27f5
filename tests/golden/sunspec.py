"""Golden words of SunSpec models, written down by hand."""

from __future__ import annotations

from typing import Final

from rampd.ext.codes import SENTINEL
from tests.golden.vector import NAN, Vectors

GOLDEN: Final[Vectors] = {
    "sunspec-213": [
        (
            {(213, 2): "478aac00", (213, 10): "4657a000", (213, 26): "426fef9e",
             (213, 28): "4c3fb044 4b7a3e80 4b7bc520 4b845eb8", (213, 36): "4c428cb0",
             (213, 44): "ca559f80"},
            {
                "current_a": 71000.0, "voltage_v": 13800.0, "frequency_hz": 59.98400115966797, "power_w": 50.25e6,
                "power_l1_w": 16.4e6, "power_l2_w": 16.5e6, "power_l3_w": 17.35e6, "apparent_va": 51e6,
                "reactive_var": -3.5e6,
            },
        ),
        ({(213, 28): NAN, (213, 26): NAN}, {"power_w": SENTINEL, "frequency_hz": SENTINEL}),
    ],
}  # fmt: skip
