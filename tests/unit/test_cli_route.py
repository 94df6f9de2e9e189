"""`driftline route`: set, listed and removed over a real server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from alerts_world import told_world
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

from monitor.api.app import create_app
from monitor.cli.route import app


@pytest.fixture
def server(engine: Engine) -> Iterator[str]:
    told_world(engine)
    api = create_app(engine, with_dashboard=False)
    config = uvicorn.Config(api, host="127.0.0.1", port=0, log_level="warning")
    server, sock = uvicorn.Server(config), config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=10)
    sock.close()


def test_routes_are_set_listed_and_removed(server: str) -> None:
    def run(*words: str) -> str:
        done = CliRunner().invoke(app, [*words, "--url", server])
        assert done.exit_code == 0, done.output + str(done.exception)
        return done.output.strip()

    assert run("list").startswith("no route: everything goes everywhere")
    line = "m night: drift, schema.broken from critical on to hook, quiet 22:00-07:00 Europe/Berlin"
    line += ", again every 24 h"
    assert line == run(
        "set", "m", "night", "--endpoint", "hook", "--event", "drift", "--event", "schema.broken",
        "--from-severity", "critical", "--quiet", "22:00-07:00", "--timezone", "Europe/Berlin",
        "--repeat", "24",
    )  # fmt: skip
    assert run("list", "m") == line
    assert json.loads(run("list", "--json"))[0]["endpoints"] == ["hook"]
    assert run("remove", "m", "night") == "night is removed"
    assert json.loads(run("list", "--json")) == []
