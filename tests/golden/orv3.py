"""Golden words of Open Rack V3 units, written down by hand."""

from __future__ import annotations

from typing import Final

from rampd.ext.codes import RANGE
from tests.golden.vector import Vectors, text

GOLDEN: Final[Vectors] = {
    "orv3-rpu": [
        (
            {
                36864: "3039 0140 01b8 0bb8 ff9c", 36873: "004b 0e10 0e2e 0e11 0e12", 36886: "0002",
                37376: "8001 0040 1050", 41005: "1b58",
                6604: text("AALC-8", 8), 6616: text("RPU0042", 8), 6632: text("1.2.3", 4),
            },
            {
                "flow_lpm": 1234.5, "supply_c": 32.0, "return_c": 44.0, "outlet_kpa": 300.0, "inlet_kpa": -10.0,
                "pump_percent": 75.0, "pump1_rpm": 3600.0, "pump2_rpm": 3630.0, "pump3_rpm": 3601.0,
                "pump4_rpm": 3602.0, "reservoir_state": 2.0, "sensor_alarm_bits": 32769.0, "pump_alarm_bits": 64.0,
                # internal (bit 4) and optional 1 (bit 6) leak, and the pan's sensor fails (bit 12)
                "leak_bits": 5.0, "it_stop_bits": 0.0, "leak_relay_bits": 0.0, "leak_sensor_bits": 1.0,
                "unit_w": 7000.0, "model": "AALC-8", "serial": "RPU0042", "firmware": "1.2.3",
            },
        ),
        # the relays of pan and floor (bits 10 and 11) are no leak, nor are a stop line and a failed sensor
        (
            {37378: "2c01"},
            {"leak_bits": 0.0, "leak_relay_bits": 3.0, "leak_sensor_bits": 2.0, "it_stop_bits": 1.0},
        ),
        # the pan and the floor themselves are
        ({37378: "0300"}, {"leak_bits": 48.0, "leak_relay_bits": 0.0}),
        (
            {36864: "ffff ffff ffff 8000"},
            {"flow_lpm": RANGE, "supply_c": RANGE, "return_c": RANGE, "outlet_kpa": RANGE},
        ),
        ({36865: "0385", 36873: "0065"}, {"supply_c": RANGE, "pump_percent": RANGE}),
    ],
    "orv3-rpu2": [
        (
            {
                36864: "0046 0bb8 0bb9 0bba", 36884: "0001", 36886: "0002", 36888: "0004", 37267: "0ffa",
                37270: "04d2", 37519: "0420 0002", 37527: "0898 044c 044d 0001", 37537: "01f4 03e8", 37549: "01c2 0136",
            },
            {
                "pump_percent": 70.0, "pump1_rpm": 3000.0, "pump2_rpm": 3001.0, "pump3_rpm": 3002.0,
                "pump1_alarm_bits": 1.0, "pump2_alarm_bits": 2.0, "pump3_alarm_bits": 4.0,
                "voltage_l1_v": 409.0, "current_l1_a": 12.34, "leak_bits": 1056.0, "pump_level_bits": 2.0,
                "flow_lpm": 220.0, "fan_rack1_lpm": 110.0, "fan_rack2_lpm": 110.1, "flow_meter_bits": 1.0,
                "valve1_percent": 50.0, "valve2_percent": 100.0, "return_c": 45.0, "supply_c": 31.0,
            },
        ),
        # bits that the list does not name are not read as leaks
        ({37519: "08c4"}, {"leak_bits": 0.0}),
        ({37527: "ffff", 37550: "ffff", 36864: "0065"}, {"flow_lpm": RANGE, "supply_c": RANGE, "pump_percent": RANGE}),
    ],
    "orv3-psu": [
        (
            {
                0: text("03-100038", 8), 8: text("PSU-3K", 8), 24: text("SN-0815", 16), 48: text("2.01", 4),
                60: "0100 0800 0004 0020 0302", 67: "2ee0 2ee1 0c80 f380", 79: "c8cd 0f05", 82: "5dc5 6680 003c",
                86: "01fc 5ef1 4500 3000",
            },
            {
                "part": "03-100038", "model": "PSU-3K", "serial": "SN-0815", "firmware": "2.01",
                "general_alarm_bits": 256.0, "pfc_alarm_bits": 2048.0, "dcdc_alarm_bits": 4.0,
                # Modbus and PMBus active (bits 8 and 9) are no alarm
                "temperature_alarm_bits": 32.0, "link_alarm_bits": 2.0,
                "fan0_rpm": 12000.0, "fan1_rpm": 12001.0, "inlet_c": 25.0, "outlet_c": -25.0,
                "output_v": 50.2001953125, "output_a": 60.078125, "output_w": 3000.625, "bulk_v": 410.0,
                "frequency_hz": 60.0, "power_factor_ratio": 0.9921875, "power_w": 3038.125, "input_v": 276.0,
                "input_a": 12.0,
            },
        ),
        ({84: "0000", 86: "0201", 87: "ffff"},
         {"frequency_hz": RANGE, "power_factor_ratio": RANGE, "power_w": 8191.875}),
    ],
    "orv3-hpr-psu": [
        (
            {
                0: text("03-100240", 8), 8: text("HPR-5K5", 8), 24: text("SN-4711", 16), 48: text("1.10", 4),
                60: "0a00 1100 0001 0100 0001", 65: "abe0 5000 2ee0 2ee1 1900 1f40",
                79: "c733 1b85", 82: "abe8 6680 003c",
                86: "01fc acf1 4500 5000", 94: "0003", 121: "0005 0007",
            },
            {
                "part": "03-100240", "model": "HPR-5K5", "serial": "SN-4711", "firmware": "1.10",
                "general_alarm_bits": 2560.0, "pfc_alarm_bits": 4352.0, "dcdc_alarm_bits": 1.0,
                "temperature_alarm_bits": 256.0, "link_alarm_bits": 1.0,
                "power_now_w": 5500.0, "input_now_a": 20.0, "fan0_rpm": 12000.0, "fan1_rpm": 12001.0,
                "inlet_c": 50.0, "outlet_c": 62.5, "output_v": 49.7998046875, "output_a": 110.078125,
                "output_w": 5501.0, "bulk_v": 410.0, "frequency_hz": 60.0, "power_factor_ratio": 0.9921875,
                "power_w": 5534.125, "input_v": 276.0, "input_a": 20.0, "pulse_state": 1.0, "ac_loss_count": 5.0,
                "pulse_count": 7.0,
            },
        ),
        ({69: "8000", 88: "ffff"}, {"inlet_c": RANGE, "input_v": RANGE}),
    ],
    "orv3-bbu": [
        (
            {
                0: text("Acme", 8), 8: text("BBU-3K", 8), 56: text("3.3", 4), 64: text("BBU-99", 16),
                104: "8001 0010", 107: "0002 0040", 126: "0064 0063 bb80", 135: "000c", 142: "005f", 311: "0001",
            },
            {
                "manufacturer": "Acme", "model": "BBU-3K", "firmware": "3.3", "serial": "BBU-99",
                "unit_alarm_bits": 32769.0, "permanent_failure_bits": 16.0, "charging_state": 0.0,
                "discharging_state": 1.0, "battery_bits": 64.0, "soc_percent": 100.0, "absolute_soc_percent": 99.0,
                "pack_v": 48.0, "cycle_count": 12.0, "soh_percent": 95.0, "supply_ok_state": 1.0,
            },
        ),
        ({107: "ffff", 126: "0065"}, {"charging_state": 1.0, "discharging_state": 1.0, "soc_percent": RANGE}),
    ],
    "orv3-hpr-cbu": [
        (
            {
                0: text("Acme", 8), 8: text("CBU-20", 8), 64: text("CBU-7", 16),
                90: "0ba6 0bd8 0c0a 0c3c 0050 004f bb80 fc18 fc7c", 104: "0080", 107: "0009", 146: "07d0 c350",
                159: "c351", 224: "c738 b798",
            },
            {
                "manufacturer": "Acme", "model": "CBU-20", "serial": "CBU-7",
                "inlet_c": 25.05, "outlet_c": 30.05, "capacitor_c": 35.05, "converter_c": 40.05,
                "soc_percent": 80.0, "absolute_soc_percent": 79.0, "pack_v": 48.0, "pack_a": -10.0, "average_a": -9.0,
                "unit_alarm_bits": 128.0, "charging_state": 1.0, "discharging_state": 0.0, "fault_state": 1.0,
                "standby_state": 0.0, "discharge_a": 20.0, "bus_v": 50.0, "output_v": 50.001, "bus_highest_v": 51.0,
                "bus_lowest_v": 47.0,
            },
        ),
        # 0 Kelvin is no temperature
        ({90: "0000", 94: "ffff"}, {"inlet_c": RANGE, "soc_percent": RANGE}),
    ],
}  # fmt: skip
