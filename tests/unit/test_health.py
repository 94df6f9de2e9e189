"""A role is healthy when its work is seen to be done, not when its process lives."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

from monitor.cli import health
from monitor.cli.app import app
from monitor.cli.health import Role, Unhealthy
from monitor.cli.processes import free_port
from monitor.clock import SystemClock
from monitor.config import load
from monitor.storage import engine as storage
from monitor.storage import schema as t


@contextmanager
def answering(status: int, body: object) -> Iterator[int]:
    """A server of one answer, and its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def ask_web(port: int) -> None:
    health._web(load({"DRIFTLINE_WEB__PORT": str(port)}))


def test_a_web_server_is_healthy_when_it_is_ready() -> None:
    with answering(200, {"status": "ready"}) as port:
        ask_web(port)


def test_a_web_server_that_is_not_ready_says_why_and_an_absent_one_is_named() -> None:
    with (
        answering(503, {"detail": "the database is away"}) as port,
        pytest.raises(Unhealthy, match="web is not healthy: the database is away"),
    ):
        ask_web(port)
    with answering(503, []) as port, pytest.raises(Unhealthy, match="answers 503"):
        ask_web(port)
    port = free_port()
    with pytest.raises(Unhealthy, match=f"port {port} does not answer"):
        ask_web(port)


def seen(engine: Engine, partition: int, fetched_ms: int | None) -> None:
    with storage.transaction(engine) as conn:
        conn.execute(
            t.stream_position.insert().values(
                stream_id=1,
                partition=partition,
                start_offset=0,
                next_offset=0,
                claim_epoch=1,
                group_id="g",
                registry_revision=0,
                fetched_ms=fetched_ms,
            )
        )


def test_ingest_is_healthy_while_any_partition_is_looked_at(engine: Engine) -> None:
    now_ms = SystemClock().now_ms()
    with pytest.raises(Unhealthy, match="no partition has been read yet"):
        health._ingest(engine, now_ms, 90_000)
    with storage.transaction(engine) as conn:
        conn.execute(
            t.stream.insert().values(
                id=1, cluster_id="c", topic_id="t", topic="t", group_id="g",
                start_policy="earliest", created_ms=0,
            )
        )  # fmt: skip
    seen(engine, 0, now_ms - 100_000)
    with pytest.raises(Unhealthy, match="no partition was looked at since"):
        health._ingest(engine, now_ms, 90_000)
    seen(engine, 1, now_ms - 80_000)
    health._ingest(engine, now_ms, 90_000)


def test_a_role_whose_database_is_not_there_or_of_another_release_is_said(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'some.db'}"
    for role in ("ingest", "evaluate", "deliver"):
        done = CliRunner().invoke(app, ["health", role, "--database", url])
        assert done.exit_code == 1
    engine = storage.create(url)
    storage.upgrade(engine)
    engine.dispose()
    for role in ("evaluate", "deliver"):
        done = CliRunner().invoke(app, ["health", role, "--database", url])
        assert (done.exit_code, done.output) == (0, f"{role} is healthy\n")
    assert {role.value for role in Role} == {"web", "ingest", "evaluate", "deliver"}
