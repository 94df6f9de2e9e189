"""The logger on a broker: nothing good is lost, whatever the broker or the process does."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from kafka import KafkaProducer
from kafka_gate import KafkaGate
from logged import ids_of, records_in, rows_of

from consumers.admit import Rules, admit
from driftline import EventLogger
from driftline.producer import MAX_RECORD_BYTES

# kafka-python leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)
DEADLINE_S = 60.0
AT = "2024-02-08T10:15:00Z"


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Sockets that a test left behind are its own, and not the next test's."""
    yield
    gc.collect()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[KafkaGate]:
    with KafkaGate(tmp_path / "broker.log") as opened:
        yield opened


def _logger(gate: KafkaGate, **changes: Any) -> EventLogger:
    given: dict[str, Any] = {"model": "m", "version": 3, "linger_s": 0.05} | changes
    return EventLogger(gate.bootstrap, **given)


def _wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline, what
        threading.Event().wait(0.02)


def test_what_is_logged_is_in_the_topic_in_few_records(gate: KafkaGate) -> None:
    with _logger(gate) as logger:
        for i in range(2_500):
            assert logger.log(
                {"x": i * 1.5, "c": "UA"}, {"class": "a", "score": 0.5}, id=i, time=AT
            )
        assert logger.flush(DEADLINE_S)
        assert logger.counts().sent == 2_500
    found = records_in(gate.bootstrap, 2_500)
    assert ids_of(found) == list(range(2_500))
    assert len(found) < 60
    assert max(len(record.value) for record in found) < MAX_RECORD_BYTES
    assert max(len(rows_of(record)) for record in found) <= 1_000
    (first,) = [row for record in found for row in rows_of(record) if row["id"] == 0]
    assert (first["type"], first["model"], first["version"]) == ("prediction", "m", "3")
    assert first["features"] == {"x": 0.0, "c": "UA"}
    assert abs(found[0].timestamp - time.time() * 1000) < 3_600_000, "the broker's or producer's"


def test_an_event_waits_no_longer_than_the_linger_for_others(gate: KafkaGate) -> None:
    with _logger(gate, linger_s=0.3) as logger:
        logger.log({"x": 1}, id="warm")
        _wait_until(lambda: logger.counts().sent == 1, "the first event")
        began = time.monotonic()
        logger.log({"x": 1}, id="one")
        _wait_until(lambda: logger.counts().sent == 2, "the second event")
        waited = time.monotonic() - began
    assert 0.25 < waited < 5.0
    (one,) = [r for r in records_in(gate.bootstrap, 2) if b"one" in r.value]
    assert one.value.startswith(b'{"type":"prediction"')
    assert not one.headers


def test_kafka_pythons_producer_loses_48_good_records_beside_one_too_large(
    gate: KafkaGate,
) -> None:
    """The control: why the logger throws its producer away."""
    gate.refuse_above_bytes = 500_000
    producer = KafkaProducer(bootstrap_servers=gate.bootstrap)
    futures = [producer.send("driftline.events", b"x" * 100) for _ in range(50)]
    bad = producer.send("driftline.events", b"x" * 600_000)
    _wait_until(lambda: bad.is_done, "no answer")
    futures += [producer.send("driftline.events", b"x" * 100) for _ in range(48)]
    _wait_until(lambda: all(f.is_done for f in futures), "no answers")
    assert [f.succeeded() for f in futures] == [True] * 50 + [False] * 48
    producer.close(timeout=1)


def test_one_record_that_the_broker_refuses_loses_no_good_one(gate: KafkaGate) -> None:
    gate.refuse_above_bytes = 500_000
    with _logger(gate) as logger:
        for i in range(50):
            assert logger.log({"x": i}, id=i)
        assert logger.flush(DEADLINE_S)
        assert logger.log({"x": "a" * 600_000}, id="too large")
        for i in range(50, 98):
            assert logger.log({"x": i}, id=i)
        assert logger.flush(DEADLINE_S)
        counts = logger.counts()
        assert (counts.sent, dict(counts.dropped), counts.pending) == (98, {"refused": 1}, 0)
        assert gate.refused >= 1
        assert logger.log({"x": 1}, id=98), "and it goes on"
    assert ids_of(records_in(gate.bootstrap, 99)) == list(range(99))


