"""What the API's tests share: the app over a living database, and a real server of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import living_database
import pytest
import serving
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from driftline import Client
from monitor.api.app import create_app
from monitor.clock import HeldClock
from monitor.storage import engine as storage

LOCAL = "http://127.0.0.1:8050"


@contextmanager
def served(engine: Engine) -> Iterator[str]:
    """The address of a real server on a real socket."""
    with serving.served(engine, HeldClock(living_database.NOW_MS)) as url:
        yield url


@contextmanager
def asking(engine: Engine) -> Iterator[TestClient]:
    """The API over a database, without a socket."""
    app = create_app(engine, with_dashboard=False, clock=HeldClock(living_database.NOW_MS))
    with TestClient(app, base_url=LOCAL, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def serve() -> Callable[[Engine], AbstractContextManager[str]]:
    """A function that serves a database."""
    return served


@pytest.fixture(scope="session")
def still(tmp_path_factory: pytest.TempPathFactory, living_file: Path) -> Iterator[Engine]:
    """A living database for all tests that only read."""
    target = tmp_path_factory.mktemp("still") / "living.db"
    shutil.copyfile(living_file, target)
    engine = storage.create(f"sqlite:///{target}")
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def world(still: Engine) -> Iterator[TestClient]:
    """The API over it."""
    with asking(still) as client:
        yield client


@pytest.fixture
def changing(living: Engine) -> Iterator[TestClient]:
    """The API over a living database of the test's own."""
    with asking(living) as client:
        yield client


@pytest.fixture(scope="session")
def sdk(still: Engine) -> Iterator[Client]:
    """A client of a server over a living database that nobody writes to."""
    with served(still) as url, Client(url) as client:
        yield client


@pytest.fixture
def hostile(copy_of: Callable[[Path], Engine], hostile_file: Path) -> Engine:
    """A living database whose names are hostile."""
    return copy_of(hostile_file)


@pytest.fixture
def hostile_sdk(hostile: Engine) -> Iterator[Client]:
    """A client of a server over that."""
    with served(hostile) as url, Client(url) as client:
        yield client
