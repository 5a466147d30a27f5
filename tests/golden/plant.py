"""Golden words of racks, cooling, drives and gensets, written down by hand."""

from __future__ import annotations

from typing import Final

from rampd.ext.codes import RANGE, SENTINEL
from tests.golden.vector import Vectors

GOLDEN: Final[Vectors] = {
    "rack-power": [
        (
            {0: "0001e240 000203a0 001e 0011 000101d0 0002"},
            {"power_w": 123456.0, "limit_w": 132000.0, "deadman_s": 30.0, "deadman_left_s": 17.0, "fallback_w": 66000.0,
             "control_state": 2.0},
        ),
        ({0: "ffffffff ffffffff", 8: "0004"}, {"power_w": SENTINEL, "limit_w": SENTINEL, "control_state": RANGE}),
        ({0: "01312d00 01312d01"}, {"power_w": 2e7, "limit_w": RANGE}),
    ],
}  # fmt: skip
