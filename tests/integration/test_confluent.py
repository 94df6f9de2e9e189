"""What Apache Kafka does to a member that reads with confluent-kafka, beyond `test_contract`."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_kafka
import pytest
from fake_source import counters, positions, prediction
from faults import Calls
from kafka import KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import CoordinatorNotAvailableError
from simulator import NeverPutBack
from sqlalchemy.engine import Engine
from stage import SESSION_MS, Stage

from consumers.confluent import ConfluentSource
from consumers.kafka import KafkaSource
from consumers.librdkafka import translated
from consumers.loop import Loop
from driftline.errors import BrokerUnavailable, OffsetOutOfRange, StreamError

# kafka-python leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Sockets that a test left behind are its own, and not the next test's."""
    yield
    gc.collect()


@pytest.fixture
def broker(caplog: pytest.LogCaptureFixture) -> Iterator[apache_kafka.Broker]:
    """One that the test may stop."""
    # What is logged holds errors, and they the sockets that they came of.
    caplog.set_level(logging.CRITICAL, "kafka")
    apache_kafka.require()
    apache_kafka.fetch()
    made = apache_kafka.Broker()
    made.start()
    yield made
    made.remove()


@pytest.fixture
def stage(kafka: str, engine: Engine) -> Iterator[Stage]:
    with Stage(kafka, engine, client="confluent") as made:
        made.register()
        yield made


def read_for(seconds: float, stage: Stage) -> None:
    until = time.monotonic() + seconds
    stage.until(lambda: time.monotonic() > until, "time stands still")


def commit_to_kafka(stage: Stage, at: dict[TopicPartition, OffsetAndMetadata]) -> None:
    """As soon as the broker has a place for groups: a new one makes it when first asked."""
    deadline = time.monotonic() + 20
    while True:
        try:
            stage.admin.alter_group_offsets(stage.group, at)
        except CoordinatorNotAvailableError:
            assert time.monotonic() < deadline, "the broker has no place for groups"
            time.sleep(0.2)
        else:
            return


def test_it_reads_nothing_before_it_is_told_from_where(stage: Stage) -> None:
    """Wrong were: to begin at Kafka's committed offset, or at an end."""
    stage.send(prediction(i) for i in range(100))
    at = {TopicPartition(stage.topic, p): OffsetAndMetadata(40, "", -1) for p in range(2)}
    commit_to_kafka(stage, at)
    source = stage.member().source
    source.identity()
    assigned: set[int] = set()
    deadline = time.monotonic() + 20
    while assigned != {0, 1}:
        assert time.monotonic() < deadline, "nothing is assigned"
        assert source.poll(0.1) == {}
        assigned.update(p for change in source.changes() for p in change.partitions)
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        assert source.poll(0.1) == {}
    source.seek(1, 7)
    source.resume([1])
    while not (found := source.poll(0.1)):
        assert time.monotonic() < deadline, "nothing is read"
    assert (set(found), found[1][0].offset) == ({1}, 7)


class AtOnce(ConfluentSource):
    """Partition 0 is sought as soon as it is ours, as where a claim takes no time."""

    def _assigned(self, consumer: Any, parts: Sequence[Any]) -> None:
        super()._assigned(consumer, parts)
        self.seek(0, 7)


class Naming(AtOnce):
    """It has librdkafka ask for the end of the log, and seeks before the answer has come."""

    def _assign(self, consumer: Any, at: Mapping[int, int]) -> None:
        super()._assign(consumer, dict.fromkeys(self._ours, self._lib.OFFSET_END))


def first_after_a_claim(stage: Stage, source: type[ConfluentSource]) -> int | None:
    """The first offset of partition 0 that is read, where 7 was sought."""
    stage.send((prediction(i) for i in range(50)), 0)
    read = stage.member(source=source).source
    read.identity()
    deadline = time.monotonic() + 20
    while not read.changes():
        assert time.monotonic() < deadline, "nothing is assigned"
        read.poll(0.05)
    until = time.monotonic() + 1.5  # a claim may take so long to cross gaps
    while time.monotonic() < until:
        read.poll(0.1)
    read.resume([0])
    until = time.monotonic() + 3
    while time.monotonic() < until:
        for records in read.poll(0.1).values():
            return int(records[0].offset)
    return None


def test_it_is_read_from_where_the_claim_says(stage: Stage) -> None:
    assert first_after_a_claim(stage, AtOnce) == 7


