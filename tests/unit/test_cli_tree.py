"""What `driftline up` gives the processes that it starts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from monitor.cli import tree
from monitor.config import load

THRESHOLDS = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")


def test_only_the_consumer_says_itself_what_it_keeps_of_freed_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other processes give large blocks back at once."""
    for name in THRESHOLDS:
        monkeypatch.delenv(name, raising=False)
    tell = "import json, os; print(json.dumps(dict(os.environ)))"
    monkeypatch.setattr(tree, "own_command", lambda *_: [sys.executable, "-c", tell])
    database = {"DRIFTLINE_DATABASE__URL": f"sqlite:///{tmp_path / 'x.db'}"}
    made = tree.Tree(load(database), with_broker=False, folder=tmp_path)
    told = {}
    for role in ("ingest", "evaluate"):
        made.begin(role)
        made.children[-1]._process.wait(timeout=30)
        made.children[-1].stop()
        said = json.loads((tmp_path / f"{role}.log").read_text())
        told[role] = [name for name in THRESHOLDS if name in said]
    assert told == {"ingest": [], "evaluate": list(THRESHOLDS)}
