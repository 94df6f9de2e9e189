"""The process that is measured: `python -m bench.worker '{"kind": "consume", ...}'`.

It prints one JSON object. What is timed begins when partitions may be read, imports and joining
the group left out, and ends with the last record's checkpoint; processor time is the whole
process's, the client's threads included.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from bench.sampling import Sampler

POLL_S: Final = 0.25
MB: Final = 1e6


class Span:
    """Wall and processor seconds between two instants."""

    def __init__(self) -> None:
        self.began: tuple[float, float] | None = None
        self.ended: tuple[float, float] | None = None
        self.began_at = self.ended_at = 0.0

    def begin(self) -> None:
        """Now."""
        self.began, self.began_at = (time.perf_counter(), time.process_time()), time.time()

    def end(self) -> None:
        """Now; the last one counts."""
        self.ended, self.ended_at = (time.perf_counter(), time.process_time()), time.time()

    def found(self, records: int, **more: Any) -> dict[str, Any]:
        """What is printed."""
        assert self.began is not None, "nothing was ever read"
        assert self.ended is not None, "nothing was ever finished"
        return {
            "records": records,
            "seconds": self.ended[0] - self.began[0],
            "cpu_s": self.ended[1] - self.began[1],
            "began_at": self.began_at,
            "ended_at": self.ended_at,
            "peak_mb": peak_mb(),
            **more,
        }


def peak_mb() -> float:
    """The most memory this process has had, and not the one that started it."""
    said = Path("/proc/self/status")
    if said.exists():  # what `getrusage` says there begins with the parent's
        line = next(line for line in said.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / MB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # In bytes on macOS, in KiB elsewhere.
    return peak / MB if sys.platform == "darwin" else peak * 1024 / MB


# -- our consumer ----------------------------------------------------------------------------


class Timing:
    """A loop's meter: when the last partition was committed, and how long each took."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.checkpoints: list[float] = []
        self.failures: list[str] = []

    def stepped(self, standing: Any) -> None:
        """Not needed."""

    def checkpointed(self, result: str, seconds: float) -> None:
        """Keep the last instant."""
        if result == "committed":
            self.checkpoints.append(seconds)
            self._span.end()

    def rebalanced(self, kind: Literal["assigned", "revoked", "lost"]) -> None:
        """Not needed."""

    def poll_failed(self, error: Exception) -> None:
        """Keep it: a run in which polls fail is none to measure."""
        self.failures.append(str(error))

    def answers(self, part: str, *, is_up: bool) -> None:
        """Not needed."""


