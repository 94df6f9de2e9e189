"""A role is healthy when its work is seen to be done, not when its process lives."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

from driftline import __version__
from driftline.errors import StorageUnavailable
from monitor import alerts, evaluate
from monitor.cli import health
from monitor.cli.app import app
from monitor.cli.health import Role, Unhealthy
from monitor.cli.processes import free_port
from monitor.cli.running import Heartbeat, host, running
from monitor.clock import HeldClock, SystemClock
from monitor.config import load
from monitor.storage import engine as storage
from monitor.storage import heartbeats
from monitor.storage import schema as t
from monitor.storage.heartbeats import DEAD_AFTER_MS, KEPT_MS, STANDS_STILL_MS, Beat
from monitor.storage.registry import BoundVersion


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


def beat(
    engine: Engine,
    instance: str,
    beat_ms: int,
    role: str = "evaluate",
    moved_ms: int | None = None,
) -> None:
    with storage.transaction(engine) as conn:
        heartbeats.write(conn, Beat(role, instance, beat_ms - 5, beat_ms, "1", moved_ms))


def test_a_role_that_was_killed_is_not_healthy_when_its_last_beat_is_old(engine: Engine) -> None:
    now_ms = 1_777_629_600_000
    with pytest.raises(Unhealthy, match="it does not run: start `driftline evaluate`"):
        health._beating(Role.EVALUATE, engine, now_ms)
    beat(engine, "elsewhere:1:a", now_ms)
    health._beating(Role.EVALUATE, engine, now_ms)
    health._beating(Role.EVALUATE, engine, now_ms + DEAD_AFTER_MS)
    with pytest.raises(Unhealthy, match=r"last seen at 2026-05-01T10:00:00Z \(elsewhere:1:a\)"):
        health._beating(Role.EVALUATE, engine, now_ms + DEAD_AFTER_MS + 1)
    with pytest.raises(Unhealthy):
        health._beating(Role.DELIVER, engine, now_ms)


def test_another_machine_s_role_does_not_stand_for_this_one_s(engine: Engine) -> None:
    now_ms = 1_777_629_600_000
    beat(engine, f"{host()}:7:a", now_ms - DEAD_AFTER_MS - 1)
    beat(engine, "elsewhere:7:b", now_ms)
    with pytest.raises(Unhealthy, match="has not ended in order"):
        health._beating(Role.EVALUATE, engine, now_ms)
    beat(engine, f"{host()}:8:c", now_ms)
    health._beating(Role.EVALUATE, engine, now_ms)


def test_a_role_that_lives_and_whose_work_stands_still_is_not_healthy(engine: Engine) -> None:
    now_ms = 1_777_629_600_000
    beat(engine, f"{host()}:7:a", now_ms, moved_ms=now_ms - STANDS_STILL_MS)
    health._beating(Role.EVALUATE, engine, now_ms)
    beat(engine, f"{host()}:7:a", now_ms + 1, moved_ms=now_ms - STANDS_STILL_MS)
    with pytest.raises(Unhealthy, match="its work stands still since 2026-05-01T09:00:00Z"):
        health._beating(Role.EVALUATE, engine, now_ms + 1)
    # Whoever came after one that was killed in its place is healthy.
    after_ms = now_ms + DEAD_AFTER_MS + 2
    beat(engine, f"{host()}:8:b", after_ms, moved_ms=after_ms)
    health._beating(Role.EVALUATE, engine, after_ms)
    # One that does not say when its work went on is judged by what it leaves.
    beat(engine, f"{host()}:9:c", now_ms, role="ingest")
    health._beating(Role.INGEST, engine, now_ms)


class Loop:
    """An evaluator or a dispatcher whose work hangs in its second round."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.rounds = 0
        self.hangs, self.goes_on = threading.Event(), threading.Event()

    def step(self) -> int:
        self.rounds += 1
        if self.rounds == 2:
            self.hangs.set()
            assert self.goes_on.wait(60)
        return 1

    def finish(self) -> None:
        assert self.goes_on.is_set()


