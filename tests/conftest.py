"""What every test may use: fresh, living and hostile databases, and the demo's year.

What takes seconds is made once a run; a test that writes to it takes a copy.
A module with the mark `both_databases` runs on SQLite and on PostgreSQL. Tests that restart or
secure a broker start their own; `embedded` and `kafka` are shared by all others.
"""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apache_kafka
import demo_year
import drifting
import judged_world
import living_database
import postgres
import pytest
import spread
from demo_year import Demo
from hostile import hostile_names
from sqlalchemy.engine import Engine
from sqlalchemy.pool import QueuePool

from driftline.stats.reference import Reference
from monitor.cli.broker import EmbeddedBroker
from monitor.storage import engine as storage

Fill = Callable[[Engine], object]

# Tests read the commands that are printed: as in a shell that finds the program by its name.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"


# Real services that `make test-targets` installs.
collect_ignore = [] if os.environ.get("DRIFTLINE_TARGETS") else ["targets"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> spread.Modules | None:
    """Spread tests over workers as `spread` says, where they are asked to be spread by scope."""
    return spread.Modules(config, log) if config.option.dist == "loadscope" else None


def pytest_configure(config: pytest.Config) -> None:
    """See that they are."""
    if getattr(config.option, "dist", "no") == "loadscope":
        config.pluginmanager.register(spread.Watch())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin what takes longest first."""
    items.sort(key=spread.place)


def pytest_collection_finish() -> None:
    """Take what was imported and collected out of garbage collection's sight.

    Nothing of it becomes garbage, and looking through it at every collection took a tenth of
    the time of all tests.
    """
    gc.collect()
    gc.freeze()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of a module that says so on both databases."""
    is_marked = metafunc.definition.get_closest_marker("both_databases") is not None
    if is_marked and "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", ["sqlite", "postgresql"])


@pytest.fixture
def backend() -> str:
    """Which database the test runs on."""
    return "sqlite"


@pytest.fixture(scope="session")
def databases() -> Iterator[postgres.Databases]:
    """A PostgreSQL of this worker's own; without one the test is skipped, or fails in CI."""
    made = postgres.start(postgres.room_in_memory())
    yield made
    made.close()


@pytest.fixture
def client() -> str:
    """What reads records from Kafka; `stage.both_clients` runs a test with each."""
    return "kafka-python"


@pytest.fixture
def database_url(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a database that does not exist yet, or is empty."""
    if backend == "sqlite":
        yield f"sqlite:///{tmp_path / 'driftline.db'}"
        return
    databases: postgres.Databases = request.getfixturevalue("databases")
    url = databases.create()
    yield url
    databases.drop(url)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all workers of this run."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@contextmanager
def _one_at_a_time(lock: Path) -> Iterator[None]:
    with lock.open("w") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def once(
    tmp_path_factory: pytest.TempPathFactory, shared: Path
) -> Callable[[str, Fill | None], Path]:
    """A function that makes a database once a run, and returns this worker's copy of its file.

    Whichever worker needs it first makes it. It is given a name and what fills a migrated
    database.
    """
    own = tmp_path_factory.mktemp("made")

    def made(name: str, fill: Fill | None) -> Path:
        file = shared / f"{name}.made"
        with _one_at_a_time(file.with_suffix(".lock")):
            if not file.exists():
                engine = living_database.database(own, fill, f"{name}.db")
                engine.dispose()  # its last connection takes the log beside the file away
                (own / f"{name}.db").rename(file)
        return Path(shutil.copyfile(file, own / f"{name}.db"))

    return made


@pytest.fixture(scope="session")
def empty_file(once: Callable[[str, Fill | None], Path]) -> Path:
    """The file of an empty database at this release's schema; never written to."""
    return once("empty", None)


@pytest.fixture
def engine(
    backend: str, tmp_path: Path, empty_file: Path, request: pytest.FixtureRequest
) -> Iterator[Engine]:
    """An empty database at this release's schema."""
    if backend == "sqlite":
        file = tmp_path / "driftline.db"
        shutil.copyfile(empty_file, file)
        made = storage.create(f"sqlite:///{file}")
        yield made
        _close(made)
        return
    databases: postgres.Databases = request.getfixturevalue("databases")
    url = databases.copy_of("empty")
    made = storage.create(url)
    yield made
    _close(made)
    databases.drop(url)


def _close(engine: Engine) -> None:
    """Close an engine's connections, once the test's threads have given theirs back.

    One that is given back later would be found open by the garbage collector, in another test.
    """
    assert isinstance(engine.pool, QueuePool)
    deadline = time.monotonic() + 30
    while (held := engine.pool.checkedout()) and time.monotonic() < deadline:
        time.sleep(0.01)
    engine.dispose()
    assert not held, f"{held} connections were in use for half a minute after the test"


@pytest.fixture(scope="session")
def reference() -> Reference:
    """A calm month; modules with a reference of their own have it instead."""
    return judged_world.calm_month()


@pytest.fixture
def world(engine: Engine, reference: Reference) -> judged_world.World:
    """An empty database with that reference bound."""
    return judged_world.world_of(engine, reference)


@pytest.fixture(scope="session")
def living_file(once: Callable[[str, Fill | None], Path]) -> Path:
    """The file of the living database; never written to (see `living_database`)."""
    return once("living", living_database.live)


@pytest.fixture(scope="session")
def hostile_file(once: Callable[[str, Fill | None], Path]) -> Path:
    """The living database with hostile names; never written to."""
    return once("hostile", lambda engine: living_database.live(engine, hostile_names()))


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
        _close(engine)


@pytest.fixture
def living(copy_of: Callable[[Path], Engine], living_file: Path) -> Engine:
    """A living database of the test's own."""
    return copy_of(living_file)


@pytest.fixture(scope="session")
def embedded() -> Iterator[str]:
    """The address of an embedded broker of this worker's own."""
    with EmbeddedBroker(0) as started:
        yield started.bootstrap


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The address of an Apache Kafka of this worker's own; without one as in `databases`."""
    made = apache_kafka.start()
    if isinstance(made, str):
        yield made
        return
    yield made.bootstrap
    made.remove()


@pytest.fixture(scope="session")
def drifting_facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is known in the end of the drifting log, read in order and judged once."""
    engine = living_database.database(tmp_path_factory.mktemp("drifting"), None, "drifting.db")
    drifting.register(engine)
    clock = drifting.read(engine, [drifting.log()])
    drifting.judge(engine, clock.now_ms())
    found = drifting.facts(engine)
    engine.dispose()
    return found


@pytest.fixture(scope="session")
def demo(shared: Path) -> Demo:
    """A year of one model through the whole program, run once for all workers; not written to."""
    with _one_at_a_time(shared / "demo.lock"):
        return demo_year.run(shared / "demo", "--no-retrain")


@pytest.fixture(scope="session")
def closed_loop(shared: Path) -> Demo:
    """A year in which the model is retrained, run once for all workers; never written to."""
    with _one_at_a_time(shared / "closed-loop.lock"):
        return demo_year.run(shared / "closed-loop")
