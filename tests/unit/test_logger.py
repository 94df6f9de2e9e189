"""What the logger takes and refuses, without a broker: it must never raise and never wait."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from kafka import KafkaProducer

import driftline
from driftline import ConfigError, EventLogger
from driftline.buffer import OVERHEAD_BYTES, Buffer
from driftline.plain import HUGE, NotPlain, instant_ms, plain, plain_values
from driftline.producer import MAX_RECORD_BYTES, OPTIONS, Record, checked_options
from driftline.sending import REFUSALS, Sending, halved, records_of
from driftline.wire import decode

T = TypeVar("T")
AT = "2013-02-08T10:15:00Z"
AT_MS = 1_360_318_500_000


class Carrier(Enum):
    UNITED = "UA"


class Hostile:
    """Whatever is asked of it raises."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__

    def __getattr__(self, name: str) -> Any:
        # pytest asks for __name__.
        raise AttributeError(name) if name.startswith("__") else ValueError(name)


@pytest.fixture(autouse=True)
def _nothing_goes_on() -> Iterator[None]:
    """Threads that still try to connect end with their own test."""
    yield
    until = time.monotonic() + 20
    while any(t.name == "driftline-logger" for t in threading.enumerate()):
        assert time.monotonic() < until, "a logger's thread goes on"
        threading.Event().wait(0.02)


@pytest.fixture
def logger(monkeypatch: pytest.MonkeyPatch) -> Iterator[EventLogger]:
    """A logger whose queue nobody empties."""
    monkeypatch.setattr(EventLogger, "_start", lambda self: None)
    made = EventLogger("127.0.0.1:9", model="m", version=3)
    yield made
    made.close(0.0)


def queued(logger: EventLogger) -> list[Any]:
    """The events in its queue, decoded as consumers do."""
    found = []
    while (taken := logger._buffer.take()) is not None:
        assert isinstance(taken[1], list)
        found += [decode(line) for line in taken[1]]
    return found


def test_an_event_is_written_as_the_contract_says(logger: EventLogger) -> None:
    features = {"age": 41, "plan": "pro", "tenure": None}
    said = {"class": "stays", "score": 0.73}
    assert logger.log(features, said, id="7f3a", time=AT, tags={"region": "eu"})
    assert logger.log_label("7f3a", 0, time=AT_MS + 1)
    prediction, label = queued(logger)
    assert (prediction.model, prediction.version, prediction.id) == ("m", "3", "7f3a")
    assert (prediction.time, prediction.features, prediction.prediction) == (AT_MS, features, said)
    assert prediction.tags == {"region": "eu"}
    assert (label.type, label.id, label.label, label.time) == ("label", "7f3a", 0, AT_MS + 1)


def test_what_the_caller_changes_afterwards_is_not_sent(logger: EventLogger) -> None:
    features = {"x": 1.0}
    assert logger.log(features)
    features["x"] = 2.0
    assert queued(logger)[0].features == {"x": 1.0}


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (np.float64(1.5), 1.5),
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.str_("UA"), "UA"),
        (np.array([2.5]), 2.5),
        (np.array([[3]]), 3),
        (np.array([1, 2]), [1, 2]),
        (np.datetime64("2020-01-01T00:00:00.5"), "2020-01-01T00:00:00.500000"),
        (np.datetime64("NaT"), None),
        (np.timedelta64(1500, "ms"), 1.5),
        (pa.scalar(5), 5),
        (pd.Timestamp(AT), "2013-02-08T10:15:00+00:00"),
        (pd.Timedelta(minutes=2), 120.0),
        (pd.NaT, None),
        (pd.NA, None),
        (float("nan"), None),
        (np.float32("nan"), None),
        (Decimal("NaN"), None),
        (float("inf"), HUGE),
        (np.float64("-inf"), -HUGE),
        (Decimal("1e400"), HUGE),
        (Decimal("2.50"), 2.5),
        (Fraction(1, 4), 0.25),
        (timedelta(hours=1), 3600.0),
        (date(2020, 1, 2), "2020-01-02"),
        (datetime(2020, 1, 2, 3), "2020-01-02T03:00:00"),
        (Carrier.UNITED, "UA"),
        (b"UA", "UA"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ((1, 2), [1, 2]),
        ({7}, [7]),
        ({"a": {np.int64(1): Decimal(2)}}, {"a": {"1": 2.0}}),
    ],
)
def test_an_obvious_value_becomes_what_json_holds(
    value: Any, wanted: Any, logger: EventLogger
) -> None:
    assert plain(value) == wanted
    assert logger.log({"x": value}, time=AT)
    (event,) = queued(logger)
    assert event.features == {"x": wanted}
    assert logger.counts().values_dropped == 0


