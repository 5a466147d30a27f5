"""A tape's own record of the configuration: every example can be read back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from rampd.daemon import sitecheck
from rampd.daemon.site import compose
from rampd.ext import tape

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.mark.parametrize("example", sorted(path.name for path in EXAMPLES.iterdir() if (path / "site.toml").is_file()))
def test_limits_are_read_back_to_the_byte(example: str) -> None:
    written = tape.limits_bytes(compose(sitecheck.load(EXAMPLES / example / "site.toml")).limits)
    assert tape.limits_bytes(tape.limits_from(written)) == written
    with pytest.raises(ValueError, match="another version"):
        tape.limits_from(written[:-8])
