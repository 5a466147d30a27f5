"""Requests for registers: tables that a person can check, and the plans of the maps that ship."""

from __future__ import annotations

import pytest

from rampd.drivers import maps
from rampd.drivers.plan import plan
from rampd.drivers.register import Encoding, Register


def register(text: str) -> Register:
    """'name:at type [fN] [slow] [sfN]': function and run-time factor."""
    name, rest = text.split(":")
    at, kind, *more = rest.split()
    function = next((int(word[1:]) for word in more if word[0] == "f"), 3)
    factor = next((int(word[2:]) for word in more if word[:2] == "sf"), None)
    return Register(name, int(at), Encoding[kind.upper()], function=function, slow="slow" in more, factor_at=factor)


def shown(wanted: list[str], **limits: object) -> list[str]:
    reads = plan([register(text) for text in wanted], **limits)  # type: ignore[arg-type]
    return [
        f"fc{read.function} {read.at}+{read.count}{' slow' if read.slow else ''}: "
        + " ".join(r.name for r in read.registers)
        for read in reads
    ]


@pytest.mark.parametrize(
    ("wanted", "limits", "reads"),
    [
        ([], {}, []),
        (["a:0 u16"], {}, ["fc3 0+1: a"]),
        (["b:2 f32", "a:0 f32"], {}, ["fc3 0+4: a b"]),
        (["a:0 u16", "b:9 u16"], {"max_gap": 8}, ["fc3 0+10: a b"]),
        (["a:0 u16", "b:10 u16"], {"max_gap": 8}, ["fc3 0+1: a", "fc3 10+1: b"]),
        (["a:0 u16", "b:1 u16"], {"max_gap": 0}, ["fc3 0+2: a b"]),
        (["a:0 u16", "b:2 u16"], {"max_gap": 0}, ["fc3 0+1: a", "fc3 2+1: b"]),
        (["a:0 f64", "b:4 f64", "c:8 u16"], {"max_regs": 8}, ["fc3 0+8: a b", "fc3 8+1: c"]),
        (["a:0 u16", "b:3 f64"], {"max_regs": 6}, ["fc3 0+1: a", "fc3 3+4: b"]),
        (["a:0 u16", "b:1 u16 f4"], {}, ["fc3 0+1: a", "fc4 1+1: b"]),
        (["a:0 u16", "b:1 u16 slow", "c:2 u16"], {}, ["fc3 0+3: a c", "fc3 1+1 slow: b"]),
        (["a:0 u16", "b:1 u16"], {"barriers": [1]}, ["fc3 0+1: a", "fc3 1+1: b"]),
        (["a:0 u16", "b:5 u16"], {"barriers": [3]}, ["fc3 0+1: a", "fc3 5+1: b"]),
        (["a:0 u16", "b:1 u16"], {"barriers": [0, 2]}, ["fc3 0+2: a b"]),
        (["a:0 u32"], {"barriers": [1]}, ["fc3 0+2: a"]),
        (["w:16 s16 sf20"], {}, ["fc3 16+5: w"]),
        (["w:16 s16 sf12", "v:17 s16 sf12"], {}, ["fc3 12+6: w v"]),
        (["a:0 u16", "w:2 s16 sf110"], {"max_regs": 110}, ["fc3 0+1: a", "fc3 2+109: w"]),
        (["low:3 u16", "all:3 u16"], {}, ["fc3 3+1: low all"]),
        (["a:0 u32", "b:1 u32"], {}, ["fc3 0+3: a b"]),
        (["a:65534 u32"], {}, ["fc3 65534+2: a"]),
    ],
)  # fmt: skip
def test_plans(wanted: list[str], limits: dict[str, object], reads: list[str]) -> None:
    assert shown(wanted, **limits) == reads


@pytest.mark.parametrize(
    ("wanted", "max_regs", "message"),
    [
        ("a:0 f64", 3, "a spans 4 registers, the device answers 3 at most"),
        ("w:0 s16 sf50", 50, "w spans 51 registers, the device answers 50 at most"),
    ],
)
def test_a_value_that_fits_no_request_is_refused(wanted: str, max_regs: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan([register(wanted)], max_regs=max_regs)


PLANS = {
    # one request for all that is fast, the energy by itself and rarely
    "janitza-umg": [
        "fc3 19000+52: voltage_l1_v voltage_l2_v voltage_l3_v current_l1_a current_l2_a current_l3_a power_l1_w "
        "power_l2_w power_l3_w power_w apparent_va reactive_var frequency_hz",
        "fc3 19068+2 slow: energy_wh",
    ],
    # pump speeds and the leak word lie 500 registers apart
    "orv3-rpu": [
        "fc3 36864+14: flow_lpm supply_c return_c outlet_kpa inlet_kpa pump_percent pump1_rpm pump2_rpm pump3_rpm "
        "pump4_rpm",
        "fc3 37378+1: leak_bits it_stop_bits leak_relay_bits leak_sensor_bits",
        "fc3 36886+1 slow: reservoir_state",
        "fc3 37376+2 slow: sensor_alarm_bits pump_alarm_bits",
        "fc3 41005+1 slow: unit_w",
    ],
    "rack-power": ["fc3 0+9: power_w limit_w deadman_s deadman_left_s fallback_w control_state"],
    # counted from the ID register; one request holds all of the model that is used
    "sunspec-213": [
        "fc3 2+44: current_a current_l1_a current_l2_a current_l3_a voltage_v frequency_hz power_w power_l1_w "
        "power_l2_w power_l3_w apparent_va reactive_var",
        "fc3 60+10 slow: energy_export_wh energy_wh",
    ],
    # no more models than there are: one request each, value and factor together
    "sunspec-704": [
        "fc3 10+107: power_w",
        "fc3 14+41: enabled_state limit_percent fallback_percent fallback_state deadman_s deadman_left_s",
        "fc3 26+20 slow: rating_w",
    ],
    # no request spans a hole: the PDU refuses it
    "xerus-pdu": [
        "fc3 12296+4: voltage_v current_a",
        "fc3 12306+6: power_w apparent_va power_factor_ratio",
        "fc3 12322+4 slow: frequency_hz reactive_var",
    ],
}


def test_the_plans_of_the_maps_that_ship() -> None:
    found = {}
    for name in PLANS:
        one = maps.load(name)
        bases = {model: 1000 * model for model in one.extents()}
        reads = one.reads(bases)
        found[name] = [
            f"fc{r.function} {r.at % 1000 if bases else r.at}+{r.count}{' slow' if r.slow else ''}: "
            + " ".join(v.name for v in r.registers)
            for r in reads
        ]
    assert found == PLANS
