"""A topic as a reader without a group finds it: every committed record, from the first on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from fake_source import Entry
from kafka import KafkaConsumer, TopicPartition

READ_S: Final = 120.0


@contextmanager
def reader(
    bootstrap: str, topic: str, partitions: int
) -> Iterator[tuple[Any, list[TopicPartition]]]:
    """A consumer of what is committed, and the places that it was assigned."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", enable_auto_commit=False,
        auto_offset_reset="earliest",
    )  # fmt: skip
    places = [TopicPartition(topic, p) for p in range(partitions)]
    try:
        consumer.assign(places)
        yield consumer, places
    finally:
        consumer.close()


def ends(bootstrap: str, topic: str, partitions: int) -> dict[int, int]:
    """Where each partition ends now."""
    with reader(bootstrap, topic, partitions) as (consumer, places):
        return {tp.partition: end for tp, end in consumer.end_offsets(places).items()}


def whole_log(bootstrap: str, topic: str, partitions: int) -> dict[int, list[Entry]]:
    """Every committed record, by partition."""
    log: dict[int, list[Entry]] = {p: [] for p in range(partitions)}
    with reader(bootstrap, topic, partitions) as (consumer, places):
        end = consumer.end_offsets(places)
        consumer.seek_to_beginning(*places)
        deadline = time.monotonic() + READ_S
        while any(consumer.position(tp) < end[tp] for tp in places):
            assert time.monotonic() < deadline, "the log cannot be read to its end"
            for tp, records in consumer.poll(timeout_ms=500).items():
                log[tp.partition] += [
                    Entry(r.offset, r.timestamp, r.value, r.headers) for r in records
                ]
    return log
