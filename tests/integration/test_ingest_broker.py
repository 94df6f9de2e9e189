"""Ingest processes on the embedded broker: groups, kill -9, a broker that is not there."""

from __future__ import annotations

import gc
import json
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest
from fake_source import (
    KAFKA_MS,
    Entry,
    counters,
    positions,
    prediction,
    recount,
    register,
    stored_counts,
)
from kafka import KafkaProducer
from sqlalchemy.engine import Engine

from consumers.process import IngestSettings, run
from driftline.arrow import MEDIA_TYPE, encode_frame
from driftline.errors import BrokerUnavailable, SchemaVersionError
from monitor.cli.broker import EmbeddedBroker, ensure_topic
from monitor.storage import engine as storage

# kafka-python leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)

TOPIC = "driftline.events"
# The embedded broker lets a group wait for half of it before the first assignment.
SESSION = {"session_timeout_ms": 2_000, "heartbeat_interval_ms": 400}
DEADLINE_S = 60.0
EVENTS = 6_000


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Sockets that a test left behind are its own, and not the next test's."""
    yield
    gc.collect()


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """A broker with the topic."""
    with EmbeddedBroker(0) as started:
        ensure_topic(started.bootstrap, TOPIC)
        yield started


def _produce(broker: EmbeddedBroker, values: list[bytes]) -> list[list[Entry]]:
    """Write the values round robin; return what each partition's log holds now."""
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap)
    logs: list[list[Entry]] = [[] for _ in range(4)]
    for i, value in enumerate(values):
        producer.send(TOPIC, value, partition=i % 4, timestamp_ms=KAFKA_MS)
        logs[i % 4].append(Entry(len(logs[i % 4]), KAFKA_MS, value))
    producer.flush(timeout=DEADLINE_S)
    producer.close()
    return logs


def _settings(broker: EmbeddedBroker, url: str, **changes: Any) -> IngestSettings:
    given = {
        "checkpoint_interval_s": 0.2,
        "stream_epoch": broker.epoch,
        "client_options": SESSION,
    } | changes
    return IngestSettings(url, broker.bootstrap, TOPIC, **given)


def _wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline, what
        threading.Event().wait(0.05)


def _next_offsets(engine: Engine) -> int:
    return sum(p.next_offset for p in positions(engine))


def _ingest(settings: IngestSettings) -> None:
    run(settings, threading.Event())


def test_kill_9_in_the_middle_changes_no_count(
    broker: EmbeddedBroker, engine: Engine, database_url: str
) -> None:
    reference = register(engine)
    values = [prediction(i) for i in range(EVENTS)]
    values[17] = b"{"
    logs = _produce(broker, values)
    # Small steps, so that the kill comes in the middle of the log.
    slow = _settings(
        broker,
        database_url,
        checkpoint_interval_s=0.02,
        client_options=SESSION | {"max_poll_records": 50, "max_partition_fetch_bytes": 20_000},
    )
    context = multiprocessing.get_context("spawn")
    killed_at = []
    for _ in range(2):
        begun = _next_offsets(engine)
        child = context.Process(target=_ingest, args=(slow,))
        child.start()
        _wait_until(lambda at=begun: _next_offsets(engine) > at, "nothing was counted")  # type: ignore[misc]
        child.kill()
        child.join(DEADLINE_S)
        assert child.exitcode == -signal.SIGKILL
        killed_at.append(_next_offsets(engine))
    assert killed_at[0] < EVENTS, "it was killed after the end"

    stop = threading.Event()
    last = threading.Thread(target=run, args=(_settings(broker, database_url), stop))
    last.start()
    try:
        _wait_until(lambda: _next_offsets(engine) == EVENTS, "the end was not reached")
        _wait_until(
            lambda: all(p.caught_up_for_ms > 0 for p in positions(engine)), "it is not idle"
        )
    finally:
        stop.set()
        began = time.monotonic()
        last.join(DEADLINE_S)
    assert time.monotonic() - began < 5.0, "it left the group too slowly"
    counted = counters(engine)
    assert counted["prediction"] == EVENTS - 1
    assert counted["dead:bad_json"] == 1
    assert stored_counts(engine, reference) == recount(engine, logs)


def test_a_second_member_takes_its_share_and_gives_it_back(
    broker: EmbeddedBroker, engine: Engine, database_url: str
) -> None:
    reference = register(engine)
    stops = [threading.Event(), threading.Event()]
    members = [
        threading.Thread(target=run, args=(_settings(broker, database_url, owner=name), stops[i]))
        for i, name in enumerate(("one", "two"))
    ]

    def _owners() -> set[str | None]:
        return {p.owner for p in positions(engine)}

    values = [prediction(i) for i in range(4_000)]
    logs = _produce(broker, values)
    try:
        members[0].start()
        _wait_until(lambda: _owners() == {"one"}, "the first member owns nothing")
        members[1].start()
        _wait_until(lambda: _owners() == {"one", "two"}, "the second member owns nothing")
        stops[0].set()
        members[0].join(DEADLINE_S)
        _wait_until(lambda: _owners() == {"two"}, "the partitions were not taken over")
        _wait_until(lambda: _next_offsets(engine) == 4_000, "the end was not reached")
    finally:
        for stop in stops:
            stop.set()
        members[1].join(DEADLINE_S)
    assert counters(engine)["prediction"] == 4_000
    assert stored_counts(engine, reference) == recount(engine, logs)


