"""The headless demo's runs: a minute or two, so each is made once for every test that reads it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

# Idle, the longer one takes two minutes; a busy machine may take some.
TIMEOUT_S = 900


@dataclass(frozen=True)
class Demo:
    """The folder with the database, and the object that was printed."""

    folder: Path
    told: dict[str, Any]

    @property
    def file(self) -> Path:
        return self.folder / "driftline-demo.db"


def run(folder: Path, *arguments: str) -> Demo:
    """Run a year through the whole program in a folder, unless it has been run there.

    Nothing of it may be left running. DRIFTLINE_DEMO_FOLDER names a folder that keeps the runs
    for the next time: for work on a page.
    """
    kept = os.environ.get("DRIFTLINE_DEMO_FOLDER")
    folder = Path(kept) / folder.name if kept else folder
    folder.mkdir(parents=True, exist_ok=True)
    printed = folder / "told.json"
    if printed.exists():
        return Demo(folder, json.loads(printed.read_text()))
    before = {process.pid for process in psutil.process_iter()}
    command = [sys.executable, "-m", "monitor.cli", "demo", "--headless", "--json"]
    command += ["--port", "0", "--broker-port", "0", *arguments]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    left = [
        p.info["cmdline"] or [] for p in psutil.process_iter(["cmdline"]) if p.pid not in before
    ]
    assert not [line for line in left if str(folder) in " ".join(line)]
    printed.write_text(done.stdout)
    return Demo(folder, json.loads(done.stdout))
