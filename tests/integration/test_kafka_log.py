"""What becomes of a log on Apache Kafka, and what a reader of it must not make of that.

Each test names the wrong behaviour; where a reader of ours would show it without its mend, that
reader is run beside it as the control.
"""

from __future__ import annotations

import gc
import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_kafka
import drifting
import pytest
from fake_source import START_MS, Entry, counters, positions, prediction
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import CorruptRecordError, KafkaConnectionError
from kafka.protocol.consumer import IsolationLevel
from kafka.serializer import Deserializer
from simulator import NeverPutBack
from sqlalchemy.engine import Engine
from stage import DEADLINE_S, Stage, both_clients

from consumers.kafka import KafkaSource
from consumers.loop import Loop
from consumers.source import Identity
from monitor.clock import SystemClock
from monitor.storage import engine as storage
from monitor.storage import models
from monitor.storage.engine import transaction

# kafka-python leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)

YEAR_2099_MS = 4_070_908_800_000


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Sockets that a test left behind are its own, and not the next test's."""
    yield
    gc.collect()


@pytest.fixture
def bare(kafka: str, engine: Engine, client: str) -> Iterator[Stage]:
    """Nothing is registered."""
    with Stage(kafka, engine, client=client) as made:
        yield made


@pytest.fixture
def stage(bare: Stage) -> Stage:
    bare.register()
    return bare


def read_for(stage: Stage, seconds: float) -> None:
    """Read on for a while, whatever comes."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        stage.step()


# -- the topic is made again ----------------------------------------------------------------------


class NameOnly(KafkaSource):
    """It knows a topic by its name."""

    def identity(self) -> Identity | None:
        found = super().identity()
        return found and Identity(found.cluster_id, self._topic)


def test_who_knows_a_topic_by_its_name_loses_the_first_records_of_a_new_one(stage: Stage) -> None:
    """The control of `test_contract`'s topic that is made again: nothing is said of the loss."""
    stage.send(prediction(i) for i in range(60))
    stage.member(source=NameOnly)
    stage.until(lambda: counters(stage.engine) == {"prediction": 60}, "it is not read")
    stage.make_topic_again()
    stage.send(prediction(i) for i in range(200))
    stage.until(
        lambda: {p.next_offset for p in positions(stage.engine)} == {100}, "it does not go on"
    )
    assert counters(stage.engine) == {"prediction": 60 + 200 - 60}
    assert stage.gaps() == []


# -- retention ------------------------------------------------------------------------------------


class Jumping(KafkaSource):
    """It lets the client decide where to go on when its position is gone."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._consumer_options["auto_offset_reset"] = "earliest"


def overtaken(stage: Stage, source: type[KafkaSource] | None = None) -> None:
    """Retention takes what a running owner has yet to read."""
    stage.send((prediction(i) for i in range(20)), 0)
    member = stage.member(source=source)
    stage.read()
    member.source.pause([0])
    read_for(stage, 0.7)  # until what was asked for is answered
    stage.send((prediction(i) for i in range(20, 50)), 0)
    stage.admin.delete_records({TopicPartition(stage.topic, 0): 40})
    member.source.resume([0])
    stage.read()


@both_clients
def test_retention_that_overtakes_an_owner_is_a_gap(stage: Stage) -> None:
    """Wrong were: to go on behind the loss, or at the end, and to say nothing."""
    overtaken(stage)
    assert counters(stage.engine) == {"prediction": 30}
    assert stage.gaps() == [("retention", 0, 20, 40)]
    assert stage.differences() == []


def test_who_lets_the_client_decide_says_nothing_of_the_loss(stage: Stage) -> None:
    overtaken(stage, Jumping)
    assert counters(stage.engine) == {"prediction": 30}
    assert stage.gaps() == []


@both_clients
def test_retention_while_nobody_read_is_a_gap(stage: Stage) -> None:
    stage.send((prediction(i) for i in range(20)), 0)
    stage.member()
    stage.read()
    stage.members[0].leave()
    stage.send((prediction(i) for i in range(20, 50)), 0)
    stage.admin.delete_records({TopicPartition(stage.topic, 0): 40})
    stage.member()
    stage.read()
    assert counters(stage.engine) == {"prediction": 30}
    assert stage.gaps() == [("retention", 0, 20, 40)]


# -- a log that was cut ---------------------------------------------------------------------------


def test_a_log_that_was_cut_is_a_gap_and_what_is_written_anew_is_read(
    engine: Engine, once_more: Engine
) -> None:
    """Wrong were: to count everything again, or to say nothing and read nothing of what is new."""
    apache_kafka.require()
    apache_kafka.fetch()
    broker = apache_kafka.Broker()
    broker.start()
    try:
        told = [Stage(broker.bootstrap, one, partitions=1) for one in (engine, once_more)]
        logs = [broker.data / f"{stage.topic}-0" / f"{0:020}.log" for stage in told]
        kinds, sizes = (KafkaSource, Jumping), []
        for stage, kind, log in zip(told, kinds, logs, strict=True):
            stage.register()
            stage.member(source=kind)
            stage.send(prediction(i) for i in range(12))
            sizes.append(log.stat().st_size)
            stage.send(prediction(i) for i in range(12, 20))
            stage.read()
            stage.end()
        broker.stop()
        for log, size in zip(logs, sizes, strict=True):
            with log.open("r+b") as file:
                file.truncate(size)
        broker.start()
        for stage, kind in zip(told, kinds, strict=True):
            stage.begin()
            stage.member(source=kind)
            read_for(stage, 1.5)
            stage.send(prediction(i) for i in range(100, 103))
            read_for(stage, 1.5)
            stage.end()
        ours, control = told
        assert ours.gaps() == [("truncation", 0, 12, 20)]
        # What was counted and is gone stays counted.
        assert counters(ours.engine) == {"prediction": 20 + 3}
        assert ours.next_offsets() == {0: 15}
        # Its client goes back to the start by itself; that nothing is taken twice saves it.
        assert counters(control.engine) == {"prediction": 20}
        assert control.gaps() == []
    finally:
        broker.remove()


@pytest.fixture
def once_more(tmp_path: Any, empty_file: Any) -> Iterator[Engine]:
    """Another empty database."""
    file = shutil.copyfile(empty_file, tmp_path / "once-more.db")
    made = storage.create(f"sqlite:///{file}")
    yield made
    made.dispose()


# -- holes ----------------------------------------------------------------------------------------


class HoleBlind(Loop):
    """It believes that the log ends with its last record."""

    def _follow_holes(self) -> None:
        pass


class Uncommitted(KafkaSource):
    """It reads what is written in transactions before they are over."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._consumer_options["isolation_level"] = "read_uncommitted"