@pytest.mark.parametrize("value", [1j, b"\xff", print, object(), Hostile(), "\ud800", iter(())])
def test_a_value_that_json_cannot_hold_is_null_and_counted(
    value: Any, logger: EventLogger, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(NotPlain):
        plain(value)
    assert logger.log({"good": 1, "bad": value}, value, id="a", time=AT)
    (event,) = queued(logger)
    assert event.features == {"good": 1, "bad": None}
    assert event.prediction is None
    assert logger.counts().values_dropped == 2
    assert "sent as null" in caplog.text


def test_a_name_that_is_no_text_is_left_out_and_a_nest_without_end_too(
    logger: EventLogger,
) -> None:
    endless: list[Any] = []
    endless.append(endless)
    values, dropped = plain_values({1: 1, None: 2, "\ud800": 3, (1, 2): 4, "deep": endless})
    assert values == {"1": 1, "deep": None}
    assert len(dropped) == 4
    assert logger.log({"\ud800": 1, "x": 2}, time=AT)
    assert queued(logger)[0].features == {"x": 2}


@pytest.mark.parametrize("features", [None, [1, 2], "text", 5, Hostile()])
def test_features_without_names_are_refused(features: Any, logger: EventLogger) -> None:
    assert not logger.log(features)
    (reason,) = logger.counts().dropped
    assert reason in ("not_serializable", "internal_error")
    assert logger.counts().pending == 0


def test_a_row_of_a_frame_and_a_named_tuple_have_names(logger: EventLogger) -> None:
    frame = pd.DataFrame({"x": [1.5], "y": ["a"]})
    assert logger.log(frame.iloc[0], time=AT)
    assert logger.log(next(frame.itertuples(index=False)), time=AT)
    assert [event.features for event in queued(logger)] == [{"x": 1.5, "y": "a"}] * 2


@pytest.mark.parametrize(
    "time",
    [
        "yesterday", "2013-13-01", float("nan"), 1.5, True, pd.NaT, object(), Hostile(), [],
        1_360_318_500, datetime(1999, 12, 31, tzinfo=UTC), "2100-01-01T00:00:00Z", 10**40,
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))), np.datetime64("NaT"),
    ],
)  # fmt: skip
def test_a_time_that_is_none_is_refused(time: Any, logger: EventLogger) -> None:
    assert not logger.log({"x": 1}, time=time)
    assert dict(logger.counts().dropped) == {"bad_time": 1}


def test_times_of_every_kind_are_the_same_instant() -> None:
    zone = timezone(timedelta(hours=1))
    for at, is_naive in (
        (AT, False),
        (AT_MS, False),
        (np.int64(AT_MS), False),
        (datetime(2013, 2, 8, 10, 15, tzinfo=UTC), False),
        (pd.Timestamp(AT), False),
        (datetime(2013, 2, 8, 11, 15), True),
        (np.datetime64("2013-02-08T11:15:00"), True),
        ("2013-02-08T11:15:00", True),
    ):
        assert instant_ms(at, zone) == (AT_MS, is_naive)
    assert instant_ms(date(1970, 1, 1), UTC) == (0, True)


def test_naive_times_take_the_zone_and_are_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(EventLogger, "_start", lambda self: None)
    logger = EventLogger("127.0.0.1:9", model="m", version=3, timezone="America/New_York")
    for _ in range(3):
        assert logger.log({}, time=datetime(2013, 2, 8, 5, 15))
    assert [event.time for event in queued(logger)] == [AT_MS] * 3
    said = [r.getMessage() for r in caplog.records if "without an offset" in r.getMessage()]
    assert said == ["times without an offset are read as America/New_York"]
    logger.close(0.0)


def test_now_is_the_time_of_an_event_without_one(logger: EventLogger) -> None:
    before = time.time_ns() // 1_000_000
    assert logger.log({"x": 1})
    assert before <= queued(logger)[0].time <= time.time_ns() // 1_000_000


