"""What a replay counted goes when nobody can go on with it; other lanes and facts stay."""

from __future__ import annotations

import gc
from contextlib import suppress
from typing import Any

import drifting
import pytest
import sqlalchemy as sa
from faults import Calls, Died
from replay_rig import Twice
from sqlalchemy.engine import Connection, Engine

from driftline.errors import StorageUnavailable
from driftline.stats.lengths import DAY_MS
from monitor.clock import HeldClock
from monitor.retention import Did, Keeper, Policy
from monitor.storage import lanes
from monitor.storage import schema as t
from monitor.storage.engine import insert_rows, transaction

pytestmark = pytest.mark.both_databases

LANE = (t.lane, t.lane_pane, t.lane_unseen, t.lane_counter, t.lane_position)


class Topics(Twice):
    """A topic that was made again, with a replay of either life that was killed half-way."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.register()
        for _ in range(2):
            self.send(300)
            self.count()
            self.begin()
            if self.gone is None:
                self.gone = {table: self.rows(table) for table in LANE}
                self.rig.topic.make_again()
        self.ended, self.live = (row.id for row in self.rows(t.stream))
        drifting.judge(engine, self.rig.clock.now_ms())

    gone: dict[sa.Table, list[Any]] | None = None

    def begin(self) -> None:
        """Begin a replay that dies when a part of it is counted."""
        log, polls = self.log(max_records=20), 0

        def die() -> None:
            nonlocal polls
            polls += 1
            self.rig.clock.advance(6.0)  # it writes at each poll
            if polls == 8:
                raise KeyboardInterrupt

        log.meanwhile = die
        with pytest.raises(KeyboardInterrupt):
            self.replay(log)

    def go_on(self) -> None:
        """Finish the replay of the topic as it is now; the log says what it finds."""
        self.rig.clock.advance(100.0)  # nobody hears of its owner any more
        assert self.replay().is_resumed
        found = self.verify()
        assert found.panes > 20 and not found.differences

    def restore(self) -> None:
        """Let the lane of the life that ended be as it was."""
        assert self.gone is not None
        with transaction(self.engine) as conn:
            for table, rows in self.gone.items():
                conn.execute(sa.delete(table).where(table.c.stream_id == self.ended))
                insert_rows(conn, table, [dict(row._mapping) for row in rows])

    def left(self, stream_id: int) -> dict[str, list[Any]]:
        """What is there of a stream's lane."""
        return {
            table.name: [row for row in self.rows(table) if row.stream_id == stream_id]
            for table in LANE
        }

    def keeper(self, days: float = 2.0) -> Keeper:
        now_ms = self.rig.clock.now_ms() + int(days * DAY_MS)
        return Keeper(self.engine, Policy(letters_days=0), HeldClock(now_ms))


@pytest.fixture
def topics(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Topics:
    monkeypatch.setattr(lanes, "AT_ONCE", 50)
    return Topics(engine)


def facts(topics: Topics) -> dict[str, Any]:
    """All that is stored and is no lane."""
    return {
        table.name: topics.rows(table) for table in t.metadata.sorted_tables if table not in LANE
    }


def test_what_was_counted_again_of_a_topic_that_ended_is_deleted(topics: Topics) -> None:
    before, live = facts(topics), topics.left(topics.live)
    assert len(before["finding"]) > 20
    gone = topics.left(topics.ended)
    assert all(gone[table.name] for table in LANE if table is not t.lane_unseen)
    n_rows = sum(map(len, gone.values()))
    assert n_rows > 2 * lanes.AT_ONCE
    assert topics.keeper(days=0.5).run() == Did(), "whoever counted it may not know yet"
    assert topics.keeper().run() == Did(lanes=n_rows)
    assert not any(topics.left(topics.ended).values())
    assert topics.left(topics.live) == live
    assert facts(topics) == before
    assert topics.keeper().run() == Did()
    # The other one is gone on with, and what it finds is what the log says.
    topics.go_on()
    assert topics.nothing_is_left()


def go_wrong_at_each_call(topics: Topics, how: str) -> list[int]:
    """Let each of a keeper's calls go wrong, and another one do the rest; what is left then."""
    live, found = topics.left(topics.live), []
    with Calls(topics.engine) as calls:
        for number in range(400):
            topics.restore()
            calls.arm(number, how)
            with suppress(Died, StorageUnavailable), calls.on():
                topics.keeper().run()
            gc.collect()  # a dead process has no transaction, and no connection
            if calls.is_armed:
                break
            calls.disarm()
            topics.keeper().run()
            assert topics.left(topics.live) == live
            found.append(sum(map(len, topics.left(topics.ended).values())))
    assert len(found) > 15
    return found


@pytest.mark.parametrize("how", ["dies after", "fails before"])
def test_a_keeper_may_end_at_every_call_and_the_next_one_does_the_rest(
    topics: Topics, how: str
) -> None:
    assert set(go_wrong_at_each_call(topics, how)) == {0}


def test_without_a_look_for_what_is_left_it_would_stay_for_ever(
    topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: only lanes that stand are looked for, and then all that is theirs."""
    looked, found = lanes.ended, []

    def ended(conn: Connection, until_ms: int) -> list[int]:
        found[:] = looked(conn, until_ms)
        return list(found)

    monkeypatch.setattr(lanes, "ended", ended)
    monkeypatch.setattr(lanes, "orphans", lambda _: list(found))
    left = go_wrong_at_each_call(topics, "dies after")
    assert min(left) == 0 < max(left)


def test_what_a_killed_process_gave_up_is_deleted_and_who_begins_anew_loses_nothing(
    topics: Topics,
) -> None:
    topics.keeper().run()
    with transaction(topics.engine) as conn:
        assert lanes.give_up(conn, topics.live)
    tidy = topics.keeper()
    before = len(topics.left(topics.live)["lane_pane"])
    while len(topics.left(topics.live)["lane_pane"]) == before:
        assert tidy.step()
    assert topics.left(topics.live)["lane_pane"]
    # The rest is found by whoever begins, while the keeper is at it still.
    topics.begin()
    begun = topics.left(topics.live)
    while tidy.step():
        pass
    assert topics.left(topics.live) == begun
    topics.go_on()
