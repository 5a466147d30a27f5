"""Register lists of any content: a draft that is TOML, or an error that names the list."""

from __future__ import annotations

import json
import random
import tomllib

from hypothesis import given, settings
from hypothesis import strategies as st

from rampd.drivers.importers import lists
from rampd.drivers.maphead import MapError
from rampd.drivers.maps import DeviceMap
from tests.property.test_maps import use
from tests.unit.test_importers import CSV, EXPORTER, RACKMON, REQUESTS, TELEGRAF

LISTS = {"telegraf": TELEGRAF, "requests": REQUESTS, "exporter": EXPORTER, "rackmon": json.dumps(RACKMON), "csv": CSV}
CELLS = (
    "", "0", "-1", "1e999", "nan", "9" * 5000, "0x10", "[", "]", "{", "}", ",", ";", ":", "- ", "&a", "*a", '"', "\\n",
    "\x00", "\ud7ff", "\u202e", "null", "true", "65535", "65536", "[0, 1]", '"FLOAT64-IEEE"', '"STRING"', '"sf": "X"',
    "address = [65535, 65536]", "scale = 0.0", "length", "\t", "\r", "FLAGS", "LONG", "3.5", "2020-99-99", "!!python/x",
)  # fmt: skip


def garbled(text: str, seed: int, times: int) -> str:
    source = random.Random(seed)
    for _ in range(times):
        words = text.split(" ")
        at = source.randrange(len(words))
        words[at] = source.choice((source.choice(CELLS), words[source.randrange(len(words))], words[at] * 2))
        text = " ".join(words)
    return text


def judge(text: str, form: str) -> None:
    try:
        found = lists.read(text, "list", form=form, pick="")
    except MapError as error:
        assert str(error).startswith("list"), error
        return
    tomllib.loads(found.text)
    assert (found.map is None) == bool(found.open)
    if isinstance(found.map, DeviceMap):
        use(found.map)


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(sorted(LISTS)), st.integers(0, 2**32), st.integers(1, 4), st.sampled_from(("", *lists.FORMATS)))
def test_a_garbled_list_is_a_draft_or_an_error(name: str, seed: int, times: int, form: str) -> None:
    judge(garbled(LISTS[name], seed, times), form if seed % 4 == 0 else "")


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200), st.sampled_from(("", *lists.FORMATS)))
def test_any_text_is_a_draft_or_an_error(text: str, form: str) -> None:
    judge(text, form)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
TREES = st.recursive(
    LEAVES, lambda kids: st.lists(kids, max_size=3) | st.dictionaries(st.text(max_size=5), kids, max_size=3)
)
REGISTER = st.fixed_dictionaries(
    {"begin": st.integers(-5, 70000), "length": st.integers(-1, 9), "name": st.text(max_size=20)},
    optional={
        "format": st.sampled_from(["INTEGER", "FLOAT", "FLAGS", "STRING", "LONG", "RAW"]), "precision": st.integers(),
        "scale": st.floats(), "shift": st.floats(), "sign": st.booleans(), "endian": st.sampled_from("LB"),
        "flags": TREES,
    },
)  # fmt: skip
POINT = st.fixed_dictionaries(
    {
        "name": st.text(max_size=8), "size": st.integers(-2, 200),
        "type": st.sampled_from(["int16", "uint64", "float32", "string", "sunssf", "pad", "x"]),
    },
    optional={"sf": st.integers() | st.text(max_size=3), "units": st.text(max_size=6)},
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(REGISTER, max_size=6), TREES)
def test_any_rackmon_tree(registers: list[dict[str, object]], extra: object) -> None:
    judge(json.dumps({"name": "x", "registers": registers, "extra": extra}), "rackmon")
    judge(json.dumps({"registers": extra}), "rackmon")


@settings(max_examples=300, deadline=None)
@given(st.integers(), st.lists(POINT, max_size=6), st.lists(POINT, max_size=3), TREES)
def test_any_sunspec_tree(
    number: int, points: list[dict[str, object]], inner: list[dict[str, object]], extra: object
) -> None:
    judge(json.dumps({"id": number, "group": {"points": points, "groups": [{"points": inner}]}}), "sunspec")
    judge(json.dumps({"id": number, "group": {"points": points, "groups": extra}}), "sunspec")