def test_a_label_needs_an_id(logger: EventLogger) -> None:
    assert not logger.log_label(None, 1)
    assert not logger.log_label("", 1)
    assert logger.log_label(np.int64(5), np.bool_(False))
    assert dict(logger.counts().dropped) == {"id_missing": 2}
    assert (event := queued(logger)[0]).id == 5
    assert event.label is False


def test_an_event_larger_than_a_record_is_refused(logger: EventLogger) -> None:
    assert not logger.log({"x": "a" * MAX_RECORD_BYTES})
    assert logger.log({"x": "a" * (MAX_RECORD_BYTES - 200)})
    assert dict(logger.counts().dropped) == {"too_large": 1}


def test_a_full_queue_drops_counts_and_says_so_once_a_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(EventLogger, "_start", lambda self: None)
    logger = EventLogger("127.0.0.1:9", model="m", version=3, max_events=10)
    assert [logger.log({"x": i}) for i in range(15)] == [True] * 10 + [False] * 5
    counts = logger.counts()
    assert (counts.logged, counts.pending, dict(counts.dropped)) == (15, 10, {"queue_full": 5})
    assert len([r for r in caplog.records if "queue_full" in r.getMessage()]) == 1
    assert not logger.close(0.0)
    assert dict(logger.counts().dropped) == {"queue_full": 5, "delivery_failed": 10}


def test_the_queue_is_bounded_in_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EventLogger, "_start", lambda self: None)
    logger = EventLogger("127.0.0.1:9", model="m", version=3, max_bytes=100_000)
    taken = sum(logger.log({"x": "a" * 1_000}) for _ in range(1_000))
    assert 70 < taken < 90
    logger.close(0.0)


def test_a_closed_logger_drops(logger: EventLogger) -> None:
    assert logger.close()
    assert logger.close(), "closing twice is no fault"
    assert not logger.log({"x": 1})
    assert not logger.log_label("a", 1)
    assert logger.log_frame(pd.DataFrame({"x": [1]}), prediction="x", timestamp="x") == 0
    assert dict(logger.counts().dropped) == {"closed": 3}


def test_every_event_is_sent_pending_or_dropped(logger: EventLogger) -> None:
    for value in (1, 1j, "a" * 2_000_000, Hostile()):
        logger.log({"x": value})
        logger.log(value)
        logger.log({"x": 1}, time=value)
    counts = logger.counts()
    assert counts.logged == 12 == counts.sent + counts.pending + sum(counts.dropped.values())


def test_a_handler_of_signals_may_log_while_the_same_thread_logs(
    logger: EventLogger,
) -> None:
    n_signals = 0

    def log_too(number: int, frame: Any) -> None:
        nonlocal n_signals
        n_signals += logger.log({"signal": number})

    before = signal.signal(signal.SIGALRM, log_too)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    until = time.monotonic() + 20
    n = 0
    try:
        while n_signals < 100 and time.monotonic() < until:
            n += logger.log({"x": 1})
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert n_signals >= 100
    counts = logger.counts()
    # A handler that interrupts a handler may spoil the test's own count, not the logger's.
    assert counts.logged == counts.pending >= n + 100
    assert len(queued(logger)) == counts.logged


def test_many_threads_lose_nothing(logger: EventLogger) -> None:
    def work() -> None:
        for i in range(2_000):
            logger.log({"x": i})

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert logger.counts().pending == 16_000
    assert len(queued(logger)) == 16_000


# -- construction ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bootstrap": "localhost"}, "HOST:PORT"),
        ({"bootstrap": ""}, "HOST:PORT"),
        ({"bootstrap": "http://localhost:9092"}, "HOST:PORT"),
        ({"bootstrap": "a:1,b:70000"}, "HOST:PORT"),
        ({"model": ""}, "printable"),
        ({"model": 5}, "printable"),
        ({"version": "a\x00"}, "printable"),
        ({"version": True}, "printable"),
        ({"topic": "has space"}, "letters, digits"),
        ({"timezone": "Mars/Base"}, "IANA zone"),
        ({"linger_s": -1}, "a number from 0 to 60"),
        ({"max_events": 0}, "a number from 1"),
        ({"kafka": {"sasl_user": "me"}}, "the nearest is sasl_"),
        ({"kafka": {"security.protocol": "SSL"}}, "the nearest is security_protocol"),
        ({"kafka": {"acks": 0}}, "the nearest is"),
        ({"kafka": {"security_protocol": "TLS"}}, "one of PLAINTEXT, SSL"),
        ({"kafka": {"sasl_plain_password": "hush"}}, "one with SASL"),
        ({"kafka": {"ssl_cafile": "ca.pem"}}, "one with SSL"),
        ({"kafka": {"security_protocol": "SASL_SSL"}}, "a mechanism"),
        (
            {"kafka": {"security_protocol": "SSL", "ssl_cafile": "/nowhere/ca.pem"}},
            "a file that is there",
        ),
    ],
)
def test_a_wrong_argument_is_said_at_construction(changes: dict[str, Any], said: str) -> None:
    given: dict[str, Any] = {"bootstrap": "127.0.0.1:9", "model": "m", "version": "3"} | changes
    with pytest.raises(ConfigError, match=said):
        EventLogger(given.pop("bootstrap"), **given)


