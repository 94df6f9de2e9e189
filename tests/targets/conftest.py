"""Real services that are told of a retraining: run by `make test-targets`, not by `make test`."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from target_service import Service

from monitor import alerts
from monitor.alerts import DeliverSettings
from monitor.alerts.guard import networks
from monitor.api.app import create_app
from monitor.storage import engine as storage

LOCAL = networks("127.0.0.1/32")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A Driftline on SQLite whose dispatcher sends, follows and expires."""
    url = f"sqlite:///{tmp_path_factory.mktemp('driftline') / 'driftline.db'}"
    engine, stop = storage.create(url), threading.Event()
    storage.upgrade(engine)
    app = create_app(engine, with_dashboard=False, alerts_allow=LOCAL)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning")
    server = uvicorn.Server(config)
    sock = config.bind_socket()
    settings = DeliverSettings(url, allow=LOCAL)
    threads = [
        threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True),
        threading.Thread(target=alerts.run, args=(settings, stop), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield Service(f"http://127.0.0.1:{sock.getsockname()[1]}", engine)
    finally:
        stop.set()
        server.should_exit = True
        for thread in threads:
            thread.join(timeout=20)
        sock.close()
        engine.dispose()


@pytest.fixture(scope="session")
def environments() -> Path:
    """Where `scripts/targets.py` installed what is run here."""
    return Path(os.environ["DRIFTLINE_TARGETS"])
