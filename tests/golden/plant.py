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
    "liebert-hpc": [
        (
            {482: "0001 0001", 490: "00b4", 492: "0078", 494: "007b", 496: "012c", 498: "0163", 504: "0042 ffce",
             509: "0001 0000"},
            {
                "status_bits": 1.0, "operating_state": 1.0, "return_c": 18.0, "supply_c": 12.0, "setpoint_c": 12.3,
                "condenser_in_c": 30.0, "condenser_out_c": 35.5, "compressor_percent": 66.0, "ambient_c": -5.0,
                "pump1_state": 1.0, "pump2_state": 0.0,
            },
        ),
        ({492: "8000", 504: "0065", 509: "ffff"},
         {"supply_c": RANGE, "compressor_percent": RANGE, "pump1_state": RANGE}),
    ],
    "vertiv-dcd": [
        (
            {82: "cccd41c4", 102: "000041dc", 122: "999a4171", 126: "00004170", 130: "00004150", 134: "cccd4188",
             138: "999a4039", 146: "0348", 150: "0384", 154: "0438", 158: "0348", 162: "0014"},
            # the examples of the manual's own table
            {
                "exhaust_c": 24.6, "cabinet_c": 27.5, "valve_c": 15.1, "valve_setpoint_c": 15.0, "supply_c": 13.0,
                "return_c": 17.1, "difference_kpa": 0.0029, "fan1_rpm": 840.0, "fan2_rpm": 900.0, "fan3_rpm": 1080.0,
                "fan4_rpm": 840.0, "valve_percent": 20.0,
            },
        ),
        # a sensor that is not there
        ({130: "ffffffff", 158: "ffff", 162: "ffff"},
         {"supply_c": SENTINEL, "fan4_rpm": SENTINEL, "valve_percent": SENTINEL}),
        # the words in the usual order are no temperature
        ({130: "41500000"}, {"supply_c": 2.3326e-41}),
    ],
    "abb-drive": [
        (
            {0: "047f 4e20 0000 0387 3a98"},
            {
                "control_bits": 1151.0, "reference_percent": 100.0, "speed_percent": 75.0, "ready_state": 1.0,
                "running_state": 1.0, "tripped_state": 0.0, "warning_state": 1.0, "at_setpoint_state": 1.0,
                "remote_state": 1.0,
            },
        ),
        ({3: "0008 b1e0"}, {"tripped_state": 1.0, "running_state": 0.0, "speed_percent": -100.0}),
    ],
    "deif-agc": [
        (
            {501: "2af8", 504: "18ce", 507: "1388", 513: "0041", 516: "01a4", 519: "04e2", 523: "ff38", 527: "04fe",
             538: "ff9f 2af9", 545: "1389", 554: "0001 e240", 576: "05dc"},
            {
                "voltage_l12_v": 11000.0, "voltage_l1_v": 6350.0, "frequency_hz": 50.0, "current_l1_a": 65.0,
                "power_l1_w": 420e3, "power_w": 1.25e6, "reactive_var": -200e3, "apparent_va": 1.278e6,
                "power_factor_ratio": -0.97, "busbar_l12_v": 11001.0, "busbar_hz": 50.01, "run_s": 123456 * 3600.0,
                "speed_rpm": 1500.0,
            },
        ),
        ({507: "ffff", 519: "8000"}, {"frequency_hz": RANGE, "power_w": RANGE}),
    ],
    "cat-emcp4": [
        (
            {99: "2af8 0041 1900 7c29", 104: "b080 774c7760", 110: "0041 0042 0043", 116: "773bb698 7739ae00 773db0a0",
             200: "2d60"},
            {
                "voltage_v": 11000.0, "current_a": 65.0, "frequency_hz": 50.0, "power_factor_ratio": 0.94000244140625,
                # 45184 / 128 - 251; 2,001,500,000 - 2,000,000,000
                "load_percent": 102.0, "power_w": 1.5e6, "current_l1_a": 65.0, "current_l2_a": 66.0,
                "current_l3_a": 67.0, "power_l1_w": 402072.0, "power_l2_w": 268800.0, "power_l3_w": 531616.0,
                "coolant_c": 90.0,
            },
        ),
        # a stopped set: no power, no frequency
        ({101: "0000", 105: "77359400"}, {"frequency_hz": 0.0, "power_w": 0.0}),
        ({99: "fb00", 101: "ffff", 105: "00000000"}, {"voltage_v": RANGE, "frequency_hz": RANGE, "power_w": RANGE}),
    ],
}  # fmt: skip