@pytest.mark.parametrize("role", ["evaluate", "deliver"])
def test_a_loop_that_hangs_beats_and_its_beat_says_since_when(
    role: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, stop = Loop(), threading.Event()
    clock = HeldClock(now_ms=1_777_629_600_000)
    url = str(engine.url)
    beating = Heartbeat(storage.create(url), role, clock=clock, every_s=0.02)
    work: Callable[[], None]
    if role == "evaluate":
        monkeypatch.setattr(evaluate, "Evaluator", lambda *_, **__: loop)
        asked = evaluate.EvaluateSettings(url, interval_s=0)
        work = partial(evaluate.run, asked, stop, went_on=beating.went_on)
    else:
        monkeypatch.setattr(alerts, "Dispatcher", lambda *_, **__: loop)
        work = partial(alerts.run, alerts.DeliverSettings(url), stop, went_on=beating.went_on)
    thread = threading.Thread(target=work)
    beating.start()
    thread.start()
    try:
        assert loop.hangs.wait(30)
        hung_ms = clock.now_ms()
        clock.advance(STANDS_STILL_MS / 1_000 + 1)
        deadline = time.monotonic() + 30
        while True:
            with storage.reading(engine) as conn:
                (one,) = heartbeats.of_role(conn, role)
            if one.beat_ms > hung_ms:
                break
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert one.moved_ms == hung_ms
        assert one.is_alive(clock.now_ms())
        assert one.stands_still(clock.now_ms())
    finally:
        stop.set()
        loop.goes_on.set()
        thread.join(30)
        beating.stop()
    assert not thread.is_alive()


def test_a_long_catch_up_goes_on_with_every_stride(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves: list[int] = []
    judged: list[int] = []

    def stride(*_: Any) -> Any:
        judged.append(len(moves))
        return SimpleNamespace(judged=[], until_ms=0, is_last=len(judged) == 4)

    asked = evaluate.EvaluateSettings(str(engine.url))
    evaluator = evaluate.Evaluator(engine, asked, now_ms=lambda: 0, went_on=lambda: moves.append(0))
    monkeypatch.setattr(evaluator, "_read", stride)
    monkeypatch.setattr(evaluator, "_write", lambda _: True)
    evaluator._judge_version(BoundVersion(1, "m", "1", "UTC", 3_600_000, ()))
    assert judged == [1, 2, 3, 4]


def test_what_a_killed_role_left_goes_when_the_role_starts_a_day_later(engine: Engine) -> None:
    beat(engine, "one:1:a", 1_000)
    beat(engine, "two:1:a", 2_000)
    beat(engine, "one:1:a", 1_000, role="deliver")
    beat(engine, "three:1:a", 1_500 + KEPT_MS)
    with storage.reading(engine) as conn:
        left = [one.instance for one in heartbeats.of_role(conn, "evaluate")]
        others = [one.instance for one in heartbeats.of_role(conn, "deliver")]
    assert (left, others) == (["two:1:a", "three:1:a"], ["one:1:a"])


def test_a_heartbeat_is_renewed_and_outlives_a_database_that_is_away(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [RuntimeError("what nobody expected"), StorageUnavailable("away"), None]
    write = heartbeats.write

    def sometimes(conn: Any, one: Beat) -> None:
        if failures and (error := failures.pop()) is not None:
            raise error
        write(conn, one)

    monkeypatch.setattr(heartbeats, "write", sometimes)
    beating = Heartbeat(storage.create(str(engine.url)), "evaluate", every_s=0.02)
    beating.start()
    with storage.reading(engine) as conn:
        (first,) = heartbeats.of_role(conn, "evaluate")
    deadline = time.monotonic() + 20
    while True:
        with storage.reading(engine) as conn:
            (one,) = heartbeats.of_role(conn, "evaluate")
        if not failures and one.beat_ms > first.beat_ms:
            break
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert one.instance == beating.instance
    assert one.version == __version__
    beating.stop()
    with storage.reading(engine) as conn:
        assert heartbeats.of_role(conn, "evaluate") == []


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
        with running(role, url, "works"):
            done = CliRunner().invoke(app, ["health", role, "--database", url])
            assert (done.exit_code, done.output) == (0, f"{role} is healthy\n")
        # It has ended in order: at once nobody takes it for one that runs.
        done = CliRunner().invoke(app, ["health", role, "--database", url])
        assert done.exit_code == 1
        assert str(done.exception) == (
            f"{role} is not healthy: it does not run: start `driftline {role}`"
        )
    assert {role.value for role in Role} == {"web", "ingest", "evaluate", "deliver"}
