"""A flood of what cannot be read stops the consumer before it is counted; people let it go on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
import sqlalchemy as sa
from fake_source import KAFKA_MS, FakeSource, counters, positions, prediction, register
from ingest_rig import Rig
from sqlalchemy.engine import Engine

from consumers.breaker import UNDECODABLE
from consumers.loop import Loop
from driftline.errors import DeadLetterLimit, StorageUnavailable
from driftline.events import REASONS
from monitor.storage import breakers
from monitor.storage import engine as storage
from monitor.storage import schema as t

BOTH = pytest.mark.both_databases


def good(n: int) -> list[bytes]:
    return [prediction(i % 500) for i in range(n)]


def bad(n: int) -> list[bytes]:
    return [f"no json {i}".encode() for i in range(n)]


def mixed(n: int, of_hundred: int) -> Iterable[bytes]:
    for i in range(n):
        yield b"no json" if i % 100 < of_hundred else prediction(i % 500)


@pytest.fixture
def rig(engine: Engine) -> Rig:
    register(engine)
    return Rig(engine)


def dead(engine: Engine) -> int:
    return sum(n for name, n in counters(engine).items() if name.startswith("dead:"))


def stop_of(engine: Engine) -> breakers.Stop:
    with storage.reading(engine) as conn:
        found = breakers.find(conn, 1)
    assert found is not None
    return found


def accept(engine: Engine, **more: Any) -> list[breakers.Stop]:
    with storage.transaction(engine) as conn:
        return breakers.accept(conn, actor="cli:me", now_ms=KAFKA_MS, **more)


@BOTH
def test_a_flood_stops_the_consumer_before_it_is_counted(rig: Rig) -> None:
    rig.topic.extend(good(400))
    rig.settle()
    rig.topic.extend(bad(5_000))
    with pytest.raises(DeadLetterLimit) as caught:
        rig.settle(rounds=30)
    # What came before is counted; of the flood at most what no window of 1,000 could tell.
    assert counters(rig.engine)["prediction"] == 400
    (at,) = positions(rig.engine)
    assert at.next_offset == 400 + dead(rig.engine) < 1_400
    stop = stop_of(rig.engine)
    assert stop.stands
    assert (stop.topic, stop.partition, stop.next_offset) == ("driftline.events", 0, at.next_offset)
    assert stop.events >= 1_000
    assert stop.undecodable > stop.events / 2
    assert stop.reasons == {"bad_json": stop.undecodable}
    assert [sample["reason"] for sample in stop.samples] == ["bad_json"] * 5
    words = str(caught.value)
    assert "cannot be read" in words
    assert "dead-letter accept" in words
    assert f"offset {at.next_offset}" in words


@BOTH
def test_without_the_breaker_the_flood_is_counted_and_passed(engine: Engine) -> None:
    register(engine)
    rig = Rig(engine, breaker=False)
    rig.topic.extend(good(400) + bad(5_000))
    rig.settle(rounds=30)
    assert positions(engine)[0].next_offset == 5_400
    assert counters(engine) == {"prediction": 400, "dead:bad_json": 5_000}


@BOTH
def test_it_goes_on_when_that_is_accepted_and_loses_nothing(rig: Rig) -> None:
    rig.topic.extend(good(300) + bad(3_000) + good(700))
    with pytest.raises(DeadLetterLimit):
        rig.settle(rounds=30)
    before = positions(rig.engine)[0]
    # Started again it reads nothing: it ends at once, for the same reason.
    rig.start()
    with pytest.raises(DeadLetterLimit, match="Nothing is lost"):
        rig.loop.step()
    assert positions(rig.engine)[0].next_offset == before.next_offset
    assert positions(rig.engine)[0].claim_epoch == before.claim_epoch
    assert [stop.topic for stop in accept(rig.engine)] == ["driftline.events"]
    assert accept(rig.engine) == []
    rig.start()
    rig.settle(rounds=30)
    told = counters(rig.engine)
    assert (told["prediction"], told["dead:bad_json"]) == (1_000, 3_000)
    with rig.engine.connect() as conn:
        noted = conn.execute(sa.select(t.audit)).one()
    assert (noted.actor, noted.action) == ("cli:me", "dead_letter.accept")
    assert json.loads(noted.detail)["next_offset"] == before.next_offset


def test_an_accepted_flood_is_over_when_most_can_be_read_and_the_next_one_stops(rig: Rig) -> None:
    rig.topic.extend(bad(2_500))
    with pytest.raises(DeadLetterLimit):
        rig.settle(rounds=20)
    accept(rig.engine)
    rig.start()
    rig.settle(rounds=10)
    assert stop_of(rig.engine).is_let_through
    # Restarted amid the flood it is still let through.
    rig.topic.extend(bad(2_500))
    rig.start()
    rig.settle(rounds=10)
    assert dead(rig.engine) == 5_000
    rig.topic.extend(good(1_500))
    rig.settle(rounds=10)
    assert stop_of(rig.engine).over_ms is not None
    rig.topic.extend(bad(2_500))
    with pytest.raises(DeadLetterLimit):
        rig.settle(rounds=20)
    assert stop_of(rig.engine).stands


@BOTH
def test_other_partitions_do_not_say_that_an_accepted_flood_is_over(engine: Engine) -> None:
    """Polls bring many records of one partition in a row: each good row would arm it again."""
    register(engine)
    rig = Rig(engine, partitions=2)

    def start() -> None:
        rig.start()
        rig.source.max_records = 1_500

    start()
    rig.topic.extend(bad(6_000), 0)
    rig.topic.extend(good(6_000), 1)
    with pytest.raises(DeadLetterLimit):
        rig.settle(rounds=10)
    accept(engine)
    start()
    rig.settle(rounds=10)
    assert stop_of(engine).is_let_through
    told = counters(engine)
    assert (told["prediction"], told["dead:bad_json"]) == (6_000, 6_000)
    rig.topic.extend(good(1_500), 0)
    rig.settle(rounds=3)
    assert stop_of(engine).over_ms is not None
    rig.topic.extend(bad(1_500), 0)
    with pytest.raises(DeadLetterLimit):
        rig.settle(rounds=3)


@pytest.mark.parametrize("of_hundred", [3, 20, 50])
def test_what_is_not_most_never_stops_it(rig: Rig, of_hundred: int) -> None:
    rig.topic.extend(mixed(12_000, of_hundred))
    rig.settle(rounds=40)
    assert dead(rig.engine) == 120 * of_hundred
    with storage.reading(rig.engine) as conn:
        assert breakers.find(conn, 1) is None


def test_a_small_topic_is_never_stopped(rig: Rig) -> None:
    rig.topic.append(b"no json")
    rig.settle()
    rig.topic.extend(bad(998))
    rig.settle(rounds=10)
    assert counters(rig.engine) == {"dead:bad_json": 999}


def test_what_is_read_again_counts_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    from consumers import loop

    rig.topic.extend(bad(600))
    with monkeypatch.context() as away:

        def fails(*_: Any, **__: Any) -> None:
            raise StorageUnavailable("away")

        away.setattr(loop.checkpoint, "commit", fails)
        for _ in range(8):
            rig.settle()
    rig.settle(rounds=6)
    assert counters(rig.engine) == {"dead:bad_json": 600}


def test_a_clock_gone_wrong_does_not_stop_the_others(rig: Rig) -> None:
    rig.topic.extend(prediction(i % 500, time=KAFKA_MS + 86_400_000) for i in range(3_000))
    rig.topic.extend(good(100))
    rig.settle(rounds=20)
    assert counters(rig.engine) == {"dead:time_in_future": 3_000, "prediction": 100}
    assert set(REASONS) - set(UNDECODABLE) == {r for r in REASONS if r.startswith("time_")}


def test_lines_of_one_record_count_as_events(rig: Rig) -> None:
    lines = b"\n".join([b'{"type": "prediction"}'] * 600 + [prediction(0)] * 500)
    rig.topic.append(lines)
    with pytest.raises(DeadLetterLimit):
        rig.settle()
    stop = stop_of(rig.engine)
    assert (stop.events, stop.undecodable) == (1_100, 600)
    assert counters(rig.engine) == {}


def test_whoever_takes_the_partition_over_stops_too(engine: Engine) -> None:
    register(engine)
    rig = Rig(engine, partitions=2)
    other = FakeSource(rig.topic, rig.clock)
    loop = Loop(engine, other, rig.settings, rig.clock)
    other.give(1)
    rig.source.take(1)
    loop.step()
    rig.topic.extend(bad(3_000), partition=0)
    rig.topic.extend(good(50), partition=1)
    with pytest.raises(DeadLetterLimit):
        rig.settle(rounds=20)
    # The other member goes on with its own, until the stopped one's partition comes to it.
    for _ in range(3):
        loop.step()
        rig.clock.advance(31)
    assert counters(engine)["prediction"] == 50
    other.give(0)
    with pytest.raises(DeadLetterLimit):
        for _ in range(5):
            loop.step()
            rig.clock.advance(31)


def test_switched_off_later_it_takes_a_stop_for_accepted(rig: Rig) -> None:
    rig.topic.extend(bad(2_000))
    with pytest.raises(DeadLetterLimit):
        rig.settle(rounds=20)
    off = Rig(rig.engine, breaker=False)
    off.topic = rig.topic
    off.start()
    off.settle(rounds=10)
    assert dead(rig.engine) == 2_000
    assert stop_of(rig.engine).accepted_by == "ingest.breaker=false"
