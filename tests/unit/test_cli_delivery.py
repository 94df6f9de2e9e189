"""`driftline delivery`: what was sent is listed and shown, and sent again, over a real server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from outbox_world import FAILED, OK, World
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

from monitor.alerts.schedule import DELAYS_S
from monitor.api.app import create_app
from monitor.cli.delivery import app


@pytest.fixture
def world(engine: Engine) -> World:
    found = World(engine)
    found.add("one")
    found.answers["one"] = FAILED
    found.tell(1)
    for delay_s in DELAYS_S:
        found.clock.advance(delay_s)
        found.run()
    return found


@pytest.fixture
def server(world: World) -> Iterator[str]:
    app = create_app(world.engine, with_dashboard=False, clock=world.clock)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning")
    server, sock = uvicorn.Server(config), config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=10)
    sock.close()


def run(server: str, *words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, [*words, "--url", server])
    assert done.exit_code == code, done.output
    return done.output


def test_it_lists_and_shows_what_became_of_messages(server: str) -> None:
    [line] = run(server, "list").splitlines()
    assert "one  drift.detected  given up after 10 attempts: it answered 500" in line
    assert run(server, "list", "--state", "delivered").strip() == "no such message"
    shown = run(server, "show", "1")
    assert "attempt 10" in shown and "500 in" in shown and "oops" in shown
    assert json.loads(shown.splitlines()[-1])["type"] == "drift.detected"
    assert len(json.loads(run(server, "show", "1", "--json"))["tried"]) == 10


def test_it_sends_them_again(server: str, world: World) -> None:
    assert "1 message would be sent again" in run(server, "redeliver", "--all", "--dry-run")
    assert world.run() == []
    world.answers["one"] = OK
    assert "1 message is sent again" in run(server, "redeliver", "--endpoint", "one")
    assert world.run() == [("one", "a-1")]
    assert "no such message" in run(server, "redeliver", "--endpoint", "one")
    assert json.loads(run(server, "redeliver", "1", "--json")) == {"ids": [1], "dry_run": False}
    assert world.run() == [("one", "a-1")]
    assert "delivered after 12 attempts" in run(server, "list")


@pytest.mark.parametrize("words", [[], ["1", "--all"], ["1", "--dry-run"]])
def test_what_names_nothing_or_two_things_is_refused(server: str, words: list[str]) -> None:
    done = CliRunner().invoke(app, ["redeliver", *words, "--url", server])
    assert done.exit_code != 0
