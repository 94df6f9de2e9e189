"""Speed of the parts, one process, on the demo's year: `make bench`.

Prints seconds and events per second; run it on an idle machine and compare with itself.
`make bench ARGS=formats` times only how fast each form of record is counted.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd

from consumers.admit import Rules, admit
from consumers.count import count
from consumers.source import Record
from driftline.arrow import MEDIA_TYPE, encode_frame
from driftline.stats.reference import build_reference
from monitor.cli.broker import EmbeddedBroker, ensure_topic
from monitor.cli.demo import flights, model, produce
from monitor.storage import engine as storage
from monitor.storage import registry
from monitor.storage.registry import BoundVersion, Registry

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


def count_formats(runs: int = 7) -> None:
    """Time records to counts, the same events as JSON, as NDJSON and as Arrow, in turns.

    20 floats and 5 strings, a prediction of two classes with its score; 1,000 rows in a batch,
    25 batches in a checkpoint.
    """
    n, rows_of_record = 25_000, 1_000
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {f"x{i}": rng.normal(size=n) for i in range(20)}
        | {f"word{i}": rng.choice([f"w{j}" for j in range(12)], n) for i in range(5)}
        | {"class": rng.choice(["late", "on time"], n), "score": rng.random(n)}
        | {"at": np.arange(n) * 1_000 + 1_700_000_000_000}
    )
    reference = build_reference(frame, prediction="class", score="score", timestamp="at")
    bound = BoundVersion(1, "m", "1", "UTC", 3_600_000, ((0, reference.digest),))
    known = Registry(1, frozenset({"m"}), {("m", "1"): bound}, {reference.digest: reference})
    features = [name for name in frame.columns if name not in ("class", "score", "at")]
    lines = [
        json.dumps(
            {
                "type": "prediction", "model": "m", "version": "1", "time": row["at"],
                "features": {name: row[name] for name in features},
                "prediction": {"class": row["class"], "score": row["score"]},
            }
        ).encode()
        for row in frame.to_dict("records")
    ]  # fmt: skip
    columns = encode_frame(
        frame, model="m", version="1", prediction="class", score="score", timestamp="at",
        max_bytes=1_000_000, max_rows=rows_of_record,
    )  # fmt: skip
    starts = range(0, n, rows_of_record)
    values = {
        "JSON": lines,
        "NDJSON": [b"\n".join(lines[i : i + rows_of_record]) for i in starts],
        "Arrow": [value for value, _ in columns],
    }
    headers = {"Arrow": (("content-type", MEDIA_TYPE.encode()),)}
    # Records of 1,000 lines are larger than a service's may be.
    rules = Rules(max_record_bytes=10_000_000)
    rates: dict[str, list[float]] = {name: [] for name in values}
    for _ in range(runs + 1):
        for name, some in values.items():
            records = [
                cast(
                    Record,
                    SimpleNamespace(
                        offset=i, timestamp=-1, value=value, headers=headers.get(name, ())
                    ),
                )
                for i, value in enumerate(some)
            ]
            began = time.perf_counter()
            made = count(admit(records, rules), known)
            rates[name].append(n / (time.perf_counter() - began))
            assert sum(made.counters.values()) == n
    for name, found in rates.items():
        median = statistics.median(found[1:])  # the first run warms up
        ratio = median / statistics.median(rates["JSON"][1:])
        size = sum(map(len, values[name])) / n
        print(
            f"{f'records of {name} to counts':42} {median:12,.0f}/s {ratio:5.1f} times JSON "
            f"{size:6.0f} bytes an event",
            flush=True,
        )


def main() -> None:
    """Time every part."""
    if sys.argv[1:] == ["formats"]:
        count_formats()
        return
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
    count_formats()


if __name__ == "__main__":
    main()
