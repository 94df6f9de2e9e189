"""Records and batches that are far larger than what is fetched at once, on Apache Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from fake_source import counters, prediction
from kafka import KafkaProducer
from sqlalchemy.engine import Engine
from stage import Stage

from consumers import bounded, confluent, librdkafka, sockets
from consumers.confluent import ConfluentSource
from consumers.kafka import KafkaSource
from monitor.storage import schema as t

MB = 1_000_000


@pytest.fixture
def stage(kafka: str, engine: Engine) -> Iterator[Stage]:
    with Stage(kafka, engine) as made:
        made.register()
        yield made


def send(stage: Stage, values: list[bytes], codec: str | None) -> None:
    """All of them to the first partition, as one batch."""
    producer = KafkaProducer(
        bootstrap_servers=stage.bootstrap, compression_type=codec, batch_size=100 * MB,
        linger_ms=2_000, max_request_size=100 * MB,
    )  # fmt: skip
    try:
        sent = [producer.send(stage.topic, value, partition=0) for value in values]
        producer.flush(timeout=30)
        assert all(one.succeeded() for one in sent)
    finally:
        producer.close(timeout=5)


@pytest.mark.parametrize("codec", ["gzip", "zstd", "lz4", "snappy"])
def test_a_bomb_in_a_partition_keeps_nobody_from_being_counted(stage: Stage, codec: str) -> None:
    """Before it, behind it and beside it: all are counted, and so are the records of the bomb."""
    stage.send(prediction(i) for i in range(60))
    send(stage, [bytes(900_000)] * 10, codec)
    stage.send(prediction(i) for i in range(60, 120))
    stage.member(source=partial(KafkaSource, batch_bytes=4 * MB))
    stage.read()
    stage.members[0].leave()
    assert counters(stage.engine) == {"prediction": 120, "dead:oversized": 10}
    (letter,) = stage.rows(t.dead_letter)
    assert letter.reason == "oversized"
    assert letter.partition == 0
    assert f"a {codec} batch" in letter.detail
    assert "becomes over 4,000,000 bytes" in letter.detail


def test_connections_are_read_in_large_pieces(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what kafka-python asks for, 4 KB at a time, a record of a megabyte is 250 pieces."""
    pieces: list[int] = []

    class Watched(sockets._Socket):
        def recv(self, size: int, flags: int = 0) -> bytes:
            found = super().recv(size, flags)
            pieces.append(len(found))
            return found

    monkeypatch.setattr(sockets, "_Socket", Watched)
    stage.send(prediction(i) for i in range(10))
    send(stage, [bytes(900_000)], None)
    stage.member(source=KafkaSource, breaker=False)
    stage.read()
    stage.members[0].leave()
    assert counters(stage.engine) == {"prediction": 10, "dead:bad_json": 1}
    assert max(pieces) > 10_000


def test_batches_that_are_many_are_read_a_poll_at_a_time(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is within its limit; together they are not taken at once."""
    monkeypatch.setattr(bounded, "POLL_BYTES", 2 * MB)
    for _ in range(3):
        send(stage, [bytes(900_000)] * 10, "gzip")
    stage.send(prediction(i) for i in range(20))
    polled: list[int] = []

    class Watched(KafkaSource):
        def poll(self, timeout_s: float) -> Any:
            found = super().poll(timeout_s)
            if found:
                polled.append(sum(len(r.value or b"") for some in found.values() for r in some))
            return found

    stage.member(source=Watched, breaker=False)
    stage.read()
    stage.members[0].leave()
    assert counters(stage.engine) == {"prediction": 20, "dead:bad_json": 30}
    assert max(polled) < 2 * MB + 900_000
    assert len(polled) >= 10


def test_a_record_that_is_larger_than_what_may_be_fetched_stops_nothing(stage: Stage) -> None:
    stage.send(prediction(i) for i in range(40))
    send(stage, [b"x" * 900_000], None)
    stage.send(prediction(i) for i in range(40, 80))
    stage.member(
        options={"max_partition_fetch_bytes": 10_000, "fetch_max_bytes": 20_000},
        max_record_bytes=100_000,
    )
    stage.read()
    # By itself kafka-python refuses answers over 100 MB, and never gets past such a record.
    config = stage.members[0].source._consumer.config
    assert config["receive_message_max_bytes"] == (1 << 31) - 1
    stage.members[0].leave()
    assert counters(stage.engine) == {"prediction": 80, "dead:oversized": 1}
    with stage.engine.connect() as conn:
        size = conn.execute(sa.select(t.dead_letter.c.size_bytes)).scalar_one()
    assert size == 900_000


def test_a_batch_that_librdkafka_does_not_inflate_is_read_without_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of zstd beyond its limit for answers: it would ask for it for ever."""
    monkeypatch.setattr(librdkafka, "ANSWER_BYTES", 0)
    stage.send(prediction(i) for i in range(60))
    send(stage, [bytes(900_000)] * 10, "zstd")
    stage.send(prediction(i) for i in range(60, 120))
    stage.member(
        source=partial(ConfluentSource, batch_bytes=4 * MB),
        options={"max_partition_fetch_bytes": 500_000, "fetch_max_bytes": 1_000_000},
    )
    stage.read()
    stage.members[0].leave()
    assert counters(stage.engine) == {"prediction": 120, "dead:oversized": 10}
    (letter,) = stage.rows(t.dead_letter)
    assert "a zstd batch" in letter.detail
    assert "becomes over 4,000,000 bytes" in letter.detail


@pytest.mark.parametrize("is_patient", [True, False])
def test_what_takes_long_to_inflate_is_not_thrown_away_for_ever(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, is_patient: bool
) -> None:
    """A partition that brings nothing is sought again, and librdkafka begins anew with a batch."""
    monkeypatch.setattr(confluent, "UNHEARD_S", 0.02)
    monkeypatch.setattr(confluent, "DOUBLED", 10 if is_patient else 0)
    stage.send(prediction(i) for i in range(60))
    send(stage, [bytes(900_000)] * 90, "gzip")
    member = stage.member(source=ConfluentSource, breaker=False)
    whole = {"prediction": 60, "dead:bad_json": 90}
    if is_patient:
        stage.until(lambda: counters(stage.engine) == whole, "it is not read")
        return
    stage.until(lambda: member.source._in_vain[0] > 20, "it is not asked for again")
    assert "dead:bad_json" not in counters(stage.engine)
