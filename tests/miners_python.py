"""The Python whose environment has clients of miners that others wrote, and protoc; made by `make test-setup`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

CLIENTS: Final = Path(sys.prefix) / "miner-clients" / "bin" / "python"
