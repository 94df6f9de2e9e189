"""A replay that would put less, or something else, in the place of what stands changes nothing."""

from __future__ import annotations

import pytest
from fake_source import START_MS, prediction
from replay_rig import STEP_MS, Twice
from sqlalchemy.engine import Engine
from test_replay_verify import add_up

from consumers.replay import Asked, verify
from driftline.errors import Conflict, OffsetOutOfRange
from driftline.stats.lengths import DAY_MS
from monitor.storage import schema as t

pytestmark = pytest.mark.both_databases


@pytest.fixture
def twice(engine: Engine) -> Twice:
    return Twice(engine, partitions=1)


def test_a_fuller_day_is_never_replaced_by_what_a_cut_log_holds(twice: Twice) -> None:
    """Its hours were added up before the log was cut: no pane of an hour says what it held."""
    twice.register()
    twice.send(300)
    twice.count()
    for day in range(4):
        add_up(twice, START_MS // DAY_MS * DAY_MS + day * DAY_MS)
    assert twice.rows(t.pane) == []
    topic = twice.rig.topic
    topic.truncate(200)
    twice.rig.source.truncated = {0: 200}
    twice.count()
    for i in range(800, 1000):
        topic.append(prediction(i), 0, kafka_ms=START_MS + i * STEP_MS)
    twice.count()
    days, hours = twice.rows(t.pane_day), twice.rows(t.pane)
    with pytest.raises(Conflict, match="the log only"):
        twice.replay()
    assert (twice.rows(t.pane_day), twice.rows(t.pane)) == (days, hours)
    assert twice.nothing_is_left()
    # What the log does hold can be counted again.
    twice.replay(from_ms=START_MS + 800 * STEP_MS)
    assert twice.rows(t.pane_day) == days


def test_a_day_of_which_a_cut_log_holds_everything_is_replaced(twice: Twice) -> None:
    """Hours that came after it was made stand beside it, and are no more than the log says."""
    twice.register()
    twice.send(300)
    twice.count()
    add_up(twice, (START_MS // DAY_MS + 1) * DAY_MS)
    topic = twice.rig.topic
    topic.append(prediction(100), 0, kafka_ms=START_MS + 300 * STEP_MS)
    lost = prediction(1000, version="9")  # counted nowhere
    topic.append(lost, 0, kafka_ms=START_MS + 1000 * STEP_MS)
    twice.count()
    topic.truncate(301)
    twice.rig.source.truncated = {0: 301}
    twice.count()
    assert any(row.rows for row in twice.rows(t.pane_day))
    assert [row.kind for row in twice.rows(t.data_gap)] == ["truncation"]
    twice.replay()
    assert twice.stored() == twice.said_by_the_log()
    assert not any(row.rows for row in twice.rows(t.pane_day))


@pytest.mark.parametrize("is_compared", [False, True])
def test_a_topic_that_is_made_again_meanwhile_is_another_log(
    twice: Twice, is_compared: bool
) -> None:
    """The new one is as long already: no offset is out of its range."""
    twice.register()
    twice.send(200)
    twice.count()
    before = twice.rows(t.pane)
    log, topic = twice.log(max_records=10), twice.rig.topic

    def make_again() -> None:
        if log.polls == 5:
            topic.make_again()
            for i in range(1000, 1400):
                topic.append(prediction(i), 0, kafka_ms=START_MS + i * STEP_MS)

    log.meanwhile = make_again
    with pytest.raises(Conflict, match="made again"):
        if is_compared:
            verify(twice.engine, log, twice.rig.settings, Asked(), clock=twice.rig.clock)
        else:
            twice.replay(log)
    assert log.topic.life == 2
    assert twice.rows(t.pane) == before
    assert twice.nothing_is_left()


def test_what_was_counted_of_a_lost_end_is_counted_no_more(twice: Twice) -> None:
    """A replay that was ahead of the cut begins again; live stands behind it since."""
    twice.register()
    twice.send(200)
    twice.count()
    log, topic = twice.log(max_records=10), twice.rig.topic

    def cut() -> None:
        twice.rig.clock.advance(6.0)  # it writes every five seconds
        if log.polls == 15:
            topic.truncate(100)
            twice.rig.source.truncated = {0: 100}
            twice.count()

    log.meanwhile = cut
    with pytest.raises(OffsetOutOfRange):
        twice.replay(log)
    assert twice.rows(t.lane_position)[0].next_offset == 150
    before = twice.rows(t.pane)
    with pytest.raises(Conflict, match="the log only"):
        twice.replay()
    assert twice.rows(t.pane) == before
    assert twice.nothing_is_left()