class StableEnd(KafkaSource):
    """It takes the last stable offset for the end of the log."""

    def _offsets(self, parts: Sequence[Any], spec: Any) -> Mapping[Any, Any]:
        found: Mapping[Any, Any] = self._admin.list_partition_offsets(
            dict.fromkeys(parts, spec), isolation_level=IsolationLevel.READ_COMMITTED
        )
        return found


class Writing:
    """A transaction in partition 0."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._producer = KafkaProducer(
            bootstrap_servers=stage.bootstrap, transactional_id=stage.topic
        )
        self._producer.init_transactions()
        self._sent: list[tuple[bytes, Any]] = []

    def write(self, numbers: range) -> None:
        self._producer.begin_transaction()
        for i in numbers:
            future = self._producer.send(self._stage.topic, prediction(i), partition=0)
            self._sent.append((prediction(i), future))
        self._producer.flush(timeout=DEADLINE_S)

    def end(self, *, is_good: bool) -> None:
        if is_good:
            self._producer.commit_transaction()
            for value, future in self._sent:
                found = future.get(0)
                self._stage.note(0, Entry(found.offset, found.timestamp, value))
        else:
            self._producer.abort_transaction()
        self._sent = []

    def close(self) -> None:
        self._producer.close(timeout=5)


def end_of(stage: Stage) -> int:
    found = stage.admin.list_partition_offsets({TopicPartition(stage.topic, 0): -1})
    return int(next(iter(found.values())).offset)


@pytest.fixture
def writing(stage: Stage) -> Iterator[Writing]:
    made = Writing(stage)
    yield made
    made.close()


@both_clients
def test_aborted_transactions_are_not_counted_and_their_end_is_reached(
    stage: Stage, writing: Writing
) -> None:
    """Wrong were: to count what never was, or to lag for ever behind its last marker."""
    stage.member()
    for numbers, is_good in ((range(10), True), (range(10, 30), False), (range(30, 35), True),
                             (range(35, 40), False)):  # fmt: skip
        writing.write(numbers)
        writing.end(is_good=is_good)
    # Behind 40 records and 4 markers.
    stage.until(lambda: stage.next_offsets().get(0) == 44, "it does not reach the end")
    assert counters(stage.engine) == {"prediction": 15}
    assert stage.differences() == []
    assert stage.gaps() == []


def test_who_is_blind_to_holes_never_reaches_the_end(stage: Stage, writing: Writing) -> None:
    stage.member(HoleBlind)
    for is_good in (True, False):
        writing.write(range(10))
        writing.end(is_good=is_good)
        stage.read()
    read_for(stage, 1.0)
    assert stage.next_offsets()[0] < end_of(stage)


def test_who_reads_what_is_not_committed_counts_what_never_was(
    stage: Stage, writing: Writing
) -> None:
    stage.member(source=Uncommitted)
    writing.write(range(10))
    writing.end(is_good=False)
    stage.until(lambda: counters(stage.engine) == {"prediction": 10}, "it did not")


@pytest.mark.parametrize(("source", "is_idle"), [(KafkaSource, False), (StableEnd, True)])
def test_a_partition_with_an_open_transaction_is_not_idle(
    stage: Stage, writing: Writing, source: type[KafkaSource], is_idle: bool
) -> None:
    """Wrong were: to close the windows of records that are written already (the control does)."""
    stage.send((prediction(i) for i in range(10)), 0)
    stage.member(source=source)
    stage.read()
    writing.write(range(10, 30))
    read_for(stage, 0.6)
    at = {p.partition: p.caught_up_for_ms for p in positions(stage.engine)}
    assert (at[0] > 0) is is_idle
    assert at[1] > 0
    writing.end(is_good=True)
    stage.read()
    assert counters(stage.engine) == {"prediction": 30}
    assert stage.differences() == []


@both_clients
def test_a_compacted_log_is_read_over_its_holes(stage: Stage) -> None:
    """Wrong were: to call what compaction took a gap, or to stand still before a hole."""
    stage.admin.delete_topics([stage.topic])
    stage.make_topic(
        1, **{"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01"}
    )
    values = [prediction(i) for i in range(60)]
    for part in range(3):  # each begins a segment; the last one is never cleaned
        time.sleep(0.15)
        stage.send(values[part * 20 : part * 20 + 20])
    deadline = time.monotonic() + DEADLINE_S
    # All have one key: of what is cleaned the last record stays.
    while len(left := whole_log(stage)) > 21:
        assert time.monotonic() < deadline, "it is not compacted"
        time.sleep(0.2)
    stage.written[stage.topic_id, 0] = left
    assert left[-1].offset == 59
    stage.member()
    stage.read()
    assert counters(stage.engine) == {"prediction": len(left)}
    assert stage.differences() == []
    assert stage.gaps() == []


def whole_log(stage: Stage) -> list[Entry]:
    """What partition 0 holds now."""
    consumer = KafkaConsumer(bootstrap_servers=stage.bootstrap, auto_offset_reset="earliest")
    place = TopicPartition(stage.topic, 0)
    consumer.assign([place])
    end = consumer.end_offsets([place])[place]
    found: list[Entry] = []
    while consumer.position(place) < end:
        records = consumer.poll(timeout_ms=200).get(place, ())
        found += [Entry(record.offset, record.timestamp, record.value) for record in records]
    consumer.close()
    return found


# -- a poll that raises ---------------------------------------------------------------------------


class Broken(Deserializer):  # type: ignore[misc]
    """A deserializer of the client's that fails in each partition, in the middle of a poll."""

    def __init__(self, error: Exception, most: int = 2) -> None:
        self.error, self.most = error, most
        self.failed = 0

    def deserialize(self, _topic: str, _headers: Any, value: bytes) -> bytes:
        if self.failed < self.most and json.loads(value)["id"] in ("e60", "e61"):
            self.failed += 1
            raise self.error
        return value