def test_who_asks_for_a_place_by_name_goes_there_in_the_end(stage: Stage) -> None:
    """Why none is named: records were lost so, and nothing told it."""
    assert first_after_a_claim(stage, Naming) is None


def test_what_keeps_it_from_the_group_is_told(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What asks the broker is let in; what reads is not, and would be silent about it."""
    monkeypatch.setattr("consumers.confluent.SILENT_S", 0.5)
    told = {"security.protocol": "SSL"}  # the port speaks plain text
    monkeypatch.setattr("consumers.confluent.translated", lambda given: translated(given) | told)
    source = stage.member().source
    source.identity()
    deadline = time.monotonic() + 20
    with pytest.raises(BrokerUnavailable, match=r"librdkafka cannot join group .*SSL"):
        while time.monotonic() < deadline:
            source.poll(0.1)
    assert source.poll(0.1) == {}, "it is told once"


class Forgotten(ConfluentSource):
    """librdkafka forgets to fetch what it was first told to."""

    forgot = 0

    def resume(self, partitions: Iterable[int]) -> None:
        parts = self._parts(partitions)
        super().resume([tp.partition for tp in parts])
        if self.forgot < 2:
            self.forgot += len(parts)
            self._consumer.pause(parts)


@pytest.mark.parametrize("is_asked_again", [True, False])
def test_a_partition_that_brings_nothing_is_sought_once_more(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, is_asked_again: bool
) -> None:
    """Wrong were: to own it, to say that it lives, and never to read it."""
    monkeypatch.setattr("consumers.confluent.UNHEARD_S", 1.0 if is_asked_again else 1e9)
    stage.send(prediction(i) for i in range(100))
    member = stage.member(source=Forgotten)
    stage.until(lambda: member.source.forgot == 2, "nothing is claimed")
    read_for(3.0, stage)
    assert counters(stage.engine) == ({"prediction": 100} if is_asked_again else {})
    assert not is_asked_again or stage.differences() == []


class Noted:
    """librdkafka's consumer, and what it was called for."""

    def __init__(self, consumer: Any) -> None:
        self._consumer, self.calls = consumer, []  # type: ignore[var-annotated]

    def __getattr__(self, name: str) -> Any:
        self.calls.append(name)
        return getattr(self._consumer, name)


class Watched(ConfluentSource):
    """What it calls librdkafka for is noted."""

    def _join(self) -> None:
        self._consumer = Noted(self._consumer)
        super()._join()


def test_librdkafka_is_woken_once_where_it_is_to_read_again(stage: Stage) -> None:
    """Wrong were: to let it sleep for the second that it sleeps, and to ask it at each poll."""
    stage.send(prediction(i) for i in range(100))
    member = stage.member(source=Watched)
    stage.until(lambda: counters(stage.engine) == {"prediction": 100}, "nothing is counted")
    source = member.source
    calls = source._consumer.calls
    first = calls[: calls.index("consume")]
    # All that was claimed together is asked for by one question, after the last of it.
    assert first.count("offsets_for_times") == 1
    assert "offsets_for_times" in first[len(first) - first[::-1].index("resume") :]
    read_for(0.5, stage)
    assert calls.count("offsets_for_times") == 1
    source.pause([0])
    source.resume([0])
    calls.clear()
    read_for(0.5, stage)
    assert calls.count("offsets_for_times") == 1
    assert calls.index("offsets_for_times") < calls.index("poll")


def test_the_threads_of_all_brokers_are_woken(
    broker: apache_kafka.Broker, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong was: to ask any one of them, and to let the others sleep for their second."""
    second = apache_kafka.Broker(beside=broker)
    asked: list[list[int]] = []

    class Asked(Watched):
        def _wake(self) -> None:
            real = self._consumer._consumer.offsets_for_times

            def ask(parts: Sequence[Any], **more: Any) -> Any:
                asked.append([part.partition for part in parts])
                found = real(parts, **more)
                assert [(part.offset, part.error) for part in found] == [(0, None)] * len(parts)
                return found

            self._consumer.offsets_for_times = ask
            super()._wake()

    try:
        second.start()
        with Stage(broker.bootstrap, engine, client="confluent") as stage:
            stage.register()
            found = stage.admin.describe_topics([stage.topic])
            leaders = {part["leader_id"] for part in found[0]["partitions"]}
            assert leaders == {1, 2}
            stage.send(prediction(i) for i in range(100))
            stage.member(source=Asked)
            stage.until(lambda: counters(stage.engine) == {"prediction": 100}, "nothing is counted")
    finally:
        second.remove()
    assert asked[-1:] == [[0, 1]]


class Slow(ConfluentSource):
    """It is asked so seldom that records and the log's end come in one poll."""

    def _messages(self, timeout_s: float) -> list[Any]:
        found = super()._messages(timeout_s)
        until = time.monotonic() + 3
        while found and found[-1].error() is None and time.monotonic() < until:
            found += super()._messages(0.1)
        return found


def test_the_end_behind_a_marker_is_reached_where_it_comes_with_the_records(stage: Stage) -> None:
    """Wrong were: to stand one short of it for ever, and never to be idle."""
    producer = KafkaProducer(bootstrap_servers=stage.bootstrap, transactional_id=stage.topic)
    producer.init_transactions()
    producer.begin_transaction()
    for i in range(10):
        producer.send(stage.topic, prediction(i), partition=0)
    producer.commit_transaction()
    producer.close(timeout=5)
    source = stage.member(source=Slow).source
    source.identity()
    deadline = time.monotonic() + 20
    while not source.changes():
        assert time.monotonic() < deadline, "nothing is assigned"
        source.poll(0.05)
    source.seek(0, 0)
    source.resume([0])
    while not (found := source.poll(0.1)):
        assert time.monotonic() < deadline, "nothing is read"
    assert [record.offset for record in found[0]] == list(range(10))
    assert source.position(0) == 11


class Interrupted(ConfluentSource):
    """What it has read it loses sometimes, and fails."""

    failed = 0

    def _messages(self, timeout_s: float) -> list[Any]:
        found = super()._messages(timeout_s)
        if self._positions and self.failed < 3 and len(found) > 1:
            self.failed += 1
            raise StreamError("lost between librdkafka and us")
        return found


@pytest.mark.parametrize(("kind", "is_whole"), [(Loop, True), (NeverPutBack, False)])
def test_after_a_poll_that_raised_every_partition_goes_on_where_it_was(
    stage: Stage, kind: type[Loop], is_whole: bool
) -> None:
    """Wrong were: to believe librdkafka, which is behind what it handed over."""
    member = stage.member(kind, source=Interrupted)
    stage.until(lambda: all(p.owner for p in positions(stage.engine)), "nothing is claimed")
    for part in range(20):
        stage.send(prediction(i) for i in range(part * 20, part * 20 + 20))
        read_for(0.1, stage)
    stage.read()
    assert member.source.failed == 3
    assert (counters(stage.engine) == {"prediction": 400}) is is_whole
    assert (stage.differences() == []) is is_whole


def test_retention_that_overtakes_all_partitions_at_once_is_a_gap_of_each(stage: Stage) -> None:
    """Each stops by itself, and what is said of one may come when another is begun anew."""
    for partition in range(2):
        stage.send((prediction(i) for i in range(20)), partition)
    member = stage.member()
    stage.read()
    member.source.pause([0, 1])
    read_for(0.7, stage)  # until what was asked for is answered
    for partition in range(2):
        stage.send((prediction(i) for i in range(20, 50)), partition)
        stage.admin.delete_records({TopicPartition(stage.topic, partition): 40})
    member.source.resume([0, 1])
    stage.read()
    assert sorted(stage.gaps()) == [("retention", 0, 20, 40), ("retention", 1, 20, 40)]
    assert counters(stage.engine) == {"prediction": 60}
    assert stage.differences() == []


class Haunted(ConfluentSource):
    """Once it is told of a place at which it is no longer."""

    told = 0

    def _messages(self, timeout_s: float) -> list[Any]:
        if self.told == 0 and self._positions.get(0, 0) >= 20:
            self.told += 1
            self._face_gone("fetch failed: Broker: Offset out of range", 0, 7)
        return super()._messages(timeout_s)


def test_a_refusal_of_another_place_than_ours_is_no_gap(stage: Stage) -> None:
    member = stage.member(source=Haunted)
    stage.send((prediction(i) for i in range(20)), 0)
    stage.read()
    stage.send((prediction(i) for i in range(20, 50)), 0)
    stage.read()
    assert member.source.told == 1
    assert stage.gaps() == []
    assert counters(stage.engine) == {"prediction": 50}
    # Where the same is said of it twice, it is so.
    member.source._doubted[0] = 7
    with pytest.raises(OffsetOutOfRange):
        member.source._face_gone("fetch failed: Broker: Offset out of range", 0, 7)


def test_a_poll_of_large_records_ends_before_it_is_large(stage: Stage) -> None:
    """Repeated bytes, so that a fetch holds all of them, and a poll could."""
    producer = KafkaProducer(bootstrap_servers=stage.bootstrap, compression_type="gzip")
    for _ in range(600):
        producer.send(stage.topic, b" " * 200_000, partition=0)
    producer.flush(timeout=30)
    producer.close(timeout=5)
    source = stage.member().source
    source.identity()
    deadline, sizes = time.monotonic() + 60, []
    while not source.changes():
        assert time.monotonic() < deadline, "nothing is assigned"
        source.poll(0.05)
    source.seek(0, 0)
    source.resume([0])
    while sum(sizes) < 600:
        assert time.monotonic() < deadline, "the end is not reached"
        sizes += map(len, source.poll(0.2).values())
    assert max(sizes) <= 180, "16 MB and the last hundred"


def test_both_clients_are_members_of_one_group(stage: Stage) -> None:
    """So a group moves from one to the other without standing still."""
    old, new = stage.member(source=KafkaSource, owner="old"), stage.member(owner="new")

    def owners() -> set[str | None]:
        return {p.owner for p in positions(stage.engine)}

    stage.until(lambda: owners() == {"old", "new"}, "they do not share")
    stage.send(prediction(i) for i in range(200))
    stage.read()
    old.leave()
    stage.send(prediction(i) for i in range(200, 300))
    stage.until(lambda: owners() == {"new"}, "the partitions are not taken over", new)
    stage.read()
    assert counters(stage.engine) == {"prediction": 300}
    assert stage.differences() == []


def test_a_member_stays_in_the_group_while_the_database_is_away(stage: Stage) -> None:
    beyond_s = 2.5 * SESSION_MS / 1000
    member = stage.member(options={"max_poll_interval_ms": SESSION_MS})
    stage.send(prediction(i) for i in range(10))
    stage.read()
    changes: list[object] = []
    taken = member.source.changes

    def watched() -> list[object]:
        found = taken()
        changes.extend(found)
        return found

    member.source.changes = watched
    stage.send(prediction(i) for i in range(10, 20))
    with Calls(stage.engine) as calls, calls.on():
        calls.is_down = True
        read_for(beyond_s, stage)
    stage.read()
    assert changes == []
    assert counters(stage.engine) == {"prediction": 20}


def test_a_log_that_was_cut_while_the_broker_was_away_is_a_gap(
    engine: Engine, broker: apache_kafka.Broker
) -> None:
    """The member lives on through the restart, and reads what is written anew."""
    stage = Stage(broker.bootstrap, engine, partitions=1, client="confluent")
    log = broker.data / f"{stage.topic}-0" / f"{0:020}.log"
    stage.register()
    stage.member()
    stage.send(prediction(i) for i in range(12))
    size = log.stat().st_size
    stage.send(prediction(i) for i in range(12, 20))
    stage.read()
    stage.admin.close()
    stage.producer.close(timeout=5)
    broker.stop()
    read_for(1.0, stage)
    with log.open("r+b") as file:
        file.truncate(size)
    broker.start()
    stage.begin()
    stage.until(lambda: bool(stage.gaps()), "the loss is not seen")
    stage.send(prediction(i) for i in range(100, 103))
    stage.until(lambda: counters(engine) == {"prediction": 23}, "what is new is not read")
    assert stage.gaps() == [("truncation", 0, 12, 20)]
    assert stage.next_offsets() == {0: 15}
    stage.end()


def test_a_restarted_broker_is_read_on_by_the_members_that_it_had(
    engine: Engine, broker: apache_kafka.Broker
) -> None:
    stage = Stage(broker.bootstrap, engine, client="confluent")
    stage.register()
    members = [stage.member(owner=name) for name in ("one", "two")]
    stage.until(lambda: {p.owner for p in positions(engine)} == {"one", "two"}, "they do not share")
    stage.send(prediction(i) for i in range(100))
    stage.read(*members)
    stage.admin.close()
    stage.producer.close(timeout=5)
    broker.stop()
    read_for(3.0, stage)
    broker.start()
    stage.begin()
    stage.send(prediction(i) for i in range(100, 200))
    stage.read()
    assert counters(engine) == {"prediction": 200}
    assert stage.gaps() == []
    assert stage.differences() == []
    stage.end()
