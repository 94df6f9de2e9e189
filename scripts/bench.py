"""Speed of the parts, one process, on the demo's year: `make bench`.

Prints seconds and events per second; run it on an idle machine and compare with itself.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from consumers.admit import Rules, admit
from consumers.count import count
from consumers.source import Record
from driftline.stats.reference import build_reference
from monitor.cli.broker import EmbeddedBroker, ensure_topic
from monitor.cli.demo import flights, model, produce
from monitor.storage import engine as storage
from monitor.storage import registry

TOPIC = "driftline.events"
BATCH = 5_000  # about what a poll and a checkpoint hold together


@contextmanager
def timed(name: str, events: int | None = None) -> Iterator[None]:
    """Print how long the block took."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    rate = f"{events / wall:12,.0f}/s" if events is not None else ""
    print(f"{name:42} {wall:7.2f} s wall {cpu:7.2f} s cpu {rate}", flush=True)


def main() -> None:
    """Time every part."""
    with timed("features of the year"):
        year = flights.build()
    with timed("six trainings, scores of the year"):
        year = model.score(year)
    with timed("reference from January"):
        reference = build_reference(
            year.reference,
            prediction="prediction",
            score="score",
            timestamp="time",
            timezone=flights.ZONE,
            features=list(flights.FEATURES),
            categorical=flights.CATEGORICAL,
            segments=("origin",),
        )
    total = len(year.stream) + int(year.stream["lands_at"].notna().sum())
    with timed("events to JSON", total):
        records = [r for piece in produce.log(year.stream, partitions=4) for r in piece.records]
    with EmbeddedBroker(0) as broker:
        ensure_topic(broker.bootstrap, TOPIC)
        with timed("events to JSON and to the broker", total):
            produce.send(
                produce.log(year.stream, partitions=4),
                bootstrap=broker.bootstrap,
                topic=TOPIC,
                told=lambda _: None,
            )
    with tempfile.TemporaryDirectory() as folder:
        engine = storage.create(f"sqlite:///{Path(folder) / 'bench.db'}")
        storage.upgrade(engine)
        with storage.transaction(engine) as conn:
            registry.register_reference(
                conn, reference, model=produce.MODEL, version=produce.VERSION, now_ms=0
            )
        known = registry.load(engine, None)
        now_ms = time.time_ns() // 1_000_000
        batches = [
            [
                cast(Record, SimpleNamespace(offset=i, timestamp=now_ms, value=value, headers=()))
                for i, (_, value, _) in enumerate(records[start : start + BATCH])
            ]
            for start in range(0, total, BATCH)
        ]
        rules = Rules()
        with timed("decode, admit and count, without Kafka", total):
            for batch in batches:
                count(admit(batch, rules), known)
        engine.dispose()


if __name__ == "__main__":
    main()
