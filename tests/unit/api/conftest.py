"""What the API's tests share: the app over a living database, and a real server of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import living_database
import pytest
import uvicorn
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from driftline import Client
from monitor.api.app import create_app
from monitor.clock import HeldClock

LOCAL = "http://127.0.0.1:8050"


@contextmanager
def served(engine: Engine) -> Iterator[str]:
    """The address of a real server on a real socket."""
    app = create_app(engine, with_dashboard=False, clock=HeldClock(living_database.NOW_MS))
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning")
    server = uvicorn.Server(config)
    sock = config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        sock.close()


@pytest.fixture
def serve() -> Callable[[Engine], AbstractContextManager[str]]:
    """A function that serves a database."""
    return served


@pytest.fixture
def world(living: Engine) -> Iterator[TestClient]:
    """The API over a living database of the test's own."""
    app = create_app(living, with_dashboard=False, clock=HeldClock(living_database.NOW_MS))
    with TestClient(app, base_url=LOCAL, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def sdk(living: Engine) -> Iterator[Client]:
    """A client of a server over a living database."""
    with served(living) as url, Client(url) as client:
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
