"""What a site may owe its grid: frequencies of steps, its default, its ramps. A row is a site and what it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from rampd.daemon import sitecheck, summary
from rampd.daemon.site import compose
from tests.sites import SITE, Edit, problems, site

STEP = "[[under]]\nhz = {hz}\ntier = 1\n\n[fleet]"


def said(folder: Path, *edits: Edit) -> list[str]:
    """The lines of the site file that are complained of, with the messages; none where the site is taken."""
    path = site(folder, *edits)
    try:
        return [f"{path.read_text().splitlines()[one.line - 1]}: {one.message}" for one in problems(path)]
    except AssertionError:
        return []


@pytest.mark.parametrize(
    ("nominal_hz", "hold_hz", "hz", "message"),
    [
        (60, 0.05, 60.0, "is above 59.8, where a grid of 60 Hz is healthy"),
        (60, 0.05, 59.81, "is above 59.8"),
        (60, 0.05, 59.8, None),
        (60, 0.2, 59.8, None),
        (60, 0.3, 59.7, None),
        (60, 0.05, 59.7, None),
        (60, 0.5, 59.7, "is above 59.5"),
        (60, 0.0, 59.7, None),
        (60, 0.05, 56.0, None),
        (60, 0.05, 55.9, "is below 56: a grid of 60 Hz is gone by then"),
        (60, 0.05, 49.0, "is below 56"),
        (50, 0.05, 59.7, "is above 49.8, where a grid of 50 Hz is healthy"),
        (50, 0.05, 50.0, "is above 49.8"),
        (50, 0.05, 49.81, "is above 49.8"),
        (50, 0.05, 49.8, None),
        (50, 0.05, 49.0, None),
        (50, 0.05, 45.9, "is below 46"),
    ],
)
def test_a_step_lies_between_a_healthy_grid_and_one_that_is_gone(
    tmp_path: Path, nominal_hz: int, hold_hz: float, hz: float, message: str | None
) -> None:
    grid = f"[grid]\nhold_hz = {hold_hz}\n\n" + STEP.format(hz=hz)
    found = said(tmp_path, (SITE, "nominal_hz = 60", f"nominal_hz = {nominal_hz}"), (SITE, "[fleet]", grid))
    if message is None:
        assert found == []
    else:
        (one,) = found
        assert one.startswith(f"[[under]]: limits contradict: under.hz {hz:g} ")
        assert message in one


def test_every_step_is_told_at_its_own_line(tmp_path: Path) -> None:
    steps = "[[under]]\nhz = 59.5\ntier = 2\n\n" + STEP.format(hz=60.0)
    path = site(tmp_path, (SITE, "[fleet]", steps))
    (problem,) = problems(path)
    assert path.read_text().splitlines()[problem.line - 1 : problem.line + 1] == ["[[under]]", "hz = 60.0"]
    assert "site.nominal_hz" in problem.remedy


@pytest.mark.parametrize("tier", [1, 2, 3, 8])
def test_a_step_has_racks_to_shed(tmp_path: Path, tier: int) -> None:
    """The racks of the example have the tiers 1 and 2; a step sheds its own tier and higher ones."""
    found = said(tmp_path, (SITE, "[fleet]", STEP.format(hz=59.5).replace("tier = 1", f"tier = {tier}")))
    if tier <= 2:
        assert found == []
    else:
        assert found == [
            f"[[under]]: [[under]] has no effect: under.tier {tier}, but no rack has that tier or a higher one, they "
            "have 1, 2"
        ]


DROOP = "[grid]\ndroop_percent = 5\n\n[fleet]"


@pytest.mark.parametrize(
    ("owed", "place", "what", "remedy"),
    [
        (STEP.format(hz=59.5), "[[under]]", "[[under]]", "the steps"),
        (DROOP, "[grid]", "droop_percent", "droop_percent"),
    ],
    ids=["steps", "droop"],
)
def test_what_is_owed_needs_a_meter_that_tells_the_frequency(
    tmp_path: Path, owed: str, place: str, what: str, remedy: str
) -> None:
    folder = tmp_path / "maps"
    folder.mkdir()
    (folder / "mine.toml").write_text(
        'name = "mine"\nkind = "meter"\ntitle = "my meter"\nsource = ["me"]\nverified = "by nobody"\n[values]\n'
        'power_w = { at = 0, type = "f32", range = [0.0, 1.0e7] }\n'
    )
    own = [(SITE, "min_mw = 0", 'min_mw = 0\nmap_folder = "maps"'), (SITE, '"janitza-umg"', '"mine"')]
    path = site(tmp_path, *own, (SITE, "[fleet]", owed))
    (problem,) = problems(path)
    assert path.read_text().splitlines()[problem.line - 1] == place
    assert problem.message == f"{what} has no effect: map mine of meter poi tells no frequency"
    assert problem.remedy == f"add frequency_hz to the map, or take {remedy} out"


@pytest.mark.parametrize(("offer_mw", "refused"), [(0.63, False), (0.631, True)])
def test_regulation_offers_no_more_than_the_site_can_go_through(tmp_path: Path, offer_mw: float, refused: bool) -> None:
    """1.46 MW at its most, and its racks need 0.2."""
    found = said(tmp_path, (SITE, "[fleet]", f"[grid]\nregulation_mw = {offer_mw}\n\n[fleet]"))
    expected = "[grid]: limits contradict: regulation_mw 0.631 up and down is more than lies between 0.2 and 1.46 MW"
    assert found == ([expected] if refused else [])


@pytest.mark.parametrize(
    ("default_mw", "generation_mw", "refused"),
    [
        (0.01, 0.0, "0.2 MW"),
        (0.199, 0.0, "0.2 MW"),
        (0.2, 0.0, None),
        (0.1, 0.099, "0.2 MW, less generation_mw, 0.101 MW"),
        (0.1, 0.1, None),
        (0.001, 0.3, None),
    ],
)
def test_racks_can_be_held_at_the_default(
    tmp_path: Path, default_mw: float, generation_mw: float, refused: str | None
) -> None:
    """The five GPU racks of the example need 40 kW each. What is generated behind the meter is not bought."""
    edit = (SITE, "default_mw = 1.46", f"default_mw = {default_mw}\ngeneration_mw = {generation_mw}")
    found = said(tmp_path, edit)
    if refused is None:
        assert found == []
    else:
        told = f"[site]: limits contradict: default_mw {default_mw:g} is below what the racks' min_kw add up to, "
        assert found == [told + refused]


@pytest.mark.parametrize(
    ("default_mw", "shown"),
    [
        (0.2, "default 0.2 MW"),
        (0.05, "default 0.05 MW only while 0.15 MW are generated behind the meter; without, 0.2 MW"),
    ],
)
def test_what_a_default_hangs_on_is_told(tmp_path: Path, default_mw: float, shown: str) -> None:
    edit = (SITE, "default_mw = 1.46", f"default_mw = {default_mw}\ngeneration_mw = 0.2")
    assert summary.lines(compose(sitecheck.load(site(tmp_path, edit))))[0].endswith(shown)


@pytest.mark.parametrize(
    ("window", "shown"),
    [
        (
            "",
            "normal     0.584 MW/min up, 0.584 MW/min down at most; none while the load itself swings by 5 MW in 15 s",
        ),
        (
            "window = [{ s = 15, up_mw = 0.02, down_mw = 0.01 }]",
            "normal     0.072 MW/min up, 0.036 MW/min down at most; none while the load itself swings by 0.01 MW",
        ),
        ("window = [{ s = 60, up_mw = 0.001, down_mw = 0.001 }]", "normal     0.0009 MW/min up"),
        ("window = [{ s = 60, up_mw = 0.000001, down_mw = 0.01 }]", None),
        ("window = [{ s = 3600, up_mw = 0.01, down_mw = 1e-9 }]", None),
    ],
)
def test_the_normal_ramp_is_told_and_ends_within_a_day(tmp_path: Path, window: str, shown: str | None) -> None:
    edit = (SITE, "[normal]", f"[normal]\n{window}")
    if shown is None:
        found = said(tmp_path, edit)
        assert found[0].startswith("[normal]: [normal] and its windows leave ")
        assert found[0].endswith("1.223 MW take over a day")
    else:
        assert shown in "\n".join(summary.lines(compose(sitecheck.load(site(tmp_path, edit)))))


def test_five_seconds_are_what_the_dispatched_windows_leave(tmp_path: Path) -> None:
    plain = summary.summary(compose(sitecheck.load(site(tmp_path))))["five_second_mw"]
    window = "[dispatched]\nwindow = [{ s = 10, up_mw = 0.2, down_mw = 0.4 }]"
    bound = summary.summary(compose(sitecheck.load(site(tmp_path, (SITE, "[dispatched]", window)))))["five_second_mw"]
    assert plain["up"] > 0.09
    assert plain["down"] > 0.18
    assert bound == {"up": 0.09, "down": 0.18}
