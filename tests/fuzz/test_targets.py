"""Some seconds of each fuzz target, from a corpus of true files; RAMPD_LONG runs them for ten minutes."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from rampd.drivers import maps
from tests.unit import test_importers as lists

ROOT = Path(__file__).parents[2]
SECONDS = 600 if os.environ.get("RAMPD_LONG") else 6


def seeds(name: str) -> dict[str, bytes]:
    """True inputs to begin with."""
    if name == "map":
        folder = Path(maps.__file__).parent / "maps"
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".toml"}
    if name == "list":
        texts = [lists.TELEGRAF, lists.REQUESTS, lists.EXPORTER, lists.json.dumps(lists.RACKMON), lists.CSV]
        texts.append((files("sunspec2") / "models" / "json" / "model_714.json").read_text(encoding="utf-8"))
        return {f"list{n}": bytes((n % 6,)) + text.encode() for n, text in enumerate(texts)}
    return {"answer": bytes(range(80)), "high": b"\xff" * 80}


@pytest.mark.parametrize("name", ["map", "list", "answer"])
def test_nothing_gets_through(name: str, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for seed, data in seeds(name).items():
        (corpus / seed).write_bytes(data)
    options = [f"-max_total_time={SECONDS}", "-max_len=20000", "-timeout=20", f"-artifact_prefix={tmp_path}/"]
    ended = subprocess.run(
        [sys.executable, "tests/fuzz/run.py", name, *options, str(corpus)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=SECONDS + 120,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-4000:]
    done = next(line for line in ended.stderr.splitlines() if line.startswith("Done "))
    assert int(done.split()[1]) > 500, "too few to say anything"
