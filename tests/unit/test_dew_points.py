"""Where a loop's dew point comes from: its own CDU, or a device of the site that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from rampd.daemon import sitecheck, summary
from rampd.daemon.site import Composed, compose
from rampd.ext import views
from tests.sites import NODES, SITE, Edit, problems, site

MAPS = Path(__file__).resolve().parents[2] / "drivers" / "maps"
OWN_MAPS = (SITE, "min_mw = 0", 'min_mw = 0\nmap_folder = "."')
WET = (SITE, '"orv3-rpu"', '"wet-rpu"')
LEAST = "min_flow_lpm = 100\n"


def wet(folder: Path, name: str, like: str, more: str = "") -> None:
    """A map of the site itself: one that ships, which shows a dew point as well."""
    text = (MAPS / f"{like}.toml").read_text(encoding="utf-8").replace(f'"{like}"', f'"{name}"')
    dew = f'dew_point_c = {{ at = 45000, type = "s16", scale = 0.1, range = [-40.0, 60.0]{more} }}\n'
    (folder / f"{name}.toml").write_text(text.replace("[values]\n", f"[values]\n{dew}"), encoding="utf-8")


def made(folder: Path, *edits: Edit, more: str = "") -> Composed:
    path = site(folder, OWN_MAPS, *edits)
    wet(folder, "wet-rpu", "orv3-rpu", more)
    wet(folder, "wet-pdu", "xerus-pdu", more)
    return compose(sitecheck.load(path))


def sources(composed: Composed) -> list[str | None]:
    """The device that shows each loop's dew point, from the slots of the core."""
    names = {point.slots["dew_point_c"]: point.id for point in composed.points if "dew_point_c" in point.slots}
    limits = views.limits(composed.limits)
    return [names.get(limits.dew_slot[k]) for k in range(limits.site.loops)]


FROM = {
    # edits -> who shows the dew point of the GPU loop and of the ASIC loop
    "no map has one":       ((), [None, None]),
    "its own CDU":          ((WET,), ["gpu-loop-1", None]),
    "that of the other":    ((WET, WET, (SITE, LEAST, LEAST + 'dew_point_from = "asic-loop-1"\n')),
                             ["asic-loop-1", "asic-loop-1"]),
    "a measured node":      (((NODES, "xerus-pdu", "wet-pdu"), (SITE, LEAST, LEAST + 'dew_point_from = "pdu-001"\n')),
                             ["pdu-001", None]),
}  # fmt: skip


@pytest.mark.parametrize(("edits", "expected"), FROM.values(), ids=FROM.keys())
def test_where_it_comes_from(tmp_path: Path, edits: tuple[Edit, ...], expected: list[str | None]) -> None:
    composed = made(tmp_path, *edits)
    assert sources(composed) == expected
    count = sum(name is not None for name in expected)
    assert summary.summary(composed)["loops_with_dew_point"] == count
    assert any(f"cooling    2 loops, {count or 'none'} with a dew point" in line for line in summary.lines(composed))


@pytest.mark.parametrize(("more", "stale_s"), [("", 10.0), (", slow = true", 100.0)])
def test_one_that_is_read_seldom_is_believed_for_longer(tmp_path: Path, more: str, stale_s: float) -> None:
    limits = views.limits(made(tmp_path, WET, more=more).limits)
    assert limits.dew_stale_ns[0] == round(stale_s * 1e9)


WRONG = {
    # who is named -> what is said, and the remedy
    "asic-loop-1": ("asic-loop-1 shows no dew point, its map is orv3-rpu", "whose map has the value dew_point_c"),
    "gpu-loop-2":  ("there is no device 'gpu-loop-2'", "did you mean 'gpu-loop-1'?"),
    # A rack measures no air.
    "gpu-001":     ("there is no device 'gpu-001'", "did you mean 'pdu-001'?"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_who_shows_none_cannot_be_named(tmp_path: Path, name: str) -> None:
    path = site(tmp_path, (SITE, LEAST, LEAST + f'dew_point_from = "{name}"\n'))
    (problem,) = problems(path)
    assert problem.message == f"loop gpu-loop-1: dew_point_from: {WRONG[name][0]}"
    assert problem.remedy.endswith(WRONG[name][1])
