"""What was sent long ago is forgotten in small steps; what waits never is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from outbox_world import FAILED, NOW_MS, OK, World
from sqlalchemy.engine import Engine

from monitor.alerts import DeliverSettings, run
from monitor.alerts.expiry import DAY_MS, LOOK_S, Expiry, Keep
from monitor.clock import HeldClock
from monitor.storage import deliveries
from monitor.storage import schema as t
from monitor.storage.deliveries import Attempt
from monitor.storage.engine import reading, transaction

pytestmark = pytest.mark.both_databases

KEEP = Keep(sent_days=10, dead_days=30)
DAY_S = DAY_MS // 1_000


@pytest.fixture
def world(engine: Engine) -> Iterator[World]:
    made = World(engine)
    made.add("one")
    yield made


def _attempts(world: World) -> list[int]:
    with reading(world.engine) as conn:
        return list(conn.execute(sa.select(t.delivery_attempt.c.outbox_id)).scalars())


def _put(world: World, state: str, count: int, finished_ms: int | None = NOW_MS) -> None:
    """Write messages that ended, with two attempts each."""
    with transaction(world.engine) as conn:
        for number in range(count):
            values = {
                "endpoint_id": 1, "webhook_id": f"{state}-{number}", "alert_id": None,
                "sequence": 0, "type": "drift.detected", "body": "{}", "created_ms": NOW_MS,
                "state": state, "attempts": 2, "due_ms": NOW_MS, "finished_ms": finished_ms,
            }  # fmt: skip
            row = sa.insert(t.outbox).values(values).returning(t.outbox.c.id)
            outbox_id = conn.execute(row).scalar_one()
            for attempt in (1, 2):
                conn.execute(
                    sa.insert(t.delivery_attempt).values(
                        outbox_id=outbox_id, number=attempt, at_ms=NOW_MS, duration_ms=1
                    )
                )


def _forget(world: World, keep: Keep = KEEP) -> int:
    """Let a fresh process forget all that it may; return how much."""
    expiry, forgotten = Expiry(world.engine, world.clock, keep), 0
    while count := expiry.step():
        forgotten += count
    return forgotten


def _states(world: World) -> list[str]:
    return sorted(state for _, state, _ in world.state())


def test_each_is_kept_for_its_days_after_its_end_and_what_waits_for_ever(world: World) -> None:
    for state in deliveries.FINISHED:
        _put(world, state, 1)
    _put(world, "pending", 1, None)
    world.clock.advance(10 * DAY_S)
    assert _forget(world) == 0
    world.clock.advance(0.001)
    assert _forget(world) == 2
    assert _states(world) == ["dead", "pending"]
    world.clock.advance(20 * DAY_S)
    assert _forget(world) == 1
    assert _states(world) == ["pending"]
    world.clock.advance(40_000 * DAY_S)
    assert _forget(world) == 0
    assert len(_attempts(world)) == 2


def test_little_by_little_the_oldest_first_and_then_not_for_a_while(world: World) -> None:
    _put(world, "delivered", 5)
    world.clock.advance(11 * DAY_S)
    expiry = Expiry(world.engine, world.clock, KEEP, at_once=2)
    assert [expiry.step() for _ in range(5)] == [2, 2, 1, 0, 0]
    assert _attempts(world) == []
    _put(world, "dead", 1, NOW_MS - 60 * DAY_MS)
    assert expiry.step() == 0
    world.clock.advance(LOOK_S)
    assert expiry.step() == 1


def test_what_is_recorded_of_a_message_that_is_forgotten_leaves_nothing_behind(
    world: World,
) -> None:
    world.tell(1)
    with transaction(world.engine) as conn:
        (one,) = deliveries.due(conn, NOW_MS)
        stopped = deliveries.claim(conn, one.outbox_id, "stopped", NOW_MS, NOW_MS + 60_000)
        assert stopped is not None
    world.clock.advance(61)
    world.run()
    world.clock.advance(11 * DAY_S)
    assert _forget(world) == 1
    late = Attempt(1, NOW_MS, 5, 200, None, None)
    with transaction(world.engine) as conn:
        assert not deliveries.record(conn, stopped, late, "delivered", due_ms=None)
    assert _attempts(world) == []


def test_several_at_once_forget_everything_once(world: World) -> None:
    _put(world, "delivered", 60)
    world.clock.advance(11 * DAY_S)
    counts: list[int] = []
    barrier = threading.Barrier(3)

    def forget() -> None:
        expiry = Expiry(world.engine, HeldClock(world.clock.now_ms()), KEEP, at_once=7)
        barrier.wait(10)
        while count := expiry.step():
            counts.append(count)

    threads = [threading.Thread(target=forget) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    _forget(world)
    assert sum(counts) <= 60
    assert (world.state(), _attempts(world)) == ([], [])


def test_it_is_found_by_an_index(world: World) -> None:
    _put(world, "delivered", 3)
    _put(world, "pending", 3, None)
    said: list[tuple[str, Any]] = []

    def seen(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "DELETE")):
            said.append((statement, parameters))

    sa.event.listen(world.engine, "before_cursor_execute", seen)
    with transaction(world.engine) as conn:
        assert deliveries.forget(conn, "delivered", NOW_MS + 1, 2) == 2
    sa.event.remove(world.engine, "before_cursor_execute", seen)
    is_sqlite = world.engine.dialect.name == "sqlite"
    plans = []
    with world.engine.connect() as conn:
        if not is_sqlite:  # three rows are read faster without one
            conn.exec_driver_sql("SET enable_seqscan = off")
        for statement, parameters in said:
            how = f"EXPLAIN {'QUERY PLAN ' if is_sqlite else ''}{statement}"
            plans.append("\n".join(str(row) for row in conn.exec_driver_sql(how, parameters)))
    look, attempts, messages = plans
    assert "ix_outbox_finished" in look
    assert "Sort" not in look and "TEMP B-TREE" not in look
    assert "ix_delivery_attempt_outbox_id" in attempts
    assert "pk_outbox" in messages or "INTEGER PRIMARY KEY" in messages


def test_the_process_that_sends_forgets_when_it_has_nothing_to_send(world: World) -> None:
    _put(world, "delivered", 3)
    world.clock.advance(11 * DAY_S)
    stop = threading.Event()
    url = world.engine.url.render_as_string(hide_password=False)
    settings = DeliverSettings(url, keep=KEEP)
    thread = threading.Thread(target=run, args=(settings, stop), kwargs={"clock": world.clock})
    thread.start()
    try:
        for _ in range(200):
            if not world.state():
                break
            stop.wait(0.05)
    finally:
        stop.set()
        thread.join(20)
    assert (world.state(), _attempts(world)) == ([], [])


def test_what_fails_is_kept_while_it_is_tried(world: World) -> None:
    world.answers["one"] = FAILED
    world.tell(1)
    world.run()
    world.clock.advance(31 * DAY_S)
    assert _forget(world) == 0
    world.answers["one"] = OK
    assert world.run() == [("one", "a-1")]
