"""What Apache Kafka's group does to a member, and what a member without its mend makes of it.

Each mend has its control beside it: were the control right, the mend would be for nothing.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from fake_source import counters, positions, prediction
from faults import Calls
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from sqlalchemy.engine import Engine
from stage import SESSION_MS, Member, Stage, both_clients

import consumers.kafka
from consumers.kafka import KafkaSource
from consumers.loop import Loop
from driftline.errors import Conflict

# kafka-python leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)

# Beyond this a group has given away what a silent member had.
BEYOND_S = 2.5 * SESSION_MS / 1000


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Sockets that a test left behind are its own, and not the next test's."""
    yield
    gc.collect()


@pytest.fixture
def stage(kafka: str, engine: Engine, client: str) -> Iterator[Stage]:
    with Stage(kafka, engine, client=client) as made:
        made.register()
        yield made


def owners(stage: Stage) -> dict[int, str | None]:
    return {p.partition: p.owner for p in positions(stage.engine)}


def wait(seconds: float, stage: Stage, *members: Member) -> None:
    """Step for so long."""
    until = time.monotonic() + seconds
    stage.until(lambda: time.monotonic() > until, "time stands still", *members)


# -- a rebalance that outlasts a poll -------------------------------------------------------------


class Forgetful(KafkaSource):
    """It trusts kafka-python to finish a rebalance that outlasted a poll."""

    def _finish_joining(self) -> None:
        pass


def assigned_in_short_polls(stage: Stage, kind: type[KafkaSource] | None = None) -> bool:
    """Whether a member whose polls are shorter than a rebalance ever has a partition."""
    member = stage.member(source=kind)
    member.source.identity()
    until = time.monotonic() + 3.0
    while time.monotonic() < until:
        member.source.poll(0.005)
        if any(change.kind == "assigned" for change in member.source.changes()):
            return True
    return False


@both_clients
def test_a_rebalance_that_outlasts_a_poll_is_finished_by_the_next(stage: Stage) -> None:
    assert assigned_in_short_polls(stage)


def test_without_that_a_member_spins_without_a_partition(stage: Stage) -> None:
    assert not assigned_in_short_polls(stage, Forgetful)


# -- a partition that is paused in the middle of a batch ------------------------------------------


class Parking(KafkaSource):
    """It trusts kafka-python to go on with what it parked."""

    def _free_the_line(self) -> None:
        pass


def is_read_on_after_a_pause(stage: Stage, kind: type[KafkaSource] | None = None) -> bool:
    """Whether a partition is read again that was let go, claimed and resumed, as after a fence."""
    stage.send([prediction(i) for i in range(400)])
    source = stage.member(source=kind, options={"max_poll_records": 10}).source
    source.identity()
    assigned: set[int] = set()

    def polled() -> dict[int, int]:
        found = source.poll(0.25)
        for change in source.changes():
            assigned.update(change.partitions)
        return {partition: len(records) for partition, records in found.items()}

    deadline = time.monotonic() + 20
    while assigned != {0, 1}:
        assert time.monotonic() < deadline, "nothing is assigned"
        polled()
    for partition in assigned:
        source.seek(partition, 0)
    source.resume(assigned)
    while not (found := polled()):
        assert time.monotonic() < deadline, "nothing is read"
    # Ten records of one of them: the other 190 of its batch are in line.
    paused = max(found)
    source.pause([paused])
    while source.position(1 - paused) < 200:
        assert time.monotonic() < deadline, "the other one is not read"
        polled()
    source.seek(paused, 0)
    source.resume([paused])
    until = time.monotonic() + 4
    while time.monotonic() < until:
        if paused in polled():
            return True
    return False


@both_clients
def test_a_partition_that_was_paused_in_the_middle_of_a_batch_is_read_on(stage: Stage) -> None:
    assert is_read_on_after_a_pause(stage)


def test_without_that_it_is_owned_and_never_read_again(stage: Stage) -> None:
    assert not is_read_on_after_a_pause(stage, Parking)


# -- where reading begins -------------------------------------------------------------------------


class Trusting(KafkaSource):
    """It lets Kafka's committed offset say where reading begins."""

    def seek(self, partition: int, offset: int) -> None:
        pass


class Unlistening(consumers.kafka._Listener):
    """It only notes, and gives no partition a position."""

    def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        self._note("assigned", assigned)


def commit_to_kafka(stage: Stage, offset: int) -> None:
    at = {TopicPartition(stage.topic, p): OffsetAndMetadata(offset, "", -1) for p in range(2)}
    stage.admin.alter_group_offsets(stage.group, at)


