"""The log counted again beside live consumers, and put in the place of what stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from fake_source import START_MS, prediction, small_reference
from replay_rig import STEP_MS, Facts, Twice
from sqlalchemy.engine import Engine

from consumers.replay import abandon
from driftline.errors import ConfigError, Conflict, OffsetOutOfRange, StreamError
from driftline.stats.lengths import DAY_MS
from monitor.storage import lanes, models, registry
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction
from monitor.storage.reads.marks import mark

pytestmark = pytest.mark.both_databases


@pytest.fixture
def twice(engine: Engine) -> Twice:
    return Twice(engine)


def test_a_new_reference_counts_what_was_read_before_it(twice: Twice) -> None:
    twice.send(60)
    twice.rig.topic.append(prediction(3, type="label", label="yes"), 0)
    twice.count()
    late = ("", "late")
    assert twice.counters() == {("1", "unmonitored"): 60, ("", "unmonitored"): 1, late: 1}
    twice.register()
    twice.send(20)
    twice.count()
    assert len(twice.rows(t.deficit)) == 2

    done = twice.replay(model="m", version="1")
    assert (done.recovered, done.is_resumed) == (60, False)
    assert twice.stored() == twice.said_by_the_log()
    counted = {("1", "prediction"): 80, ("1", "label"): 1, ("1", "late"): 1}
    assert twice.counters() == counted
    assert twice.rows(t.deficit) == []
    assert twice.nothing_is_left()


def test_live_ingest_goes_on_after_it_and_counts_once(twice: Twice) -> None:
    twice.register()
    twice.send(40)
    twice.count()
    twice.replay()
    twice.send(40)
    twice.count()
    assert twice.stored() == twice.said_by_the_log()
    assert twice.counters()["1", "prediction"] == 80


def test_what_is_equal_stays_as_it_is(twice: Twice) -> None:
    twice.register()
    twice.send(60)
    twice.count()
    before = twice.rows(t.pane)
    done = twice.replay()
    assert (done.panes, done.changed_ms) == (0, None)
    assert twice.rows(t.pane) == before
    assert twice.rows(t.evaluator_cursor) == []


def test_a_pane_that_was_wrong_is_right_again_and_newer(twice: Twice) -> None:
    twice.register()
    twice.send(60)
    twice.count()
    right = twice.rows(t.pane)
    with transaction(twice.engine) as conn:
        wrong, gone, *_ = right
        for row, values in ((wrong, {"body": right[4].body}), (gone, None)):
            here = [column == row._mapping[column.name] for column in t.pane.primary_key]
            if values is None:
                conn.execute(sa.delete(t.pane).where(*here))
            else:
                conn.execute(sa.update(t.pane).where(*here).values(**values))
        strange = dict(right[0]._mapping) | {"start_ms": START_MS // DAY_MS * DAY_MS}
        conn.execute(sa.insert(t.pane).values(**strange))
    done = twice.replay()
    assert done.panes == 3
    assert twice.stored() == twice.said_by_the_log()
    key = lambda row: (row.start_ms, row.segment, row.partition)  # noqa: E731
    revs = {key(row): row.rev for row in twice.rows(t.pane)}
    assert revs[key(wrong)] == wrong.rev + 1
    # What the log does not know stays without rows: a window that held it is judged again.
    empty = [row for row in twice.rows(t.pane) if not row.rows]
    assert [row.rev for row in empty] == [right[0].rev + 1]


def test_others_see_how_far_a_replay_is_and_whose_until_it_is_done(twice: Twice) -> None:
    twice.send(20)
    twice.count()
    twice.register()
    seen: list[tuple[lanes.UnderWay, tuple[int, ...]]] = []
    log = twice.log(max_records=4)

    def look() -> None:
        twice.rig.clock.advance(6.0)  # it writes every five seconds
        with reading(twice.engine) as conn:
            (one,) = lanes.under_way(conn)
            assert lanes.under_way(conn, topic="another") == []
            seen.append((one, mark(conn, has_streams=True)))

    log.meanwhile = look
    began_ms = twice.rig.clock.now_ms()
    twice.replay(log, model="m")
    first, last = seen[0][0], seen[-1][0]
    assert (first.model, first.version, first.start_ms) == ("m", None, None)
    assert (first.begun_ms, first.read, first.total) == (began_ms, 0, 20)
    assert 0 < last.read < last.total == 20
    assert first.owner == last.owner != first.process
    assert last.seen_ms > first.seen_ms
    assert not last.is_stale(twice.rig.clock.now_ms())
    assert last.is_stale(last.seen_ms + lanes.STALE_MS)
    # Whoever asks again is not told that nothing has changed.
    assert seen[0][1] != seen[-1][1]
    with reading(twice.engine) as conn:
        assert lanes.under_way(conn) == []


def test_live_that_moves_on_meanwhile_is_followed(twice: Twice) -> None:
    twice.register()
    twice.send(100)
    twice.count()
    log, steps = twice.log(max_records=10), 0

    def live() -> None:
        nonlocal steps
        steps += 1
        if steps <= 12:
            twice.send(3)
            twice.count()

    log.meanwhile = live
    twice.replay(log)
    assert steps >= 12
    assert twice.stored() == twice.said_by_the_log()
    assert twice.counters()["1", "prediction"] == twice.sent


def test_live_that_is_always_faster_is_fenced_and_loses_nothing(twice: Twice) -> None:
    twice.register()
    twice.send(40)
    twice.count()
    log = twice.log()

    def live() -> None:
        twice.send(2)
        twice.rig.settle(rounds=1)

    log.meanwhile = live
    twice.replay(log)
    fenced = [row.claim_epoch for row in twice.rows(t.stream_position)]
    log.meanwhile = lambda: None
    twice.count()
    assert max(fenced) > 1
    assert twice.stored() == twice.said_by_the_log()
    assert twice.counters()["1", "prediction"] == twice.sent


def test_from_a_time_it_reads_and_replaces_the_panes_of_that_day_and_later(twice: Twice) -> None:
    twice.register()
    twice.send(600)  # four days
    twice.count()
    with transaction(twice.engine) as conn:
        conn.execute(sa.update(t.pane).values(rows=t.pane.c.rows + 1))
    from_ms = START_MS + 2 * DAY_MS
    log = twice.log()
    done = twice.replay(log, from_ms=from_ms)
    day_ms = from_ms // DAY_MS * DAY_MS
    assert done.versions == (("m", "1", day_ms),)
    # Records that were sent less than five minutes before may hold events of that day.
    assert done.records == 600 - -(-(day_ms - 300_000 - START_MS) // STEP_MS)
    stored = twice.stored()
    right = {row.start_ms >= day_ms for row in twice.rows(t.pane) if _is_right(stored, row)}
    assert right == {True}
    assert done.changed_ms == day_ms


def _is_right(stored: Facts, row: Any) -> bool:
    """Whether a pane's own number of rows is that of its counts."""
    return bool(stored[row.version_id, row.start_ms, row.segment, row.partition][0] == row.rows)