def consume(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Count a topic as `driftline ingest` does: to its ends, or until SIGTERM."""
    import pyarrow  # noqa: F401 - it is imported by the first record otherwise

    from consumers import process
    from consumers.loop import Loop
    from consumers.settings import IngestSettings

    ends = {int(p): end for p, end in (asked.get("ends") or {}).items()}
    stop, span = threading.Event(), Span()
    meter = Timing(span)
    sampler = Sampler(is_on=bool(asked.get("is_sampled")))
    # What memory is made of, about once a second: when, MB held for checkpoints, Python's blocks.
    made_of: list[tuple[float, float, int]] = []
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    read = 0

    class Until(Loop):
        """The loop as it is; it is looked at between its steps."""

        def step(self) -> None:
            super().step()
            owned = {p: o.ledger for p, o in self._owned.items()}
            if not owned or None in owned.values():
                return
            if span.began is None:
                sampler.start()
                span.begin()
            if asked.get("is_watched") and (not made_of or time.time() - made_of[-1][0] >= 1.0):
                made_of.append((time.time(), self._held[1] / MB, sys.getallocatedblocks()))
            at = {p: ledger.position for p, ledger in owned.items() if ledger is not None}
            if ends and all(position >= ends[p] for p, position in at.items()):
                nonlocal read
                read = sum(at.values())
                stop.set()

    process.Loop = Until  # type: ignore[misc]
    settings = IngestSettings(
        asked["database_url"],
        asked["bootstrap"],
        asked["topic"],
        asked["group"],
        checkpoint_interval_s=asked.get("interval_s", 30.0),
        client=asked["client"],
        **asked.get("settings", {}),
    )
    process.run(settings, stop, meter=meter)
    stacks = sampler.stop()
    assert not meter.failures, meter.failures[:3]
    return span.found(read, checkpoints=meter.checkpoints, stacks=stacks, made_of=made_of)


# -- what the client alone can do ------------------------------------------------------------


def discard(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Read a topic to its ends and keep nothing."""
    gc.set_threshold(50_000, 20, 20)  # as our own consumer
    run = _discard_confluent if asked["client"] == "confluent" else _discard_kafka
    return run(asked, sum(asked["ends"].values()))


def _discard_kafka(asked: Mapping[str, Any], records: int) -> dict[str, Any]:
    from kafka import KafkaConsumer, TopicPartition

    from consumers.kafka import FETCH_BYTES, POLL_RECORDS

    # Our own consumer's settings: it is what is compared.
    consumer = KafkaConsumer(
        bootstrap_servers=asked["bootstrap"], enable_auto_commit=False, metrics_enabled=False,
        isolation_level="read_committed", max_poll_records=POLL_RECORDS,
        max_partition_fetch_bytes=FETCH_BYTES, fetch_max_bytes=4 * FETCH_BYTES,
    )  # fmt: skip
    parts = [TopicPartition(asked["topic"], int(p)) for p in asked["ends"]]
    consumer.assign(parts)
    for part in parts:
        consumer.seek(part, 0)
    span, n = Span(), 0
    span.begin()
    while n < records:
        n += sum(map(len, consumer.poll(timeout_ms=int(POLL_S * 1_000)).values()))
    span.end()
    consumer.close()
    return span.found(n)


def _discard_confluent(asked: Mapping[str, Any], records: int) -> dict[str, Any]:
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer(
        {
            "bootstrap.servers": asked["bootstrap"], "group.id": "bench",
            "enable.auto.commit": False, "isolation.level": "read_committed",
        }
    )  # fmt: skip
    consumer.assign([TopicPartition(asked["topic"], int(p), 0) for p in asked["ends"]])
    span, n = Span(), 0
    span.begin()
    while n < records:
        for message in consumer.consume(5_000, POLL_S):
            assert message.error() is None, message.error()
            n += 1
    span.end()
    consumer.close()
    return span.found(n)


# -- logging ---------------------------------------------------------------------------------


def log(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Log events as fast as they are taken, until all of them are acknowledged."""
    from bench.material import Shape, model
    from driftline import EventLogger

    rows, events = _rows(Shape()), asked["events"]
    logger = EventLogger(
        asked["bootstrap"], model=model(0), version="1", topic=asked["topic"],
        # Nothing is refused: what waits is part of what is measured.
        max_events=events + 1, max_bytes=4_000_000_000,
    )  # fmt: skip
    # Connected, and with what makes a record of several events imported.
    logger.log(*rows[0])
    logger.log(*rows[1])
    assert logger.flush(60)
    span, at_ms = Span(), time.time_ns() // 1_000_000
    span.begin()
    for i in range(events - 2):
        features, prediction = rows[i % len(rows)]
        logger.log(features, prediction, id=i, time=at_ms)
    called_s = time.perf_counter() - (span.began or (0.0,))[0]
    assert logger.flush(600)
    span.end()
    counts = logger.counts()
    assert not counts.dropped, counts
    logger.close()
    return span.found(events - 2, called_s=called_s)


def send(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Send the same events with kafka-python's producer alone, encoded before, one a record."""
    from kafka import KafkaProducer

    from bench.material import Shape, json_records

    values = list(json_records(Shape(), asked["events"]))
    producer = KafkaProducer(
        bootstrap_servers=asked["bootstrap"], acks="all", metrics_enabled=False,
        linger_ms=asked["linger_ms"], batch_size=asked["batch_bytes"],
    )  # fmt: skip
    producer.send(asked["topic"], values[0]).get(timeout=60)
    span = Span()
    span.begin()
    for value in values[1:]:
        producer.send(asked["topic"], value)
    producer.flush(timeout=600)
    span.end()
    producer.close(timeout=5)
    return span.found(len(values) - 1, n_bytes=sum(map(len, values[1:])))


def paced(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Time single calls of a logger that logs so many events a second, as a service does."""
    from bench.material import Shape, model
    from driftline import EventLogger

    rows, took = _rows(Shape()), []
    span = Span()
    with EventLogger(
        asked["bootstrap"], model=model(0), version="1", topic=asked["topic"]
    ) as logger:
        logger.log(*rows[0])
        assert logger.flush(60)
        span.begin()
        began, pace = time.perf_counter(), 1 / asked["per_second"]
        for i in range(asked["events"]):
            features, prediction = rows[i % len(rows)]
            time.sleep(max(0.0, began + i * pace - time.perf_counter()))
            at = time.perf_counter_ns()
            is_taken = logger.log(features, prediction, id=i)
            took.append((time.perf_counter_ns() - at) / 1_000)
            assert is_taken
        assert logger.flush(60)
        span.end()
    took.sort()
    middle, late = took[len(took) // 2], took[len(took) * 99 // 100]
    return span.found(len(took), median_us=middle, p99_us=late)


def _rows(shape: Any) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """What a service has when it logs: features and prediction."""
    frame = shape.frame(2_000)
    outputs = ("class", "score")
    return [
        (
            {name: value for name, value in row.items() if name not in outputs},
            {name: row[name] for name in outputs},
        )
        for row in frame.to_dict("records")
    ]


# -- a steady load ---------------------------------------------------------------------------


def feed(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Write events of now at a rate, until SIGTERM; partitions and models take turns."""
    from bench.material import Shape, _parts, model, rfc3339
    from bench.rig import PARTITIONS, Sender

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    shape = Shape(**asked["shape"])
    parts = _parts(shape, 2_000, seed=1)
    names = [model(i).encode() for i in range(shape.models)]
    parent = os.getppid()
    span, sent = Span(), 0
    with Sender(asked["bootstrap"]) as sender:
        span.begin()
        began = time.monotonic()
        while not stop.is_set() and os.getppid() == parent:
            at = rfc3339(time.time_ns() // 1_000_000)
            until = int((time.monotonic() - began) * asked["per_second"])
            while sent < until:
                before, after = parts[sent % len(parts)]
                value = before % (sent, names[sent % len(names)], at) + after
                # Models meet every partition.
                sender.send(asked["topic"], value, sent // len(names) % PARTITIONS)
                sent += 1
            stop.wait(0.05)
    span.end()
    return span.found(sent)


KINDS: Final[dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    run.__name__: run for run in (consume, discard, log, send, paced, feed)
}


def main() -> None:
    """Measure what is asked for and print it."""
    asked = json.loads(sys.argv[1])
    if asked["cores"]:
        os.sched_setaffinity(0, asked["cores"])
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    found = KINDS[asked["kind"]](asked)
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