@pytest.mark.parametrize(
    "error", [CorruptRecordError("this one cannot be read now"), AssertionError("of the client")]
)
def test_a_batch_that_cannot_be_read_is_asked_for_again(stage: Stage, error: Exception) -> None:
    """Wrong were: never to come back from the next poll, as kafka-python by itself."""
    stage.send(prediction(i) for i in range(200))
    broken = Broken(error)
    stage.member(options={"value_deserializer": broken})
    stage.read()
    assert broken.failed == 2
    assert counters(stage.engine) == {"prediction": 200}
    assert stage.differences() == []


def test_a_fault_of_the_client_that_stays_ends_the_process(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong were: to ask for ever, and to lose what was read before it."""
    monkeypatch.setattr("consumers.kafka.FAULTS", 3)
    stage.send(prediction(i) for i in range(200))
    broken = Broken(AssertionError("of the client"), most=1_000)
    stage.member(options={"value_deserializer": broken})
    with pytest.raises(AssertionError, match="of the client"):
        stage.read()
    assert broken.failed == 4, "however much the other partition brings between"
    stage.members[0].vanish()
    stage.member()
    stage.read()
    assert counters(stage.engine) == {"prediction": 200}
    assert stage.differences() == []


class Interrupted(KafkaSource):
    """Its client fails to ask for more when it has moved on behind what it is about to return."""

    failed = 0
    _before = 0

    def _join(self) -> None:
        super()._join()
        fetcher = self._consumer._fetcher
        ask = fetcher.send_fetches

        def fail() -> Any:
            if self._at() > self._before > 0 and self.failed < 3:
                self.failed += 1
                raise KafkaConnectionError("the connection is lost just now")
            return ask()

        fetcher.send_fetches = fail

    def _fetched(self, timeout_s: float) -> Mapping[Any, Sequence[Any]]:
        self._before = self._at()
        return super()._fetched(timeout_s)

    def _at(self) -> int:
        places = self._consumer.assignment()
        return sum(self._consumer.position(place, timeout_ms=0) or 0 for place in places)


@pytest.mark.parametrize(("kind", "is_whole"), [(Loop, True), (NeverPutBack, False)])
def test_after_a_poll_that_raised_every_partition_goes_on_where_it_was(
    stage: Stage, kind: type[Loop], is_whole: bool
) -> None:
    """Wrong were: to believe the client's positions, which are behind records it never returned."""
    stage.send([prediction(0), prediction(1)])
    member = stage.member(kind, source=Interrupted)
    stage.read()
    # Whether the client is behind what it returns is a matter of moments: so until it was.
    sent = 2
    while (failed := getattr(member.source, "failed")) < 3 and sent < 1_200:  # noqa: B009
        stage.send(prediction(i) for i in range(sent, sent + 20))
        sent += 20
        stage.read()
    assert failed == 3
    assert (counters(stage.engine) == {"prediction": sent}) is is_whole
    assert (stage.differences() == []) is is_whole


# -- time -----------------------------------------------------------------------------------------


@both_clients
def test_a_partition_that_never_speaks_holds_nothing_back(
    bare: Stage, drifting_facts: dict[str, Any]
) -> None:
    """Wrong were: to wait for its first record for ever."""
    drifting.register(bare.engine)
    bare.send(drifting.log(), 0)
    bare.member()
    bare.read()
    is_idle = lambda: all(p.caught_up_for_ms > 1_000 for p in positions(bare.engine))  # noqa: E731
    bare.until(is_idle, "it is not idle")
    assert [p.max_event_time_ms is None for p in positions(bare.engine)] == [False, True]
    assert drifting.judge(bare.engine, SystemClock().now_ms()) > 0
    assert len(drifting.facts(bare.engine)["windows"]) == len(drifting_facts["windows"])


def test_a_producer_whose_clock_is_in_2099_moves_no_watermark(stage: Stage) -> None:
    """Wrong were: to close all windows up to 2099, to which every later event is late."""
    stage.admin.delete_topics([stage.topic])
    # The broker refuses such a time of a record unless it is told not to.
    stage.make_topic(2, **{"message.timestamp.after.max.ms": str(2**62)})
    stage.send((prediction(i) for i in range(50)), 0)
    ahead = [prediction(i, time=YEAR_2099_MS + i) for i in range(60)]
    stage.send(ahead[:30], 0, kafka_ms=YEAR_2099_MS)
    stage.send((prediction(i) for i in range(50, 60)), 0)
    # By the broker's clock it is an event of the future.
    stage.send(ahead[30:], 1)
    stage.member()
    stage.read()
    assert counters(stage.engine) == {"prediction": 90, "dead:time_in_future": 30}
    newest = {p.partition: p.max_event_time_ms for p in positions(stage.engine)}
    assert newest == {0: START_MS + 59 * 600_000, 1: None}
    assert stage.differences() == []


class JumpingClock(SystemClock):
    """Its wall clock is set by a year and back; what is monotonic stays so."""

    offset_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.offset_ms


def test_a_wall_clock_that_jumps_changes_no_count_and_makes_nobody_idle(stage: Stage) -> None:
    """Wrong were: to call a partition idle for a year, or never again to checkpoint."""
    clock = JumpingClock()
    stage.member(clock=clock)
    for step, offset_ms in enumerate((0, 365 * 86_400_000, -365 * 86_400_000, 0)):
        clock.offset_ms = offset_ms
        stage.send(prediction(i) for i in range(step * 20, step * 20 + 20))
        stage.read()
        read_for(stage, 0.3)
        assert all(0 <= p.caught_up_for_ms < 60_000 for p in positions(stage.engine))
    assert counters(stage.engine) == {"prediction": 80}
    assert stage.differences() == []


# -- a model is deleted ---------------------------------------------------------------------------


def test_a_model_that_is_deleted_stops_neither_its_partition_nor_its_neighbours(
    stage: Stage,
) -> None:
    """Wrong were: a checkpoint that names a model which is gone, and fails for ever."""
    stage.send(prediction(i) for i in range(40))
    stage.member()
    stage.read()
    stage.send(prediction(i) for i in range(40, 80))
    stage.step()  # perhaps read, and not written yet
    with transaction(stage.engine) as conn:
        assert models.archive(conn, "m", actor="a", now_ms=1)
    stage.step()
    assert models.delete(stage.engine, "m", actor="a", now_ms=2)
    stage.send(prediction(i, model=("m", "n")[i // 2 % 2]) for i in range(80, 120))
    stage.read()
    counted = counters(stage.engine)
    assert counted["prediction"] + counted["unmonitored"] == 120
    assert counted["unmonitored"] >= 40
