"""What counting promises, kept on every broker with every database and both clients.

Each test is written once and runs six times. What only one of them can be made to do is told
elsewhere: `test_kafka_log`, `test_kafka_group`, `test_ingest_broker`, `test_postgres_concurrency`.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator

import drifting
import pytest
from fake_source import START_MS, counters, positions, prediction
from kafka import OffsetAndMetadata, TopicPartition
from sqlalchemy.engine import Engine
from stage import Stage

from monitor.clock import SystemClock
from monitor.storage import schema as t

pytestmark = [
    pytest.mark.both_databases,
    pytest.mark.parametrize("broker", ["embedded", "kafka", "confluent"]),
    # kafka-python leaves the socket of a refused connection to the garbage collector.
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
    ),
]


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Sockets that a test left behind are its own, and not the next test's."""
    yield
    gc.collect()


@pytest.fixture
def stage(broker: str, engine: Engine, request: pytest.FixtureRequest) -> Iterator[Stage]:
    client = "confluent" if broker == "confluent" else "kafka-python"
    bootstrap: str = request.getfixturevalue("kafka" if broker == "confluent" else broker)
    with Stage(bootstrap, engine, client=client) as made:
        yield made


def label(i: int, **changes: object) -> bytes:
    """The label of the i-th prediction."""
    time_ms = START_MS + 20 * 600_000
    said = {"type": "label", "model": "m", "id": f"e{i}", "time": time_ms, "label": "yes"}
    return json.dumps(said | changes).encode()


def test_what_is_counted_is_what_the_log_holds(stage: Stage) -> None:
    stage.register()
    stage.send(prediction(i) for i in range(900))
    stage.send([prediction(i, version="unknown") for i in range(40)])
    stage.send([prediction(0, features={"kind": f"new-{i}"}) for i in range(5)])
    stage.send([prediction(i) for i in range(20)])  # late
    stage.send([b"\n".join(prediction(i) for i in range(30)), b"", None])
    stage.member()
    stage.read()
    assert counters(stage.engine)["prediction"] == 900 + 5 + 20 + 30
    assert stage.differences() == []


def test_a_restart_goes_on_from_the_database_whatever_kafka_was_told(stage: Stage) -> None:
    stage.register()
    stage.send(prediction(i) for i in range(200))
    first = stage.member()
    stage.read()
    first.vanish()
    # Somebody resets the group's offsets: what is counted is no affair of Kafka's.
    stage.send(prediction(i) for i in range(200, 300))
    offsets = {
        TopicPartition(stage.topic, p): OffsetAndMetadata(at, "", -1)
        for p, at in {0: 5, 1: 145}.items()
    }
    stage.admin.alter_group_offsets(stage.group, offsets)
    stage.member()
    stage.read()
    assert counters(stage.engine) == {"prediction": 300}
    assert stage.differences() == []


def test_what_was_read_and_not_written_is_read_again(stage: Stage) -> None:
    stage.register()
    first = stage.member()
    stage.until(lambda: len(positions(stage.engine)) == 2, "nothing is claimed")
    stage.until(lambda: all(p.owner for p in positions(stage.engine)), "nothing is claimed")
    first.loop._checkpoint_at_s = float("inf")  # it holds and never writes
    first.loop._was_quiet = False
    stage.send(prediction(i) for i in range(100))
    owned = first.loop._owned.values()
    stage.until(lambda: sum(o.ledger.rows for o in owned if o.ledger) == 100, "it was not read")
    assert counters(stage.engine) == {}
    first.vanish()
    stage.member()
    stage.read()
    assert counters(stage.engine) == {"prediction": 100}
    assert stage.differences() == []


def test_members_share_the_partitions_and_who_is_left_has_all(stage: Stage) -> None:
    stage.register()
    one, two = (stage.member(owner=name) for name in ("one", "two"))

    def owners() -> set[str | None]:
        return {p.owner for p in positions(stage.engine)}

    stage.until(lambda: owners() == {"one", "two"}, "they do not share")
    stage.send(prediction(i) for i in range(200))
    stage.read()
    stage.send(prediction(i) for i in range(200, 300))
    one.leave()
    stage.until(lambda: owners() == {"two"}, "the partitions are not taken over", two)
    stage.read()
    assert counters(stage.engine) == {"prediction": 300}
    assert stage.differences() == []


def test_what_is_no_event_is_kept_with_its_place_and_reason(stage: Stage) -> None:
    stage.register()
    stage.send([prediction(0), b"{", b"\n".join([prediction(1), b"[]", prediction(2)])], 0)
    stage.send([None, prediction(3, time=None)], 1)
    stage.member()
    stage.read()
    kept = [(row.partition, row.offset, row.line, row.reason) for row in stage.rows(t.dead_letter)]
    assert sorted(kept) == [
        (0, 1, 0, "bad_json"),
        (0, 2, 2, "not_an_object"),
        (1, 0, 0, "empty"),
        (1, 1, 0, "time_missing"),
    ]
    assert counters(stage.engine)["prediction"] == 3
    assert stage.differences() == []


def test_labels_are_counted_beside_predictions(stage: Stage) -> None:
    stage.register()
    stage.send(prediction(i) for i in range(20))
    stage.send([label(i) for i in range(7)] + [label(0, model="nobody"), label(1, version="1")])
    stage.member()
    stage.read()
    assert counters(stage.engine) == {"prediction": 20, "label": 8, "unmonitored": 1}
    assert stage.differences() == []


def test_a_reference_registered_while_events_flow_counts_from_one_offset_on(stage: Stage) -> None:
    """Were a batch written with a registry that it was not counted with, counts would differ."""
    stage.send(prediction(i) for i in range(50))
    stage.member()
    stage.read()
    for part in range(5):
        if part == 2:
            stage.register()
        stage.send(prediction(i) for i in range(part * 20, part * 20 + 20))
        stage.step()
    stage.read()
    counted = counters(stage.engine)
    assert counted["unmonitored"] + counted["prediction"] == 150
    assert counted["unmonitored"] >= 50
    assert counted["prediction"] >= 40
    assert stage.differences() == []
    switches = stage.rows(t.registry_switch)
    assert {(row.partition, row.registry_revision) for row in switches} == {
        (p, revision) for p in range(2) for revision in stage.registries
    }


def test_a_topic_made_again_is_read_from_its_first_record(stage: Stage) -> None:
    """A reader of names goes on at its old position, and loses what the new log has before it."""
    stage.register()
    stage.send(prediction(i) for i in range(60))
    stage.member()
    stage.read()
    stage.make_topic_again()
    stage.send(prediction(i) for i in range(200))
    stage.read()
    assert counters(stage.engine) == {"prediction": 260}
    assert [(kind, p, first, end) for kind, p, first, end in stage.gaps()] == [
        ("recreated", 0, 30, 30),
        ("recreated", 1, 30, 30),
    ]
    assert stage.differences() == []


def test_what_is_found_is_the_same_everywhere(
    stage: Stage, drifting_facts: dict[str, object]
) -> None:
    drifting.register(stage.engine)
    stage.send(drifting.log())
    stage.member()
    stage.read()
    stage.until(
        lambda: all(p.caught_up_for_ms > 1_000 for p in positions(stage.engine)), "it is not idle"
    )
    assert drifting.judge(stage.engine, SystemClock().now_ms()) > 0
    found = drifting.facts(stage.engine)
    assert found["episodes"], "the drift was not found"
    assert drifting.different(drifting_facts, found) == []
