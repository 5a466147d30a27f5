"""What a daemon that only computes leaves for the one that comes after it: nothing that it alone has made up."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from rampd.daemon import ladder, sitecheck
from rampd.daemon.run import Daemon
from tests.sites import EXAMPLES


@pytest.mark.parametrize("shadow", [False, True])
async def test_what_tripped_in_shadow_alone_trips_nothing_afterwards(tmp_path: Path, shadow: bool) -> None:
    """Racks that nobody sent to their least have disobeyed nobody: the next daemon must not switch them off."""
    config = sitecheck.load(EXAMPLES / "bench-12" / "site.toml")
    daemon = Daemon(config, shadow=shadow, state_dir=tmp_path)
    tripped = {daemon.composed.nodes[0].id: ["overload"]}
    ladder.restore(daemon.composed, daemon.inputs, tripped)
    now_ns = time.monotonic_ns()
    daemon.wall.publish(now_ns)
    assert daemon.loop.tick_at(now_ns)
    assert ladder.latched(daemon.composed, daemon.snapshot()) == tripped
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(daemon._follow(), 0.5)
    assert daemon.journal.latched == ({} if shadow else tripped)