def test_a_password_is_never_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        checked_options({"sasl_pasword": "hush", "sasl_password": "hush"})
    assert caught.value.key == "kafka.sasl_pasword"
    with pytest.raises(ConfigError) as caught:
        checked_options({"sasl_password": "hush"})
    assert "hush" not in str(caught.value)


def test_every_setting_is_one_of_kafka_pythons() -> None:
    # Those that fetch tokens are ours, and become one of kafka-python's.
    ours = {name: "http://127.0.0.1:1" for name in OPTIONS if name.startswith("sasl_oauth_")}
    del ours["sasl_oauth_token_provider"], ours["sasl_oauth_cafile"]
    login = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "OAUTHBEARER"}
    given = {name: None for name in OPTIONS if name not in {*ours, "sasl_oauth_cafile"}}
    assert set(given | checked_options(login | ours)) <= set(KafkaProducer.DEFAULT_CONFIG)
    from kafka import errors

    assert all(hasattr(errors, name) for name in REFUSALS)


def test_the_sdk_is_light_to_import() -> None:
    code = (
        "import sys, driftline; from driftline import EventLogger; heavy = {'kafka', 'pyarrow', "
        "'numpy', 'pandas', 'sqlalchemy', 'fastapi', 'monitor'} & set(sys.modules); "
        "EventLogger('127.0.0.1:9', model='m', version=3); "
        "print(sorted(heavy), 'kafka' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] False"
    assert "EventLogger" in driftline.__all__


# -- batches --------------------------------------------------------------------------------


def _lines(n: int, **more: Any) -> list[bytes]:
    event = {"type": "prediction", "model": "m", "version": "3", "time": AT_MS}
    return [
        msgspec.json.encode(event | {"id": i, "features": {"x": i * 1.5} | more}) for i in range(n)
    ]


def test_one_event_is_one_json_object() -> None:
    ((record, _),) = records_of(_lines(1))
    assert not record.is_arrow
    assert record.headers == []
    assert decode(record.value).id == 0


def test_events_of_a_shape_are_one_arrow_record() -> None:
    ((record, lines),) = records_of(_lines(10))
    assert record.headers == [("content-type", b"application/vnd.apache.arrow.stream")]
    assert (record.rows, len(lines)) == (10, 10)
    with pa.ipc.open_stream(record.value) as reader:
        assert reader.read_all()["id"].to_pylist() == list(range(10))


def test_predictions_and_labels_are_a_record_each_and_a_medley_is_one() -> None:
    label = b'{"type":"label","model":"m","time":1360318500000,"id":"a","label":1}'
    found = records_of([*_lines(2), label, label])
    assert [(record.rows, record.is_arrow) for record, _ in found] == [(2, True), (2, True)]
    medley = [line for i in range(6) for line in _lines(1, **{f"only{i}": 1})]
    ((record, _),) = records_of(medley)
    assert (record.rows, record.is_arrow) == (6, False)


def test_what_arrow_cannot_say_is_ndjson() -> None:
    lines = [*_lines(1, y=1), *_lines(1, y="text")]
    ((record, _),) = records_of(lines)
    assert (record.value, record.is_arrow) == (b"\n".join(lines), False)


def test_halves_hold_what_the_record_held() -> None:
    ((record, _),) = records_of(_lines(5))
    first, second = halved(record)
    assert (first.rows, second.rows, first.is_arrow) == (2, 3, True)
    ids = []
    for half in (first, second):
        with pa.ipc.open_stream(half.value) as reader:
            table = reader.read_all()
        assert table.schema.metadata[b"driftline.model"] == b"m"
        ids += table["id"].to_pylist()
    assert ids == list(range(5))
    assert halved(Record(b"{}", 1)) == [Record(b"{}", 1)]


def test_a_batch_ends_at_a_thousand_rows_or_at_the_records_limit() -> None:
    buffer = Buffer(10_000, 100_000_000)
    for _ in range(1_500):
        buffer.put(b"x" * 10)
    sizes = []
    while (taken := buffer.take()) is not None:
        sizes.append(len(taken[1]))  # type: ignore[arg-type]
    assert sizes == [1_000, 500]
    for _ in range(5):
        buffer.put(b"x" * 400_000)
    sizes = []
    while (taken := buffer.take()) is not None:
        sizes.append(len(taken[1]))  # type: ignore[arg-type]
    assert sizes == [2, 2, 1]
    assert buffer.counts().pending == 1_505
    buffer.settle(1_505, 1_500 * (10 + OVERHEAD_BYTES) + 5 * (400_000 + OVERHEAD_BYTES))
    assert buffer.held_bytes == 0


# -- a broker that is not there -------------------------------------------------------------


def test_without_a_broker_log_does_not_wait_and_close_ends_in_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        port = taken.getsockname()[1]
        logger = EventLogger(
            f"127.0.0.1:{port}", model="m", version=3, max_events=500, linger_s=0.01,
            kafka={"bootstrap_timeout_ms": 300},
        )  # fmt: skip
        slowest = 0.0
        until = time.monotonic() + 30
        while "broker:" not in caplog.text and time.monotonic() < until:
            began = time.monotonic()
            logger.log({"x": 1})
            slowest = max(slowest, time.monotonic() - began)
            threading.Event().wait(0.001)
        assert "no Kafka broker answers at 127.0.0.1" in caplog.text
        assert slowest < 0.5, "the serving path waited for the broker"
        assert not logger.flush(0.2)
        began = time.monotonic()
        assert not logger.close(1.0)
        assert time.monotonic() - began < 3.0
    counts = logger.counts()
    assert (counts.sent, counts.pending) == (0, 0)
    assert counts.dropped["delivery_failed"] <= 500
    assert sum(counts.dropped.values()) == counts.logged


def _in_a_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run it in a thread of its own: a browser's tests leave a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def test_an_event_loop_is_never_held_up() -> None:
    logger = EventLogger("127.0.0.1:9", model="m", version=3, max_events=100,
                         kafka={"bootstrap_timeout_ms": 200})  # fmt: skip
    frame = pl.DataFrame({"x": list(range(500)), "p": [1.0] * 500, "t": [AT_MS] * 500})

    async def serve() -> float:
        longest, until = 0.0, time.monotonic() + 1.0
        while time.monotonic() < until:
            began = time.monotonic()
            for _ in range(50):
                logger.log({"x": 1.0}, 0.5)
            longest = max(longest, time.monotonic() - began)
            await asyncio.sleep(0)
        return longest

    assert _in_a_loop(serve()) < 0.5

    async def batch() -> None:
        logger.log_frame(frame, prediction="p", timestamp="t", wait_s=60.0)

    began = time.monotonic()
    _in_a_loop(batch())
    assert time.monotonic() - began < 20.0, "it waited for room inside an event loop"
    logger.close(0.0)


def test_a_surprise_in_the_thread_does_not_end_it() -> None:
    told: list[str] = []
    buffer = Buffer(10, 1_000_000)
    tries = 0

    def connect() -> Any:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise KeyError("nobody thought of this")
        raise driftline.BrokerUnavailable("now it is said")

    sending = Sending(buffer, connect, "t", 0.0, lambda reason, words: told.append(reason))
    buffer.put(b"{}")
    thread = threading.Thread(target=sending.run, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while "broker" not in told and time.monotonic() < until:
        threading.Event().wait(0.01)
    assert told[:3] == ["internal_error", "internal_error", "broker"]
    assert buffer.abandon("delivery_failed") == 1
    buffer.ring()
    thread.join(10)
    assert not thread.is_alive()


def test_a_certificate_that_is_none_is_said_at_construction(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("not a certificate")
    for name in ("ssl_cafile", "ssl_certfile"):
        with pytest.raises(ConfigError, match=f"kafka.{name}.*certificates in PEM"):
            checked_options({"security_protocol": "SSL", name: str(file)})
