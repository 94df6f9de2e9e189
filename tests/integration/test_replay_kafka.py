"""`driftline replay` on Apache Kafka and PostgreSQL, while consumers read and producers write."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import apache_kafka
import postgres
import pytest
import sqlalchemy as sa
from fake_source import KAFKA_MS, prediction, recount, register, stored_counts
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from sqlalchemy.engine import Engine

from consumers.process import IngestSettings, run
from monitor.cli.broker import ensure_topic
from monitor.storage import engine as storage
from monitor.storage import schema as t

# kafka-python leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)

BEFORE, DEADLINE_S = 4_000, 90.0


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Sockets that a test left behind are its own, and not the next test's."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def bootstrap() -> Iterator[str]:
    made = apache_kafka.start()
    yield made if isinstance(made, str) else made.bootstrap
    if not isinstance(made, str):
        made.remove()


def _ingest(settings: IngestSettings) -> None:
    run(settings, threading.Event())


def _wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline, what
        threading.Event().wait(0.1)


class Producing:
    """A service that logs predictions, some of them in a transaction that is aborted."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic, self.sent = topic, 0
        self._producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=5)
        self._aborting = KafkaProducer(
            bootstrap_servers=bootstrap, transactional_id=uuid.uuid4().hex
        )
        self._aborting.init_transactions()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go_on)

    def send(self, n: int) -> None:
        for i in range(self.sent, self.sent + n):
            self._producer.send(
                self._topic, prediction(i % 900), partition=i % 4, timestamp_ms=KAFKA_MS
            )
        self.sent += n
        self._producer.flush(timeout=DEADLINE_S)
        self._aborting.begin_transaction()
        for partition in range(4):
            self._aborting.send(self._topic, prediction(1), partition=partition)
        self._aborting.flush(timeout=DEADLINE_S)
        self._aborting.abort_transaction()

    def __enter__(self) -> Producing:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=DEADLINE_S)
        self._producer.close()
        self._aborting.close()

    def _go_on(self) -> None:
        while not self._stop.is_set():
            self.send(40)
            self._stop.wait(0.05)


def _log(bootstrap: str, topic: str) -> list[list[Any]]:
    """The topic's records by partition, those that were committed."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", enable_auto_commit=False
    )
    parts = [TopicPartition(topic, partition) for partition in range(4)]
    consumer.assign(parts)
    consumer.seek_to_beginning(*parts)
    ends = consumer.end_offsets(parts)
    found: list[list[Any]] = [[] for _ in parts]
    deadline = time.monotonic() + DEADLINE_S
    while any(consumer.position(tp) < ends[tp] for tp in parts):
        assert time.monotonic() < deadline
        for tp, records in consumer.poll(timeout_ms=500).items():
            found[tp.partition] += records
    consumer.close()
    return found


def test_a_late_reference_is_replayed_while_everything_runs(
    bootstrap: str, databases: postgres.Databases
) -> None:
    url, topic = databases.copy_of("empty"), f"replay-{uuid.uuid4().hex[:8]}"
    engine = storage.create(url)
    ensure_topic(bootstrap, topic)
    environment = os.environ | {
        "DRIFTLINE_DATABASE__URL": url,
        "DRIFTLINE_KAFKA__BOOTSTRAP": bootstrap,
        "DRIFTLINE_KAFKA__TOPIC": topic,
    }

    def driftline(*words: str) -> tuple[int, Any, str]:
        done = subprocess.run(
            [sys.executable, "-m", "monitor.cli", "replay", *words],
            capture_output=True, text=True, timeout=DEADLINE_S, env=environment, check=False,
        )  # fmt: skip
        out = json.loads(done.stdout) if done.stdout.startswith("{") else done.stdout
        return done.returncode, out, done.stderr

    code, _, said = driftline()
    assert (code, "there is nothing to replay" in said) == (1, True), said
    settings = IngestSettings(
        url, bootstrap, topic, checkpoint_interval_s=0.5,
        client_options={"session_timeout_ms": 6_000, "heartbeat_interval_ms": 1_000},
    )  # fmt: skip
    ingest = multiprocessing.get_context("spawn").Process(target=_ingest, args=(settings,))
    ingest.start()
    try:
        producing = Producing(bootstrap, topic)
        producing.send(BEFORE)
        _wait_until(lambda: _counted(engine) == {"unmonitored": BEFORE}, "not read")
        reference = register(engine)
        with producing:
            code, done, said = driftline("--model", "m", "--version", "1", "--json")
            assert code == 0, said
            assert done["recovered"] >= BEFORE
        _wait_until(lambda: sum(_counted(engine).values()) >= producing.sent, "not read")
        _wait_until(lambda: _is_at_the_end(engine), "not read")
        assert producing.sent > BEFORE + 100
        assert _counted(engine) == {"prediction": producing.sent}
        logs = _log(bootstrap, topic)
        assert sum(map(len, logs)) == producing.sent
        assert stored_counts(engine, reference) == recount(engine, logs)

        code, found, said = driftline("--verify", "--json")
        assert (code, found["equal"], found["events"]) == (0, True, producing.sent), said
        with storage.transaction(engine) as conn:
            one = conn.execute(sa.select(t.pane).where(t.pane.c.segment == "all").limit(2)).all()
            here = [column == one[0]._mapping[column.name] for column in t.pane.primary_key]
            conn.execute(sa.delete(t.pane).where(*here))
        code, found, _ = driftline("--verify")
        assert code == 1
        assert "1 of" in found
        code, found, said = driftline("--from", "2013-01-01")
        assert code == 0, said
        assert stored_counts(engine, reference) == recount(engine, logs)
        code, _, said = driftline("--from-offset", "0:99999999")
        assert code == 2, said
        code, _, said = driftline("--model", "other")
        assert (code, "one of m" in said) == (2, True), said
        began = time.monotonic()
        code, _, said = driftline("--kafka", "127.0.0.1:1")
        assert code == 2
        assert "127.0.0.1:1" in said
        assert time.monotonic() - began < 30
    finally:
        ingest.kill()
        ingest.join()
        engine.dispose()
        databases.drop(url)


def _counted(engine: Engine) -> dict[str, int]:
    c = t.counter.c
    query = sa.select(c.outcome, sa.func.sum(c["count"])).group_by(c.outcome)
    with engine.connect() as conn:
        return {
            outcome: int(count)
            for outcome, count in conn.execute(query)
            if outcome in ("prediction", "unmonitored")
        }


def _is_at_the_end(engine: Engine) -> bool:
    p = t.stream_position.c
    with engine.connect() as conn:
        return all(
            row.next_offset >= row.end_offset
            for row in conn.execute(sa.select(p.next_offset, p.end_offset))
        )
