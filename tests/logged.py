"""What a test finds in a topic: every event's id, whatever its record's format."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa
from kafka import KafkaConsumer, TopicPartition

from driftline.producer import ARROW

DEADLINE_S = 60.0


def records_in(bootstrap: str, n_events: int, topic: str = "driftline.events") -> list[Any]:
    """Every record of the topic, read until it holds so many events, and then to its end."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, metrics_enabled=False
    )
    try:
        parts = [TopicPartition(topic, i) for i in sorted(consumer.partitions_for_topic(topic))]
        consumer.assign(parts)
        consumer.seek_to_beginning(*parts)
        found: list[Any] = []
        until = time.monotonic() + DEADLINE_S
        n = 0
        while time.monotonic() < until:
            polled = consumer.poll(timeout_ms=500)
            for records in polled.values():
                found += records
                n += sum(len(rows_of(record)) for record in records)
            if n >= n_events and not polled:
                break
        return found
    finally:
        consumer.close()


def rows_of(record: Any) -> list[dict[str, Any]]:
    """The events of a record; of an Arrow stream with what all have in common."""
    if dict(record.headers).get("content-type") == ARROW.encode():
        with pa.ipc.open_stream(record.value) as reader:
            table = reader.read_all()
        common = {
            key.decode().removeprefix("driftline."): value.decode()
            for key, value in (table.schema.metadata or {}).items()
        }
        return [common | row for row in table.to_pylist()]
    return [msgspec.json.decode(line) for line in record.value.split(b"\n")]


def ids_of(records: Sequence[Any]) -> list[Any]:
    """The ids of all events in the records, sorted."""
    return sorted(row["id"] for record in records for row in rows_of(record))
