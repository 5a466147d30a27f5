"""Site files that an accident has gone over: they load, or they are refused with problems; nothing else happens."""

from __future__ import annotations

import os
import random
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from rampd.daemon import sitecheck
from rampd.daemon.config import Config
from rampd.daemon.site import compose
from rampd.daemon.sitefile import ConfigError
from tests.sites import EXAMPLES, NODES, RACKS, SITE

EXAMPLES_RUN = 20_000 if os.environ.get("RAMPD_LONG") else 400
FILES = (SITE, RACKS, NODES)
GOOD = {name: (EXAMPLES / "bench-12" / name).read_text() for name in FILES}
CELLS = (
    "", " ", "0", "-1", "1e308", "1e999", "nan", "inf", "-inf", "true", "0x10", "1,5", "99999", "main", "pdu-001",
    "feeder-1", "gpu-001", "poi", "127.23.0.1:1502", "127.0.0.1:65536", ":1", "rack-power", "orv3-rpu", "../x", "\x00",
    "é", "\u2028", "'", '"', '"""', "x" * 300, "[", "[[site]]", "{", "#", "=", "2000", "100000",
)  # fmt: skip


def load(texts: dict[str, bytes]) -> Config | None:
    """The site, or None when it was refused in good order."""
    with tempfile.TemporaryDirectory() as folder:
        for name, data in texts.items():
            (Path(folder) / name).write_bytes(data)
        try:
            return sitecheck.load(Path(folder) / SITE)
        except ConfigError as error:
            assert error.problems
            for problem in error.problems:
                assert problem.file.startswith(folder)
                assert problem.line >= 1
                assert problem.message
                assert problem.remedy
                whole = texts[Path(problem.file).name]
                assert problem.line <= whole.count(b"\n") + whole.count(b"\r") + 1, problem
            return None


def garble(source: random.Random, text: str, separator: str) -> str:
    """Deletes, doubles, swaps or garbles a line or a cell."""
    lines = text.split("\n")
    at = source.randrange(len(lines))
    match source.randrange(7):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[source.randrange(len(lines))])
        case 2:
            lines[at] = lines[source.randrange(len(lines))]
        case 3 | 4:
            cells = lines[at].split(separator)
            cells[source.randrange(len(cells))] = source.choice(CELLS)
            lines[at] = separator.join(cells)
        case 5:
            cut = source.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:cut] + source.choice(CELLS) + lines[at][cut + source.randrange(4) :]
        case 6:
            words = lines[at].split(separator)
            source.shuffle(words)
            lines[at] = separator.join(words)
    return "\n".join(lines)


@settings(max_examples=EXAMPLES_RUN, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6))
def test_a_garbled_site_is_taken_or_refused_and_what_is_taken_can_be_composed(seed: int, times: int) -> None:
    source = random.Random(seed)
    texts = dict(GOOD)
    for _ in range(times):
        name = source.choice(FILES)
        texts[name] = garble(source, texts[name], " " if name == SITE else ",")
    config = load({name: text.encode("utf-8", "surrogatepass") for name, text in texts.items()})
    if config is not None:
        compose(config)


@settings(max_examples=EXAMPLES_RUN // 4, deadline=None)
@given(st.sampled_from(FILES), st.binary(max_size=40), st.integers(0, 3000), st.integers(0, 40))
def test_bytes_that_fell_into_a_file(name: str, data: bytes, at: int, over: int) -> None:
    texts = {file: text.encode() for file, text in GOOD.items()}
    whole = texts[name]
    at %= len(whole) + 1
    texts[name] = whole[:at] + data + whole[at + over :]
    load(texts)


@settings(max_examples=EXAMPLES_RUN // 4, deadline=None)
@given(st.sampled_from(FILES), st.text(max_size=200))
def test_something_else_altogether(name: str, text: str) -> None:
    load({file: good.encode() for file, good in GOOD.items()} | {name: text.encode("utf-8", "surrogatepass")})
