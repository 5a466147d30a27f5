"""The desk of four racks."""

from __future__ import annotations

from pathlib import Path

import pytest

from rampd.daemon import answers, commands, halls, journal, restart, sitecheck
from rampd.daemon.journal import Journal
from rampd.daemon.site import Composed, compose
from tests.office import Clock, Office


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (answers, commands, journal, restart):
        monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Composed:
    return compose(sitecheck.load(halls.write(halls.Hall("desk", 4), tmp_path_factory.mktemp("desk"))))


@pytest.fixture
def cautious(composed: Composed, clock: Clock, tmp_path: Path) -> Office:
    """Of a site that does not raise after a lease."""
    config = composed.config
    lease = config.lease.model_copy(update={"raise_after": False})
    composed = compose(config.model_copy(update={"lease": lease}))
    made = Office(composed, clock, Journal.open(tmp_path / "cautious.json"))
    made.tick()
    return made


@pytest.fixture
def office(composed: Composed, clock: Clock, tmp_path: Path) -> Office:
    made = Office(composed, clock, Journal.open(tmp_path / "commands.json"))
    made.tick()
    return made
