"""PostgreSQL under several processes at once: who waits, who is refused, what is tried again.

SQLite lets one writer in at a time; what only PostgreSQL lets happen is made to happen here.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import postgres
import pytest
import sqlalchemy as sa
from fake_source import (
    KAFKA_MS,
    FakeSource,
    FakeTopic,
    counters,
    positions,
    prediction,
    recount,
    register,
    small_reference,
    stored_counts,
)
from judged_world import START_MS, world_of
from sqlalchemy.engine import Engine

from consumers.loop import Loop
from consumers.settings import IngestSettings
from driftline.errors import ConfigError, Fenced, StorageUnavailable
from monitor.clock import HeldClock
from monitor.storage import checkpoint, registry
from monitor.storage import engine as storage
from monitor.storage import postgres as storage_postgres
from monitor.storage import schema as t
from monitor.storage.checkpoint import Claim, Move, RegistryMoved
from monitor.storage.delta import CounterKey, Delta

DEADLINE_S = 30.0
COUNTED = CounterKey("m", "1", "prediction")


@pytest.fixture
def backend() -> str:
    return "postgresql"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as made:
        yield made


def until(is_so: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.01)


def waits(engine: Engine, future: Future[Any]) -> None:
    """Return when a transaction waits for a lock, as the server sees it."""

    def is_waiting() -> bool:
        assert not future.done(), f"it did not wait: {future}"
        with engine.connect() as conn:
            query = (
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            return bool(conn.exec_driver_sql(query).scalar_one())

    until(is_waiting, "nothing waits for a lock")


def stream_of(engine: Engine, topic_id: str = "life-1") -> int:
    with storage.transaction(engine) as conn:
        return checkpoint.open_stream(
            conn, cluster_id="c", topic="t", topic_id=topic_id, start_policy="earliest",
            group_id="g", bounds={0: (0, 0)}, now_ms=1,
        ).id  # fmt: skip


def claim(engine: Engine, stream_id: int, owner: str, partition: int = 0) -> Claim:
    with storage.transaction(engine) as conn:
        return checkpoint.claim(
            conn, stream_id=stream_id, partition=partition, owner=owner, group_id="g"
        )


def ten_more(conn: sa.Connection, held: Claim) -> Claim:
    """Count ten predictions."""
    delta = Delta()
    delta.counters[COUNTED] = 10
    move = Move(held.next_offset + 10, registry.revision(conn), None, None, None)
    return checkpoint.commit(conn, held, move, delta, 1)


def commit_ten(engine: Engine, held: Claim) -> Claim:
    with storage.transaction(engine) as conn:
        return ten_more(conn, held)


def test_a_claim_waits_for_a_checkpoint_and_begins_behind_it(
    engine: Engine, pool: ThreadPoolExecutor
) -> None:
    stream_id = stream_of(engine)
    first = claim(engine, stream_id, "one")
    with storage.transaction(engine) as conn:
        ten_more(conn, first)
        second = pool.submit(claim, engine, stream_id, "two")
        waits(engine, second)
    assert second.result(DEADLINE_S).next_offset == 10
    with pytest.raises(Fenced):
        commit_ten(engine, first)
    assert counters(engine) == {"prediction": 10}


def test_a_checkpoint_that_waited_for_a_claim_is_fenced(
    engine: Engine, pool: ThreadPoolExecutor
) -> None:
    stream_id = stream_of(engine)
    first = claim(engine, stream_id, "one")
    with storage.transaction(engine) as conn:
        checkpoint.claim(conn, stream_id=stream_id, partition=0, owner="two", group_id="g")
        late = pool.submit(commit_ten, engine, first)
        waits(engine, late)
    assert isinstance(late.exception(DEADLINE_S), Fenced)
    assert counters(engine) == {}


def test_partitions_do_not_wait_for_each_other(engine: Engine) -> None:
    stream_id = stream_of(engine)
    held = [claim(engine, stream_id, "one", partition) for partition in (0, 1)]
    with storage.transaction(engine) as conn:
        ten_more(conn, held[0])
        commit_ten(engine, held[1])
    assert counters(engine) == {"prediction": 20}


def test_members_that_start_together_make_one_stream_and_one_new_partition(
    engine: Engine, pool: ThreadPoolExecutor
) -> None:
    for life in range(5):
        gate = threading.Barrier(4)

        def start(life: int = life, gate: threading.Barrier = gate) -> tuple[int, int]:
            gate.wait(DEADLINE_S)
            stream_id = stream_of(engine, f"life-{life}")
            gate.wait(DEADLINE_S)
            return stream_id, claim(engine, stream_id, "any", partition=7).epoch

        found = [done.result(DEADLINE_S) for done in [pool.submit(start) for _ in range(4)]]
        assert len({stream_id for stream_id, _ in found}) == 1
        assert sorted(epoch for _, epoch in found) == [1, 2, 3, 4]


def test_a_registration_waits_for_checkpoints_that_rely_on_the_registry(
    engine: Engine, pool: ThreadPoolExecutor
) -> None:
    held = claim(engine, stream_of(engine), "one")
    before = 0
    with storage.transaction(engine) as conn:
        before = registry.revision(conn)
        ten_more(conn, held)
        registered = pool.submit(register, engine)
        waits(engine, registered)
        assert registry.revision(conn) == before
    registered.result(DEADLINE_S)
    with storage.reading(engine) as conn:
        assert registry.revision(conn) == before + 1


def test_a_checkpoint_that_waited_for_a_registration_reads_its_records_again(
    engine: Engine, pool: ThreadPoolExecutor
) -> None:
    made = small_reference()
    held = claim(engine, stream_of(engine), "one")
    with storage.transaction(engine) as conn:
        registry.register_reference(conn, made, model="m", version="1", now_ms=1)
        late = pool.submit(commit_ten, engine, held)
        waits(engine, late)
    assert isinstance(late.exception(DEADLINE_S), RegistryMoved)
    assert counters(engine) == {}


def test_references_registered_while_records_flow_lose_and_double_nothing(
    engine: Engine, pool: ThreadPoolExecutor
) -> None:
    made = register(engine)
    clock, topic = HeldClock(now_ms=KAFKA_MS), FakeTopic(2)
    source = FakeSource(topic, clock, max_records=7)
    settings = IngestSettings("", "", checkpoint_interval_s=0.05)
    loop = Loop(engine, source, settings, clock)
    source.give(0, 1)
    registered = pool.submit(
        lambda: [register(engine, version=str(number), seed=number) for number in range(2, 7)]
    )
    for number in range(300):
        topic.append(prediction(number), number % 2)
        loop.step()
        clock.advance(0.02)
    registered.result(DEADLINE_S)
    until(lambda: _is_read(loop, clock, engine, topic), "it was not read to its end")
    assert counters(engine) == {"prediction": 300}
    assert stored_counts(engine, made) == recount(engine, topic.logs.values())


def _is_read(loop: Loop, clock: HeldClock, engine: Engine, topic: FakeTopic) -> bool:
    loop.step()
    clock.advance(1.1)
    return [row.next_offset for row in positions(engine)] == list(topic.end.values())


def test_of_two_evaluators_at_once_one_writes_and_nothing_is_doubled(
    engine: Engine, reference: Any, pool: ThreadPoolExecutor
) -> None:
    world = world_of(engine, reference)
    for start in (0, 30):
        world.write(START_MS + start * 3_600_000, 30, shift=0.9 if start else 0.0)
        gate = threading.Barrier(3)

        def step(gate: threading.Barrier = gate) -> int:
            evaluator = world.evaluator()
            gate.wait(DEADLINE_S)
            return evaluator.step()

        counts = [done.result(DEADLINE_S) for done in [pool.submit(step) for _ in range(3)]]
        assert sum(counts) > 0
        cursor = world.rows(t.evaluator_cursor)[0]
        windows = world.rows(t.window)
        assert {row.revision for row in windows} == {1}
        assert cursor.epoch <= 3
    assert world.evaluator().step() == 0
    found = world.facts()
    judged = (t.window, t.model_window, t.finding, t.finding_day, t.latch)
    for table in (*judged, t.incident, t.evaluator_cursor):
        with storage.transaction(engine) as conn:
            conn.execute(sa.delete(table))
    world.evaluator().step()
    assert world.facts() == found


def test_an_owner_that_stops_inside_its_transaction_blocks_the_next_only_for_a_while(
    engine: Engine, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream_id = stream_of(engine)
    first = claim(engine, stream_id, "one")
    short = storage_postgres.SESSION | {"idle_in_transaction_session_timeout": "1s"}
    monkeypatch.setattr(storage_postgres, "SESSION", short)
    stopped = storage.create(engine.url.render_as_string(hide_password=False))
    with pytest.raises(StorageUnavailable, match="lost"), storage.transaction(stopped) as conn:
        ten_more(conn, first)
        # The process stands still here; the server ends its session.
        second = pool.submit(claim, engine, stream_id, "two").result(DEADLINE_S)
        ten_more(conn, first)
    assert second.next_offset == 0
    assert counters(engine) == {}
    # It wakes up with a new connection, and is fenced.
    with pytest.raises(Fenced):
        commit_ten(stopped, first)
    stopped.dispose()


def test_a_server_that_is_restarted_loses_and_doubles_nothing(
    engine: Engine, databases: postgres.Databases
) -> None:
    if databases.server is None:
        pytest.skip("this server belongs to somebody else")
    made = register(engine)
    clock, topic = HeldClock(now_ms=KAFKA_MS), FakeTopic()
    source = FakeSource(topic, clock)
    loop = Loop(engine, source, IngestSettings("", "", checkpoint_interval_s=0.5), clock)
    source.give(0)
    for number in range(60):
        topic.append(prediction(number))
        loop.step()
        if number in (10, 40):
            databases.server.restart()
        if number == 25:
            databases.server.stop()
        if number == 30:
            databases.server.start()
        clock.advance(0.3)
    until(lambda: _is_read(loop, clock, engine, topic), "it was not read to its end")
    assert counters(engine) == {"prediction": 60}
    assert stored_counts(engine, made) == recount(engine, topic.logs.values())


def test_an_evaluator_whose_connection_is_cut_judges_when_it_is_back(
    engine: Engine, reference: Any
) -> None:
    world = world_of(engine, reference)
    world.write(START_MS, 30)
    evaluator = world.evaluator()
    write = evaluator._write

    def cut(found: Any) -> bool:
        with storage.transaction(engine) as conn:
            conn.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
        return write(found)

    evaluator._write = cut  # type: ignore[method-assign]
    with pytest.raises(StorageUnavailable):
        evaluator.step()
    assert world.rows(t.window) == []
    evaluator._write = write  # type: ignore[method-assign]
    assert evaluator.step() > 0


# -- what the server refuses for now ---------------------------------------------------------


def _with(engine: Engine, setting: str, statement: str) -> None:
    with storage.transaction(engine) as conn:
        conn.exec_driver_sql(setting)
        conn.exec_driver_sql(statement)


@pytest.mark.parametrize(
    ("setting", "statement"),
    [
        ("SET LOCAL statement_timeout = '50ms'", "SELECT pg_sleep(20)"),
        ("SET LOCAL lock_timeout = '50ms'", "UPDATE registry SET revision = 1"),
        ("SET TRANSACTION READ ONLY", "UPDATE data_version SET value = 1"),
        ("SELECT 1", "SELECT pg_terminate_backend(pg_backend_pid())"),
    ],
)
def test_what_may_succeed_later_is_unavailable(
    engine: Engine, setting: str, statement: str
) -> None:
    with storage.transaction(engine) as conn:
        conn.exec_driver_sql("UPDATE registry SET revision = revision")
        with pytest.raises(StorageUnavailable):
            _with(engine, setting, statement)


def test_a_deadlock_ends_one_of_the_two_which_may_try_again(
    engine: Engine, pool: ThreadPoolExecutor
) -> None:
    gate = threading.Barrier(2)

    def both(first: str, second: str) -> None:
        with storage.transaction(engine) as conn:
            conn.exec_driver_sql(first)
            gate.wait(DEADLINE_S)
            conn.exec_driver_sql(second)

    one, two = "UPDATE registry SET revision = 7", "UPDATE data_version SET value = 7"
    ended = [pool.submit(both, one, two), pool.submit(both, two, one)]
    errors = [done.exception(DEADLINE_S) for done in ended]
    assert sorted(type(error).__name__ for error in errors) == ["NoneType", "StorageUnavailable"]


def test_a_user_without_rights_is_told_what_is_missing(engine: Engine) -> None:
    with storage.transaction(engine) as conn:
        conn.exec_driver_sql("DROP ROLE IF EXISTS driftline_guest")
        conn.exec_driver_sql("CREATE ROLE driftline_guest")
    with (
        pytest.raises(StorageUnavailable, match=r"registry.*GRANT"),
        storage.transaction(engine) as conn,
    ):
        conn.exec_driver_sql("SET LOCAL ROLE driftline_guest")
        registry.revision(conn)
    with storage.transaction(engine) as conn:
        conn.exec_driver_sql("DROP ROLE driftline_guest")


def test_what_cannot_be_reached_is_named_without_its_password(engine: Engine) -> None:
    for url in (
        engine.url.set(database="not_there"),
        sa.make_url("postgresql://me:hunter2@127.0.0.1:1/x"),
    ):
        absent = storage.create(url.render_as_string(hide_password=False))
        with pytest.raises(StorageUnavailable) as caught:
            storage.check_schema(absent)
        assert str(url.database) in str(caught.value)
        assert "hunter2" not in str(caught.value)
        absent.dispose()


def test_an_address_without_a_driver_is_that_of_psycopg_and_no_other_is_taken() -> None:
    for name in ("postgresql", "postgres"):
        made = storage.create(f"{name}://me@host/name")
        assert made.url.drivername == "postgresql+psycopg"
    with pytest.raises(ConfigError, match=r"postgresql\+psycopg"):
        storage.create("postgresql+psycopg2://me@host/name")


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r"pip install 'driftline\[postgres\]'"):
        storage.create("postgresql+psycopg://me@host/name")