def test_who_begins_at_kafka_s_offset_loses_what_lies_before_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of `test_contract`'s restart that goes on from the database."""
    monkeypatch.setattr(consumers.kafka, "_Listener", Unlistening)
    stage.send(prediction(i) for i in range(100))
    commit_to_kafka(stage, 40)
    stage.member(source=Trusting)
    stage.read()
    assert counters(stage.engine).get("prediction", 0) <= 20
    assert stage.differences() != []


def listened(stage: Stage, listener: Any) -> tuple[BaseException | None, set[int]]:
    """What kafka-python does with a listener: what poll raises, and the offsets it then reads."""
    consumer = KafkaConsumer(
        bootstrap_servers=stage.bootstrap, group_id=stage.group, enable_auto_commit=False,
        auto_offset_reset="none",
    )  # fmt: skip
    consumer.subscribe([stage.topic], listener=listener(consumer, lambda *_: None))
    raised, offsets, until = None, set(), time.monotonic() + 3.0
    while time.monotonic() < until and not offsets:
        try:
            for records in consumer.poll(timeout_ms=100).values():
                offsets |= {record.offset for record in records}
        except Exception as error:
            raised = error
    consumer.close(autocommit=False)
    return raised, offsets


class Blocking(consumers.kafka._Listener):
    """It asks the broker in its callback, which runs on kafka-python's own thread."""

    def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        for tp in assigned:
            self._consumer.committed(tp)
            self._consumer.seek(tp, 0)


def test_a_listener_that_asks_the_broker_raises_and_reading_begins_elsewhere(stage: Stage) -> None:
    """Why the listener does no I/O: the poll raises once, and the next one reads on silently."""
    stage.send(prediction(i) for i in range(100))
    commit_to_kafka(stage, 40)
    raised, offsets = listened(stage, Blocking)
    assert raised is not None
    assert min(offsets) == 40


def test_ours_reads_nothing_before_the_loop_says_from_where(stage: Stage) -> None:
    stage.send(prediction(i) for i in range(100))
    commit_to_kafka(stage, 40)
    assert listened(stage, consumers.kafka._Listener) == (None, set())


# -- a database that is away ----------------------------------------------------------------------


class Sleeping(Loop):
    """It waits for the database where it stands."""

    def _storage_lost(self, error: Exception) -> None:
        super()._storage_lost(error)
        time.sleep(BEYOND_S)


def generation_after_an_outage(stage: Stage, kind: type[Loop]) -> int:
    """By how much the group's generation moves while the database is away."""
    # A member that does not poll for so long has left.
    member = stage.member(kind, options={"max_poll_interval_ms": SESSION_MS})
    stage.send(prediction(i) for i in range(10))
    stage.read()
    coordinator = member.source._consumer._coordinator
    before = coordinator._generation.generation_id
    stage.send(prediction(i) for i in range(10, 20))
    with Calls(stage.engine) as calls, calls.on():
        calls.is_down = True
        wait(BEYOND_S, stage)
    stage.read()
    return int(coordinator._generation.generation_id - before)


def test_a_member_stays_in_the_group_while_the_database_is_away(stage: Stage) -> None:
    assert generation_after_an_outage(stage, Loop) == 0
    assert counters(stage.engine) == {"prediction": 20}


def test_who_sleeps_instead_of_polling_is_thrown_out(stage: Stage) -> None:
    assert generation_after_an_outage(stage, Sleeping) > 0


# -- partitions that are added --------------------------------------------------------------------


@both_clients
def test_partitions_that_are_added_are_read_from_their_first_record(stage: Stage) -> None:
    """Wrong were: to begin where it ends, to wait for a restart, to lose the others meanwhile."""
    options = {"metadata_max_age_ms": 500}
    members = [stage.member(options=options, start_policy="latest") for _ in range(2)]
    stage.until(lambda: len({*owners(stage).values()} - {None}) == 2, "they do not share")
    stage.send(prediction(i) for i in range(100))
    stage.add_partitions(4)
    stage.send(prediction(i) for i in range(100, 300))
    stage.read(*members)
    assert counters(stage.engine) == {"prediction": 300}
    assert {p.start_offset for p in positions(stage.engine)} == {0}
    assert len(set(owners(stage).values())) == 2
    assert stage.differences() == []
    assert stage.gaps() == []


# -- two groups -----------------------------------------------------------------------------------


@both_clients
def test_a_second_group_on_one_database_is_refused_and_the_first_goes_on(stage: Stage) -> None:
    """Wrong were: to count every record for each group."""
    first = stage.member()
    stage.send(prediction(i) for i in range(50))
    stage.read()
    second = stage.member(group_id="another")
    with pytest.raises(Conflict, match=f"counted by group {stage.group} already"):
        for _ in range(50):
            second.loop.step()
    second.vanish()
    stage.send(prediction(i) for i in range(50, 80))
    stage.read(first)
    assert counters(stage.engine) == {"prediction": 80}
