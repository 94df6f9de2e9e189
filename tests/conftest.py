"""What every test may use: fresh, living and hostile databases, and the demo's year.

What takes seconds is made once a run; a test that writes to it takes a copy.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import living_database
import psutil
import pytest
from hostile import hostile_names
from sqlalchemy.engine import Engine

from monitor.storage import engine as storage

# Idle, the demo takes a minute; a busy machine may take some.
DEMO_TIMEOUT_S = 900


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """The address of a database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'driftline.db'}"


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An empty database at this release's schema."""
    made = storage.create(database_url)
    storage.upgrade(made)
    yield made
    made.dispose()


@pytest.fixture(scope="session")
def living_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the living database; never written to (see `living_database`)."""
    folder = tmp_path_factory.mktemp("living")
    living_database.database(folder).dispose()
    return folder / "living.db"


@pytest.fixture(scope="session")
def hostile_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The living database with hostile names; never written to."""
    folder = tmp_path_factory.mktemp("hostile")
    living_database.database(
        folder, lambda engine: living_database.live(engine, hostile_names()), "hostile.db"
    ).dispose()
    return folder / "hostile.db"


@pytest.fixture
def copy_of(tmp_path: Path) -> Iterator[Callable[[Path], Engine]]:
    """A function that opens a copy of a database file, to be written to."""
    made: list[Engine] = []

    def copied(file: Path) -> Engine:
        target = tmp_path / f"{len(made)}-{file.name}"
        shutil.copyfile(file, target)
        made.append(storage.create(f"sqlite:///{target}"))
        return made[-1]

    yield copied
    for engine in made:
        engine.dispose()


@pytest.fixture
def living(copy_of: Callable[[Path], Engine], living_file: Path) -> Engine:
    """A living database of the test's own."""
    return copy_of(living_file)


@dataclass(frozen=True)
class Demo:
    """The headless demo's run: its folder with the database, and the object it printed."""

    folder: Path
    told: dict[str, Any]

    @property
    def file(self) -> Path:
        return self.folder / "driftline-demo.db"


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """A year through the whole program, run once; never written to.

    DRIFTLINE_DEMO_FOLDER keeps it for the next run of the tests: for work on a page.
    """
    kept = os.environ.get("DRIFTLINE_DEMO_FOLDER")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("demo")
    printed = folder / "told.json"
    if kept and printed.exists():
        return Demo(folder, json.loads(printed.read_text()))
    before = {process.pid for process in psutil.process_iter()}
    command = [sys.executable, "-m", "monitor.cli", "demo", "--headless", "--json"]
    command += ["--port", "0", "--broker-port", "0"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=DEMO_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    left = [
        p.info["cmdline"] or [] for p in psutil.process_iter(["cmdline"]) if p.pid not in before
    ]
    assert not [line for line in left if str(folder) in " ".join(line)]
    if kept:
        printed.write_text(done.stdout)
    return Demo(folder, json.loads(done.stdout))