def test_what_one_replay_recovered_the_next_one_does_not(twice: Twice) -> None:
    """Each from an earlier day: events that stood as unmonitored become predictions once."""
    twice.send(600)
    twice.count()
    twice.register()
    twice.send(20)
    twice.count()
    day_ms = START_MS // DAY_MS * DAY_MS
    told = []
    for day in (3, 2, 2, 1):
        told.append(twice.replay(from_ms=day_ms + day * DAY_MS).recovered)
        counted = sum(row.rows for row in twice.rows(t.pane) if row.segment == "all")
        assert twice.counters() == {
            ("1", "prediction"): counted, ("1", "unmonitored"): 620 - counted
        }  # fmt: skip
        assert sum(row.records for row in twice.rows(t.deficit)) == 620 - counted
    assert told[1:] == [144, 0, 144]
    assert twice.replay().recovered == 600 - sum(told)
    assert twice.counters() == {("1", "prediction"): 620}


def test_a_log_that_lost_its_beginning_replaces_only_what_it_holds_whole(twice: Twice) -> None:
    twice.send(600)
    twice.count()
    twice.register()
    for partition in (0, 1):
        twice.rig.topic.retain_from(100, partition)
    done = twice.replay()
    # Offset 100 was sent after 200 events: the first whole day begins after that.
    whole_ms = -(-(START_MS + 200 * STEP_MS) // DAY_MS) * DAY_MS
    assert done.versions == (("m", "1", whole_ms),)
    assert done.whole_since_ms is not None
    must = {key: n for key, n in twice.said_by_the_log().items() if key[1] >= whole_ms}
    assert twice.stored() == must
    counted = sum(n[0] for key, n in must.items() if key[2] == "all")
    assert done.recovered == counted
    assert twice.counters() == {("1", "prediction"): counted, ("1", "unmonitored"): 600 - counted}
    assert sum(row.records for row in twice.rows(t.deficit)) == 600 - counted


def test_a_fuller_pane_is_never_replaced_by_what_is_left_of_it(twice: Twice) -> None:
    """Clocks of producers differ: a lost record may be sent later than those that are left."""
    twice.register()
    topic = twice.rig.topic
    topic.append(prediction(500), 0, kafka_ms=START_MS + 500 * STEP_MS)
    for i in range(600):
        topic.append(prediction(i), 0, kafka_ms=START_MS + i * STEP_MS)
    twice.count()
    topic.retain_from(1, 0)
    before = twice.rows(t.pane)
    with pytest.raises(Conflict, match="the log only"):
        twice.replay()
    assert twice.rows(t.pane) == before
    assert twice.nothing_is_left()


def test_from_an_offset_it_begins_with_the_day_after_all_before_it(twice: Twice) -> None:
    twice.register()
    twice.send(600)
    twice.count()
    done = twice.replay(from_offset={-1: 100})
    whole_ms = -(-(START_MS + 201 * STEP_MS) // DAY_MS) * DAY_MS
    assert done.versions == (("m", "1", whole_ms),)
    with pytest.raises(OffsetOutOfRange):
        twice.replay(from_offset={0: 100_000})
    with pytest.raises(ConfigError, match="from-offset"):
        twice.replay(from_offset={7: 1})


def test_another_model_is_left_alone(twice: Twice) -> None:
    twice.register("1")
    twice.register("2", seed=2)
    twice.send(40)
    twice.send(40, version="2")
    twice.count()
    with transaction(twice.engine) as conn:
        conn.execute(sa.update(t.pane).values(rows=t.pane.c.rows + 1))
    twice.replay(model="m", version="2")
    stored = twice.stored()
    wrong = {row.version_id for row in twice.rows(t.pane) if not _is_right(stored, row)}
    assert wrong == {1}


def test_a_registry_that_changes_elsewhere_meanwhile_is_followed(twice: Twice) -> None:
    twice.register("1")
    twice.send(60)
    twice.count()
    log, is_done = twice.log(max_records=10), False

    def register_another() -> None:
        nonlocal is_done
        if not is_done:
            is_done = True
            twice.register("2", seed=2)

    log.meanwhile = register_another
    twice.replay(log)
    twice.count()
    assert twice.stored() == twice.said_by_the_log()


def test_one_replay_at_a_time(twice: Twice) -> None:
    twice.register()
    twice.send(60)
    twice.count()
    log = twice.log()

    def another() -> None:
        log.meanwhile = lambda: None
        with pytest.raises(Conflict, match="under way"):
            twice.replay()

    log.meanwhile = another
    twice.replay(log)


def test_what_was_begun_is_gone_on_with_by_the_same_command_or_given_up(twice: Twice) -> None:
    twice.register()
    twice.send(300)
    twice.count()
    log = twice.log(max_records=20)
    polls = 0

    def die() -> None:
        nonlocal polls
        polls += 1
        twice.rig.clock.advance(6.0)  # it writes at each poll
        if polls == 4:
            raise KeyboardInterrupt

    log.meanwhile = die
    with pytest.raises(KeyboardInterrupt):
        twice.replay(log)
    read = sum(row.next_offset for row in twice.rows(t.lane_position))
    assert read > 0
    twice.rig.clock.advance(100.0)  # nobody hears of it any more
    with pytest.raises(Conflict, match="was begun"):
        twice.replay(model="m")
    done = twice.replay()
    assert done.is_resumed
    assert done.records == 300 - read
    assert twice.stored() == twice.said_by_the_log()

    log.meanwhile, polls = die, 0
    with pytest.raises(KeyboardInterrupt):
        twice.replay(log)
    assert abandon(twice.engine, twice.log(), twice.rig.settings)
    assert twice.nothing_is_left()
    assert not abandon(twice.engine, twice.log(), twice.rig.settings)


def test_what_cannot_be_replayed_is_said(twice: Twice) -> None:
    with pytest.raises(Conflict, match="nothing of topic"):
        twice.replay()
    twice.send(4)
    twice.count()
    with pytest.raises(ConfigError, match="a model with a reference"):
        twice.replay()
    twice.register()
    for asked in ({"model": "n"}, {"model": "m", "version": "7"}, {"version": "1"}):
        with pytest.raises(ConfigError):
            twice.replay(**asked)
    with pytest.raises(Conflict, match="nothing to count again"):
        twice.replay(from_ms=START_MS + 400 * DAY_MS)


def once(do: Callable[[], object]) -> Callable[[], None]:
    """What happens at the first poll only."""
    left = [do]

    def happen() -> None:
        if left:
            left.pop()()

    return happen


def test_a_reference_that_is_bound_meanwhile_lets_it_begin_again(twice: Twice) -> None:
    twice.register()
    twice.send(100)
    twice.count()
    log, polls = twice.log(max_records=10), 0

    def bind() -> None:
        nonlocal polls
        polls += 1
        twice.rig.clock.advance(6.0)  # it writes at each poll
        if polls != 3:
            return
        with transaction(twice.engine) as conn:
            registry.register_reference(
                conn, small_reference(seed=2), model="m", version="1", now_ms=1,
                effective_from_ms=START_MS + 90 * DAY_MS,
            )  # fmt: skip

    log.meanwhile = bind
    done = twice.replay(log)
    assert done.records > 100, "what was read by the old one is read again"
    assert twice.stored() == twice.said_by_the_log()
    assert twice.nothing_is_left()


def test_a_model_that_is_archived_meanwhile_ends_it_and_leaves_nothing(twice: Twice) -> None:
    twice.register()
    twice.send(100)
    twice.count()
    before = twice.rows(t.pane)
    log = twice.log(max_records=10)

    def archive() -> None:
        with transaction(twice.engine) as conn:
            models.archive(conn, "m", actor="me", now_ms=1)

    log.meanwhile = once(archive)
    with pytest.raises(ConfigError):
        twice.replay(log)
    assert twice.rows(t.pane) == before
    assert twice.nothing_is_left()


def test_a_partition_that_is_added_meanwhile_is_counted_too(twice: Twice) -> None:
    twice.register()
    twice.send(100)
    twice.count()
    topic = twice.rig.topic

    def grow() -> None:
        topic.low[2] = topic.end[2] = 0
        topic.logs[2] = []
        for i in range(5):
            topic.append(prediction(i), 2, kafka_ms=START_MS + i * STEP_MS)
        twice.rig.source.give(2)
        twice.count()

    log = twice.log(max_records=10)
    log.meanwhile = once(grow)
    twice.replay(log)
    assert twice.stored() == twice.said_by_the_log()
    assert twice.counters()["1", "prediction"] == 105


def test_retention_that_is_faster_ends_it_and_changes_nothing(twice: Twice) -> None:
    twice.register()
    twice.send(200)
    twice.count()
    before = twice.rows(t.pane)
    log = twice.log(max_records=10)

    def retain() -> None:
        twice.rig.clock.advance(6.0)
        for partition in (0, 1):
            twice.rig.topic.retain_from(80, partition)

    log.meanwhile = once(retain)
    with pytest.raises(OffsetOutOfRange):
        twice.replay(log)
    assert twice.rows(t.pane) == before


def test_a_broker_that_goes_away_is_waited_for_and_then_said(twice: Twice) -> None:
    twice.register()
    twice.send(100)
    twice.count()
    log, polls = twice.log(max_records=10), 0

    def come_and_go() -> None:
        nonlocal polls
        polls += 1
        twice.rig.topic.is_down = 2 < polls < 40

    log.meanwhile = come_and_go
    twice.replay(log)
    assert twice.stored() == twice.said_by_the_log()

    def go() -> None:
        twice.rig.topic.is_down = True

    log.meanwhile = go
    with pytest.raises(StreamError, match=r"is down|nothing more came"):
        twice.replay(log)
    twice.rig.topic.is_down = False
