"""The desk of four racks."""

from __future__ import annotations

import pytest

from rampd.daemon import commands, halls, journal, sitecheck
from rampd.daemon.journal import Journal
from rampd.daemon.site import Composed, compose
from tests.office import Clock, Office


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(commands, "time", made)
    monkeypatch.setattr(journal, "time", made)
    return made


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Composed:
    return compose(sitecheck.load(halls.write(halls.Hall("desk", 4), tmp_path_factory.mktemp("desk"))))


@pytest.fixture
def office(composed: Composed, clock: Clock) -> Office:
    made = Office(composed, clock, Journal(None))
    made.tick()
    return made
