"""Golden words of Open Rack V3 units, written down by hand."""

from __future__ import annotations

from typing import Final

from rampd.ext.codes import RANGE
from tests.golden.vector import Vectors

GOLDEN: Final[Vectors] = {
    "orv3-rpu": [
        (
            {36864: "3039 0140 01b8 0bb8 ff9c", 36873: "004b 0e10 0e2e", 37377: "0040 1050"},
            {
                "flow_lpm": 1234.5, "supply_c": 32.0, "return_c": 44.0, "outlet_kpa": 300.0, "inlet_kpa": -10.0,
                "pump_percent": 75.0, "pump1_rpm": 3600.0, "pump2_rpm": 3630.0, "pump_alarm_bits": 64.0,
                "leak_bits": 5.0,
            },
        ),
        (
            {36864: "ffff ffff ffff 8000"},
            {"flow_lpm": RANGE, "supply_c": RANGE, "return_c": RANGE, "outlet_kpa": RANGE},
        ),
        ({36865: "0385", 36873: "0065"}, {"supply_c": RANGE, "pump_percent": RANGE}),
    ],
}  # fmt: skip
