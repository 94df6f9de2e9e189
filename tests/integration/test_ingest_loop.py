"""The loop against a broker that is cut, emptied or made again, on a real database."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from fake_source import (
    KAFKA_MS,
    counters,
    positions,
    prediction,
    recount,
    register,
    stored_counts,
)
from ingest_rig import INTERVAL_S, Rig, gaps
from sqlalchemy.engine import Engine

from consumers.settings import IngestSettings
from driftline.errors import Conflict
from monitor.storage import schema as t

pytestmark = pytest.mark.both_databases


def test_everything_is_counted_and_kafka_is_told(engine: Engine) -> None:
    reference = register(engine)
    rig = Rig(engine, partitions=2)
    for i in range(1_500):
        rig.topic.append(prediction(i), i % 2)
    rig.settle()
    assert stored_counts(engine, reference) == recount(engine, rig.topic.logs.values())
    assert counters(engine) == {"prediction": 1_500}
    assert [p.next_offset for p in positions(engine)] == [750, 750]
    assert rig.topic.committed == {0: 750, 1: 750}


def test_a_claimed_partition_says_at_once_how_far_behind_it_is(engine: Engine) -> None:
    register(engine)
    rig = Rig(engine)
    rig.topic.extend(prediction(i) for i in range(10))
    rig.loop.step()
    (row,) = positions(engine)
    assert (row.end_offset, row.fetched_ms) == (10, KAFKA_MS)


def test_the_first_records_after_a_quiet_interval_are_written_soon(engine: Engine) -> None:
    register(engine)
    rig = Rig(engine)
    rig.settle()
    for sent in (10, 20):
        rig.topic.extend(prediction(i) for i in range(10))
        rig.loop.step()
        rig.clock.advance(2.1)
        rig.loop.step()
        # The second lot follows a busy interval: it waits for its turn.
        assert counters(engine)["prediction"] == 10, sent
    rig.clock.advance(INTERVAL_S)
    rig.loop.step()
    assert counters(engine)["prediction"] == 20


def test_a_new_process_goes_on_from_sql_whatever_kafka_says(engine: Engine) -> None:
    register(engine)
    rig = Rig(engine)
    rig.topic.extend(prediction(i) for i in range(50))
    rig.settle()
    rig.topic.committed[0] = 3
    rig.topic.extend(prediction(i) for i in range(50, 60))
    rig.loop.step()  # read, never written
    rig.start()
    rig.settle()
    assert counters(engine) == {"prediction": 60}


def test_a_poll_that_raised_skips_nothing(engine: Engine) -> None:
    register(engine)
    rig = Rig(engine)
    rig.topic.extend(prediction(i) for i in range(10))
    rig.loop.step()
    rig.source.skip_and_raise = 7
    rig.settle()
    assert counters(engine) == {"prediction": 10}


def test_holes_in_the_log_move_the_position(engine: Engine) -> None:
    register(engine)
    rig = Rig(engine)
    rig.topic.append(prediction(0))
    rig.topic.hole(5)
    rig.settle()
    (row,) = positions(engine)
    assert (row.next_offset, row.end_offset) == (6, 6)


def test_records_lost_to_retention_are_a_gap(engine: Engine) -> None:
    register(engine)
    rig = Rig(engine)
    rig.topic.extend(prediction(i) for i in range(10))
    rig.settle()
    rig.topic.extend(prediction(i) for i in range(10, 30))
    rig.topic.retain_from(25)
    rig.start()
    rig.settle()
    assert gaps(engine) == [("retention", 10, 25)]
    assert counters(engine) == {"prediction": 15}


def test_retention_that_overtakes_a_running_owner_is_a_gap(engine: Engine) -> None:
    register(engine)
    rig = Rig(engine)
    rig.topic.extend(prediction(i) for i in range(10))
    rig.settle()
    rig.topic.extend(prediction(i) for i in range(10, 30))
    rig.topic.retain_from(25)
    rig.settle()
    assert gaps(engine) == [("retention", 10, 25)]
    assert counters(engine) == {"prediction": 15}


def test_a_truncated_log_is_a_gap_and_the_new_records_are_read(engine: Engine) -> None:
    register(engine)
    rig = Rig(engine)
    rig.topic.extend(prediction(i) for i in range(20))
    rig.settle()
    rig.topic.truncate(12)
    rig.settle()
    rig.topic.extend(prediction(i) for i in range(100, 103))
    rig.settle()
    assert gaps(engine) == [("truncation", 12, 20)]
    assert positions(engine)[0].next_offset == 15
    assert counters(engine) == {"prediction": 23}


def test_a_truncation_seen_by_the_leader_epoch_is_a_gap(engine: Engine) -> None:
    register(engine)
    rig = Rig(engine)
    rig.topic.extend(prediction(i) for i in range(20))
    rig.settle()
    rig.source.truncated = {0: 15}
    rig.settle()
    assert gaps(engine) == [("truncation", 15, 20)]
    assert counters(engine) == {"prediction": 25}


def test_an_end_that_lags_behind_the_position_is_no_truncation(engine: Engine) -> None:
    register(engine)
    rig = Rig(engine)
    rig.topic.extend(prediction(i) for i in range(20))
    rig.settle()
    rig.source.bounds = lambda: {0: (0, 4)}  # type: ignore[method-assign]
    rig.settle()
    rig.start()
    rig.source.bounds = lambda: {0: (0, 4)}  # type: ignore[method-assign]
    rig.settle()
    assert gaps(engine) == []
    assert counters(engine) == {"prediction": 20}
    assert positions(engine)[0].caught_up_for_ms > 0


def test_a_topic_made_again_is_a_new_stream_read_from_its_start(engine: Engine) -> None:
    register(engine)
    rig = Rig(engine, start_policy="latest")
    rig.loop.step()
    rig.topic.extend(prediction(i) for i in range(20))
    rig.settle()
    rig.topic.make_again()
    rig.topic.extend(prediction(i) for i in range(40))  # longer than the first ever was
    rig.loop.step()  # records of the new life are held under the old one: they must be dropped
    rig.settle(5)
    assert [(p.stream_id, p.next_offset) for p in positions(engine)] == [(1, 20), (2, 40)]
    assert gaps(engine) == [("recreated", 20, 20)]
    assert counters(engine) == {"prediction": 60}


def test_the_start_policy_is_resolved_once(engine: Engine) -> None:
    register(engine)
    rig = Rig(engine, partitions=1, start_policy="latest")
    rig.topic.extend(prediction(i) for i in range(20))
    rig.settle()
    rig.topic.extend(prediction(i) for i in range(20, 25))
    rig.start()
    rig.settle()
    assert counters(engine) == {"prediction": 5}
    # A partition that appears later is read from 0.
    rig.topic.logs[1], rig.topic.low[1], rig.topic.end[1] = [], 0, 0
    rig.topic.extend((prediction(i) for i in range(7)), partition=1)
    rig.source.give(1)
    rig.settle()
    assert counters(engine) == {"prediction": 12}


def test_another_group_on_the_same_stream_is_refused(engine: Engine) -> None:
    rig = Rig(engine)
    rig.settle()
    rig.settings = IngestSettings("", "", group_id="somebody-else")
    rig.start()
    with pytest.raises(Conflict, match="counted by group driftline"):
        rig.loop.step()


def test_a_registry_that_moves_makes_the_records_be_read_again(engine: Engine) -> None:
    rig = Rig(engine)
    rig.loop.step()
    rig.topic.extend(prediction(i) for i in range(30))
    rig.loop.step()  # admitted as unmonitored, not written yet
    reference = register(engine)
    rig.settle()
    assert counters(engine) == {"prediction": 30}
    assert stored_counts(engine, reference) == recount(engine, rig.topic.logs.values())
    with engine.connect() as conn:
        switches = conn.execute(sa.select(t.registry_switch)).all()
    assert [s.switch_offset for s in switches] == [0]


@pytest.mark.parametrize("held", [0, 4])
def test_what_is_in_hand_when_the_registry_moves_is_not_taken_on_top(
    engine: Engine, held: int
) -> None:
    reference = register(engine)
    rig = Rig(engine, partitions=2)
    rig.settle()
    rig.topic.extend((prediction(i) for i in range(5)), partition=0)
    rig.topic.extend((prediction(i) for i in range(5, 5 + held)), partition=1)
    rig.loop.step()
    register(engine, version="2")
    rig.topic.extend((prediction(i) for i in range(10, 20)), partition=1)
    rig.source.take(0)  # its checkpoint finds the new registry while records of 1 are in hand
    rig.loop.step()
    rig.source.give(0)
    rig.settle()
    assert counters(engine) == {"prediction": 15 + held}
    assert [p.next_offset for p in positions(engine)] == [5, 10 + held]
    assert stored_counts(engine, reference) == recount(engine, rig.topic.logs.values())


def test_the_offset_at_which_the_registry_switched_is_kept(engine: Engine) -> None:
    rig = Rig(engine)
    rig.topic.extend(prediction(i) for i in range(5))
    rig.settle()
    register(engine)
    rig.topic.extend(prediction(i) for i in range(5, 12))
    rig.settle()
    with engine.connect() as conn:
        switches = conn.execute(
            sa.select(t.registry_switch).order_by(t.registry_switch.c.switch_offset)
        ).all()
    assert [s.switch_offset for s in switches] == [0, 5]
    assert counters(engine) == {"unmonitored": 5, "prediction": 7}