def test_a_batch_too_large_for_this_broker_is_halved_until_it_fits(gate: KafkaGate) -> None:
    gate.refuse_above_bytes = 60_000
    with _logger(gate, linger_s=0.5) as logger:
        for i in range(400):
            assert logger.log({"x": "a" * 500}, id=i)
        assert logger.flush(DEADLINE_S)
        assert (logger.counts().sent, dict(logger.counts().dropped)) == (400, {})
    assert gate.refused >= 1
    assert ids_of(records_in(gate.bootstrap, 400)) == list(range(400))


def test_a_broker_that_comes_late_gets_everything(gate: KafkaGate) -> None:
    gate.shut()
    with _logger(gate) as logger:
        for i in range(100):
            assert logger.log({"x": i}, id=i)
        assert not logger.flush(0.5)
        gate.open()
        assert logger.flush(DEADLINE_S)
        assert logger.counts().sent == 100
    assert ids_of(records_in(gate.bootstrap, 100)) == list(range(100))


def test_a_broker_that_dies_under_load_and_comes_back_loses_nothing(gate: KafkaGate) -> None:
    logger = _logger(gate, linger_s=0.01)
    stop = threading.Event()
    logged = 0

    def load() -> None:
        nonlocal logged
        while not stop.is_set() and logged < 20_000:
            if logger.log({"x": logged}, id=logged):
                logged += 1
            stop.wait(0.0005)

    worker = threading.Thread(target=load)
    worker.start()
    for _ in range(3):
        sent = logger.counts().sent
        _wait_until(lambda sent=sent: logger.counts().sent > sent, "nothing is sent")  # type: ignore[misc]
        gate.shut()
        threading.Event().wait(0.5)
        gate.open()
    sent = logger.counts().sent
    _wait_until(lambda: logger.counts().sent > sent, "nothing is sent afterwards")
    stop.set()
    worker.join()
    assert logger.close(DEADLINE_S)
    counts = logger.counts()
    assert (counts.sent, dict(counts.dropped)) == (logged, {})
    # What was sent again after a lost answer may be there twice; nothing is missing.
    assert sorted(set(ids_of(records_in(gate.bootstrap, logged)))) == list(range(logged))


def test_an_outage_longer_than_the_queue_drops_the_rest_and_counts_it(gate: KafkaGate) -> None:
    gate.shut()
    logger = _logger(gate, max_events=200)
    taken = [logger.log({"x": i}, id=i) for i in range(1_000)]
    assert sum(taken) == 200
    gate.open()
    assert logger.close(DEADLINE_S)
    counts = logger.counts()
    assert (counts.sent, dict(counts.dropped)) == (200, {"queue_full": 800})
    assert ids_of(records_in(gate.bootstrap, 200)) == [i for i in range(1_000) if taken[i]]


def test_a_broker_that_hangs_does_not_hold_up_closing(gate: KafkaGate) -> None:
    logger = _logger(gate)
    logger.log({"x": 1}, id="a")
    assert logger.flush(DEADLINE_S)
    gate.hold()
    for i in range(10):
        logger.log({"x": i}, id=i)
    began = time.monotonic()
    assert not logger.close(1.0)
    assert time.monotonic() - began < 4.0
    counts = logger.counts()
    assert (counts.sent, counts.pending, dict(counts.dropped)) == (1, 0, {"delivery_failed": 10})


# -- forks and the interpreter's end --------------------------------------------------------

CHILD = """
import os, sys, time
from driftline import EventLogger

# On a busy machine the imports alone may take seconds.
logger = EventLogger(sys.argv[1], model="m", version=3, linger_s=0.05, exit_timeout_s=40)
"""