def test_a_frame_as_arrow_crosses_the_broker_and_counts_as_its_rows_would(
    broker: EmbeddedBroker, engine: Engine, database_url: str
) -> None:
    reference = register(engine)
    rows = [json.loads(prediction(i)) for i in range(2_500)]
    frame = pd.DataFrame(
        [row["features"] | row["prediction"] | {"id": row["id"], "at": row["time"]} for row in rows]
    )
    records = encode_frame(
        frame, model="m", version="1", prediction="class", score="score", id="id", timestamp="at",
        max_bytes=100_000,
    )  # fmt: skip
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, compression_type="lz4")
    headers = [("content-type", MEDIA_TYPE.encode())]
    n_records = 0
    for value, _ in records:
        producer.send(TOPIC, value, partition=0, timestamp_ms=KAFKA_MS, headers=headers)
        n_records += 1
    producer.send(TOPIC, b"no stream", partition=0, timestamp_ms=KAFKA_MS, headers=headers)
    producer.flush(timeout=DEADLINE_S)
    producer.close()
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(_settings(broker, database_url), stop))
    thread.start()
    try:
        _wait_until(lambda: _next_offsets(engine) == n_records + 1, "it was not read")
    finally:
        stop.set()
        thread.join(DEADLINE_S)
    counted = counters(engine)
    assert (counted["prediction"], counted["dead:bad_arrow"]) == (2_500, 1)
    as_json = [Entry(i, KAFKA_MS, prediction(i)) for i in range(2_500)]
    assert stored_counts(engine, reference) == recount(engine, [as_json])


def test_a_restarted_broker_is_a_new_stream(engine: Engine, database_url: str) -> None:
    register(engine)
    stop = threading.Event()
    with EmbeddedBroker(0) as broker:
        ensure_topic(broker.bootstrap, TOPIC)
        _produce(broker, [prediction(i) for i in range(400)])
        # One epoch for both lives: the topic's own id must be enough.
        settings = IngestSettings(
            database_url,
            broker.bootstrap,
            TOPIC,
            checkpoint_interval_s=0.2,
            client_options=SESSION,
        )
        thread = threading.Thread(target=run, args=(settings, stop))
        thread.start()
        try:
            _wait_until(lambda: _next_offsets(engine) == 400, "the first life was not read")
            broker.stop()
            broker.start()
            ensure_topic(broker.bootstrap, TOPIC)
            _produce(broker, [prediction(i) for i in range(800)])
            _wait_until(lambda: _next_offsets(engine) == 1_200, "the second life was not read")
        finally:
            stop.set()
            thread.join(DEADLINE_S)
    assert counters(engine)["prediction"] == 1_200
    assert len(positions(engine)) == 8


def test_a_topic_made_after_the_start_is_read(engine: Engine, database_url: str) -> None:
    register(engine)
    stop = threading.Event()
    with EmbeddedBroker(0) as broker:
        thread = threading.Thread(target=run, args=(_settings(broker, database_url), stop))
        thread.start()
        try:
            ensure_topic(broker.bootstrap, TOPIC)
            _produce(broker, [prediction(i) for i in range(100)])
            _wait_until(lambda: counters(engine).get("prediction") == 100, "it was not read")
        finally:
            stop.set()
            thread.join(DEADLINE_S)


def test_no_broker_at_the_start_is_one_line_that_says_what_to_do(
    database_url: str, engine: Engine
) -> None:
    with pytest.raises(BrokerUnavailable, match="no Kafka broker answers at") as caught:
        run(IngestSettings(database_url, "127.0.0.1:1"), threading.Event())
    assert "\n" not in str(caught.value)
    assert "--kafka" in str(caught.value)


def test_an_older_schema_is_refused_with_the_command_that_mends_it(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path / 'empty.db'}"
    storage.create(url)
    with pytest.raises(SchemaVersionError, match="driftline db upgrade"):
        run(IngestSettings(url, "127.0.0.1:1"), threading.Event())


def test_ndjson_travels_through_the_broker(
    broker: EmbeddedBroker, engine: Engine, database_url: str
) -> None:
    register(engine)
    lines = [prediction(i) for i in range(30)]
    lines[3] = b'{"type": "prediction"'
    lines[4] = json.dumps({"type": "prediction", "model": "m"}).encode()
    _produce(broker, [b"\n".join(lines)])
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(_settings(broker, database_url), stop))
    thread.start()
    try:
        _wait_until(lambda: _next_offsets(engine) == 1, "it was not read")
    finally:
        stop.set()
        thread.join(DEADLINE_S)
    assert counters(engine) == {
        "prediction": 28,
        "dead:bad_json": 1,
        "dead:time_missing": 1,
    }