def _run(code: str, gate: KafkaGate, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", CHILD + code, gate.bootstrap, *arguments],
        capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_what_is_queued_is_sent_when_the_interpreter_ends(gate: KafkaGate) -> None:
    _run("for i in range(700): assert logger.log({'x': i}, id=i)", gate)
    assert ids_of(records_in(gate.bootstrap, 700)) == list(range(700))


def test_an_exception_at_the_end_of_the_program_loses_nothing(gate: KafkaGate) -> None:
    code = "logger.log({'x': 1}, id='last')\ntry:\n    raise ValueError\nfinally:\n    sys.exit(0)"
    _run(code, gate)
    assert ids_of(records_in(gate.bootstrap, 1)) == ["last"]


def test_the_interpreters_end_is_not_held_up_by_a_broker_that_is_gone(gate: KafkaGate) -> None:
    gate.shut()
    code = """
small = EventLogger(sys.argv[1], model="m", version=3, exit_timeout_s=0.5)
small.log({"x": 1})
"""
    began = time.monotonic()
    said = _run(code, gate)
    assert time.monotonic() - began < 15.0
    assert "1 event was not sent" in said


FORK = """
assert logger.log({"x": 0}, id="parent before") and logger.flush(30)  # a connection stands
logger.log({"x": 0}, id="parent queued")
children = []
for n in range(4):
    pid = os.fork()
    if pid == 0:
        assert logger.counts().logged == 0, logger.counts()
        for i in range(200):
            assert logger.log({"x": i}, id=f"child {n} {i}")
        if n % 2:
            assert logger.close(30)
            assert logger.counts().sent == 200, logger.counts()
        sys.exit(0)
    children.append(pid)
for i in range(200):
    assert logger.log({"x": i}, id=f"parent {i}")
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
assert logger.close(30), logger.counts()
assert logger.counts().sent == 202, logger.counts()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_begins_anew_and_every_event_is_sent_once(gate: KafkaGate) -> None:
    _run(FORK, gate)
    wanted = ["parent before", "parent queued", *(f"parent {i}" for i in range(200))]
    wanted += [f"child {n} {i}" for n in range(4) for i in range(200)]
    assert ids_of(records_in(gate.bootstrap, len(wanted))) == sorted(wanted)


PREFORK = """
import signal
# As gunicorn --preload does: the application is imported, then workers are forked, serve,
# and are told to end by a signal.
logger.log({"x": 0}, id="while importing")
workers = []
for n in range(3):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        for i in range(100):
            logger.log({"x": i}, id=f"{n} {i}")
        os.write(write, b"!")
        while True:
            signal.pause()
    assert os.read(read, 1) == b"!"
    workers.append(pid)
for pid in workers:
    os.kill(pid, signal.SIGTERM)
for pid in workers:
    assert os.waitpid(pid, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_preforked_workers_send_what_they_served_before_they_end(gate: KafkaGate) -> None:
    _run(PREFORK, gate)
    wanted = ["while importing", *(f"{n} {i}" for n in range(3) for i in range(100))]
    assert ids_of(records_in(gate.bootstrap, len(wanted))) == sorted(wanted)


MULTIPROCESSING = """
import multiprocessing

def work(n):
    for i in range(50):
        assert logger.log({"x": i}, id=f"{n} {i}")

if __name__ == "__main__":
    logger.log({"x": 0}, id="parent")
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=work, args=(n,)) for n in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(40)
        assert child.exitcode == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_of_multiprocessing_sends_what_it_logged_before_it_ends(gate: KafkaGate) -> None:
    _run(MULTIPROCESSING, gate)
    wanted = ["parent", *(f"{n} {i}" for n in range(2) for i in range(50))]
    assert ids_of(records_in(gate.bootstrap, len(wanted))) == sorted(wanted)


def test_whatever_is_sent_the_consumer_counts(gate: KafkaGate) -> None:
    with _logger(gate) as logger:
        for i in range(300):
            assert logger.log(
                {"x": np.float32(i), "n": np.int64(i), "inf": float("inf"), "c": None}, i, id=i
            )
            assert logger.log_label(i, i % 2 == 0)
            assert logger.log({f"only {i % 7}": Decimal(i)}, {"class": "a", "score": 0.5})
        logger.log_frame(_frame(500), prediction="class", id="id", timestamp="at")
        assert logger.flush(DEADLINE_S)
    found = records_in(gate.bootstrap, 1_400)
    admitted = admit(found, Rules())
    assert admitted.n_records == len(found)
    assert not admitted.letters
    kinds = Counter(admitted.names[i] for i in admitted.name_of.tolist())
    assert kinds == {("m", "3", "prediction"): 1_100, ("m", "", "label"): 300}


# -- frames ---------------------------------------------------------------------------------


def _frame(n: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": range(n),
            "at": pd.date_range("2024-01-01", periods=n, freq="s", tz="UTC"),
            "age": [i * 0.5 for i in range(n)],
            "plan": ["pro", "free"] * (n // 2),
            "class": ["stays"] * n,
            "score": [0.25] * n,
        }
    )


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_a_frame_is_logged_as_columns(kind: str, gate: KafkaGate) -> None:
    frame: Any = _frame(2_400)
    if kind == "polars":
        frame = pl.from_pandas(frame)
    elif kind == "pyarrow":
        frame = pa.Table.from_pandas(frame)
    with _logger(gate) as logger:
        n = logger.log_frame(frame, prediction="class", score="score", id="id", timestamp="at")
        assert n == 2_400
        assert logger.flush(DEADLINE_S)
        assert logger.counts().sent == 2_400
    found = records_in(gate.bootstrap, 2_400)
    assert ids_of(found) == list(range(2_400))
    assert len(found) == 3
    assert all(record.headers for record in found)
    row = next(row for record in found for row in rows_of(record) if row["id"] == 3)
    assert row["features"] == {"age": 1.5, "plan": "free"}
    assert row["prediction"]["score"] == 0.25


def test_a_frame_larger_than_the_queue_waits_for_the_broker(gate: KafkaGate) -> None:
    with _logger(gate, max_events=2_000) as logger:
        # In a thread of its own: a browser's tests leave an event loop in this one, and
        # inside of one a frame waits for nothing.
        with ThreadPoolExecutor(1) as pool:
            n = pool.submit(
                logger.log_frame,
                _frame(12_000),
                prediction="class",
                id="id",
                timestamp="at",
                wait_s=DEADLINE_S,
            ).result()
        assert n == 12_000
        assert logger.flush(DEADLINE_S)
    assert logger.counts().sent == 12_000


def test_a_frame_for_a_broker_that_is_gone_is_dropped_after_the_wait(gate: KafkaGate) -> None:
    gate.shut()
    logger = _logger(gate, max_events=2_000)
    began = time.monotonic()
    taken = logger.log_frame(_frame(6_000), prediction="class", id="id", timestamp="at", wait_s=0.3)
    assert time.monotonic() - began < 10.0
    assert taken == 2_000
    assert dict(logger.counts().dropped) == {"queue_full": 4_000}
    logger.close(0.0)


def test_naive_times_of_a_frame_are_said_once(
    gate: KafkaGate, caplog: pytest.LogCaptureFixture
) -> None:
    frame = _frame(4)
    frame["at"] = frame["at"].dt.tz_localize(None)
    with _logger(gate, timezone="Europe/Berlin") as logger:
        for _ in range(2):
            assert logger.log_frame(frame, prediction="class", id="id", timestamp="at") == 4
    assert len([r for r in caplog.records if "Europe/Berlin" in r.getMessage()]) == 1
    row = next(row for r in records_in(gate.bootstrap, 8) for row in rows_of(r) if row["id"] == 0)
    assert row["time"].isoformat() == "2023-12-31T23:00:00+00:00"


def test_a_frame_that_lacks_a_column_is_refused_by_its_name(
    gate: KafkaGate, caplog: pytest.LogCaptureFixture
) -> None:
    with _logger(gate) as logger:
        assert logger.log_frame(_frame(10), prediction="clas", id="id", timestamp="at") == 0
        assert logger.log_frame([1, 2], prediction="x", timestamp="at") == 0
        assert dict(logger.counts().dropped) == {"bad_frame": 12}
    assert "clas" in caplog.text
