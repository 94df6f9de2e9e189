"""The loop against a broker that is cut, emptied, made again or away, on a real database."""

from __future__ import annotations

import json
import random
import sqlite3
from typing import Any

import pytest
import sqlalchemy as sa
from fake_source import (
    HOUR_MS,
    KAFKA_MS,
    START_MS,
    FakeSource,
    FakeTopic,
    Unguarded,
    counters,
    positions,
    prediction,
    recount,
    register,
    stored_counts,
)
from sqlalchemy.engine import Engine

from consumers.loop import Loop
from consumers.settings import IngestSettings
from driftline.errors import Conflict
from monitor.clock import HeldClock
from monitor.storage import delta as delta_module
from monitor.storage import schema as t

pytestmark = pytest.mark.both_databases

INTERVAL_S = 30.0


class Rig:
    """One member on one topic and one database, with the time held."""

    def __init__(self, engine: Engine, partitions: int = 1, **settings: object) -> None:
        self.engine, self.clock = engine, HeldClock(now_ms=KAFKA_MS)
        self.topic = FakeTopic(partitions)
        self.settings = IngestSettings(
            "",
            "",
            checkpoint_interval_s=INTERVAL_S,
            **settings,  # type: ignore[arg-type]
        )
        self.start()

    def start(self) -> None:
        """A new process; the old one is gone with everything it held."""
        self.source = FakeSource(self.topic, self.clock)
        self.loop = Loop(self.engine, self.source, self.settings, self.clock)
        self.source.give(*self.topic.logs)

    def settle(self, rounds: int = 3) -> None:
        """Read what there is and checkpoint it."""
        for _ in range(rounds):
            self.loop.step()
            self.clock.advance(INTERVAL_S + 0.1)
        self.loop.step()


def _gaps(engine: Engine) -> list[tuple[str, int, int]]:
    g = t.data_gap.c
    with engine.connect() as conn:
        return [tuple(r) for r in conn.execute(sa.select(g.kind, g.from_offset, g.to_offset))]


def _letters(engine: Engine) -> list[sa.Row[tuple[object, ...]]]:
    order = (t.dead_letter.c.offset, t.dead_letter.c.line)
    with engine.connect() as conn:
        return list(conn.execute(sa.select(t.dead_letter).order_by(*order)))


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
    assert _gaps(engine) == [("retention", 10, 25)]
    assert counters(engine) == {"prediction": 15}


def test_retention_that_overtakes_a_running_owner_is_a_gap(engine: Engine) -> None:
    register(engine)
    rig = Rig(engine)
    rig.topic.extend(prediction(i) for i in range(10))
    rig.settle()
    rig.topic.extend(prediction(i) for i in range(10, 30))
    rig.topic.retain_from(25)
    rig.settle()
    assert _gaps(engine) == [("retention", 10, 25)]
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
    assert _gaps(engine) == [("truncation", 12, 20)]
    assert positions(engine)[0].next_offset == 15
    assert counters(engine) == {"prediction": 23}


def test_a_truncation_seen_by_the_leader_epoch_is_a_gap(engine: Engine) -> None:
    register(engine)
    rig = Rig(engine)
    rig.topic.extend(prediction(i) for i in range(20))
    rig.settle()
    rig.source.truncated = {0: 15}
    rig.settle()
    assert _gaps(engine) == [("truncation", 15, 20)]
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
    assert _gaps(engine) == []
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
    assert _gaps(engine) == [("recreated", 20, 20)]
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


def test_records_of_no_registered_version_are_a_deficit(engine: Engine) -> None:
    rig = Rig(engine)
    rig.topic.extend(prediction(i) for i in range(3))
    rig.topic.extend(prediction(i, version="2") for i in range(4))
    rig.settle()
    with engine.connect() as conn:
        rows = conn.execute(sa.select(t.deficit).order_by(t.deficit.c.version)).all()
    assert [(r.version, r.from_offset, r.to_offset, r.records) for r in rows] == [
        ("1", 0, 3, 3),
        ("2", 3, 7, 4),
    ]
    assert rows[0].first_ms == START_MS
    assert counters(engine) == {"unmonitored": 7}
    assert positions(engine)[0].next_offset == 7


def test_names_that_nobody_registered_are_capped(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta_module, "MAX_UNREGISTERED", 5)
    rig = Rig(engine)
    for part in range(2):
        rig.topic.extend(prediction(0, model=f"m{part}-{i}") for i in range(10))
        rig.settle()
    with engine.connect() as conn:
        rows = conn.execute(sa.select(t.deficit.c.model, t.deficit.c.records)).all()
    assert len(rows) == 6
    assert dict(map(tuple, rows))["__other__"] == 15
    assert counters(engine) == {"unmonitored": 20}


def test_labels_of_models_that_nobody_registered_are_capped_with_them(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta_module, "MAX_UNREGISTERED", 5)
    register(engine)
    rig = Rig(engine)
    label = {"type": "label", "id": "e1", "time": START_MS, "label": 1}
    rig.topic.append(prediction(0, model="first"))
    for part in range(2):
        for i in range(10):
            rig.topic.append(json.dumps({**label, "model": f"m{part}-{i}", "version": i}).encode())
            rig.topic.append(json.dumps({**label, "model": "m", "version": f"v{i}"}).encode())
        rig.topic.append(prediction(0, model=f"last{part}"))
        rig.settle()
    c = t.counter.c
    with engine.connect() as conn:
        rows = conn.execute(sa.select(c.model, c.version, c.outcome, c["count"])).all()
        deficits = conn.execute(sa.select(t.deficit.c.model, t.deficit.c.records)).all()
    assert {tuple(row) for row in rows} == {
        ("first", "1", "unmonitored", 1),
        *((f"m0-{i}", "", "unmonitored", 1) for i in range(4)),
        ("__other__", "__other__", "unmonitored", 18),
        ("m", "", "label", 20),
    }
    assert {tuple(row) for row in deficits} == {("first", 1), ("__other__", 2)}


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


def test_a_broker_that_goes_away_is_waited_for(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    register(engine)
    rig = Rig(engine)
    rig.topic.extend(prediction(i) for i in range(10))
    rig.settle()
    assert positions(engine)[0].caught_up_for_ms > 0
    rig.topic.is_down = True
    caplog.clear()
    rig.settle(10)
    assert sum("down" in r.message for r in caplog.records) == 1
    rig.topic.is_down = False
    rig.topic.extend(prediction(i) for i in range(10, 15))
    rig.settle()
    assert counters(engine) == {"prediction": 15}
    assert sum("broker is back" in r.message for r in caplog.records) == 1


def test_silence_is_idle_only_while_the_broker_answers(engine: Engine) -> None:
    register(engine)
    rig = Rig(engine)
    rig.topic.append(prediction(0))
    rig.settle(4)
    held = positions(engine)[0]
    assert held.caught_up_for_ms >= 2 * INTERVAL_S * 1000
    assert held.fetched_ms is not None
    rig.topic.is_down = True
    rig.settle(2)
    assert positions(engine)[0].fetched_ms == held.fetched_ms
    rig.topic.is_down = False
    rig.settle(1)
    assert positions(engine)[0].caught_up_for_ms < held.caught_up_for_ms


def test_new_records_end_idleness(engine: Engine) -> None:
    register(engine)
    rig = Rig(engine)
    rig.topic.append(prediction(0))
    rig.settle(4)
    before = positions(engine)[0].caught_up_for_ms
    rig.topic.append(prediction(1))
    rig.settle(1)
    assert 0 <= positions(engine)[0].caught_up_for_ms < before


class Faults:
    """Makes the database fail inside the process, before or after a COMMIT."""

    def __init__(self, engine: Engine) -> None:
        self.before: list[str] = []
        self.after: list[str] = []
        self.is_down = False
        sa.event.listen(engine, "before_cursor_execute", self._before)
        sa.event.listen(engine, "after_cursor_execute", self._after)
        if engine.dialect.name == "postgresql":  # there COMMIT is a call of the driver's
            self._commit_of_driver = engine.dialect.do_commit
            engine.dialect.do_commit = self._commit  # type: ignore[method-assign]

    def _commit(self, dbapi: Any) -> None:
        self._before(None, None, "COMMIT")
        self._commit_of_driver(dbapi)
        self._after(None, None, "COMMIT")

    def _fail(self, statement: str) -> None:
        raise sa.exc.OperationalError(statement, {}, sqlite3.OperationalError("cut"))

    def _before(self, conn: object, cursor: object, statement: str, *rest: object) -> None:
        if self.is_down and statement != "ROLLBACK":
            self._fail(statement)
        if statement in self.before:
            self.before.remove(statement)
            self._fail(statement)

    def _after(self, conn: object, cursor: object, statement: str, *rest: object) -> None:
        if statement in self.after:
            self.after.remove(statement)
            self._fail(statement)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_commit_of_unknown_outcome_counts_once(engine: Engine, when: str) -> None:
    reference = register(engine)
    rig = Rig(engine)
    rig.topic.extend(prediction(i) for i in range(10))
    rig.loop.step()
    rig.loop.step()
    faults = Faults(engine)
    getattr(faults, when).append("COMMIT")
    rig.settle(5)
    assert not getattr(faults, when)
    assert counters(engine) == {"prediction": 10}
    assert stored_counts(engine, reference) == recount(engine, rig.topic.logs.values())


def test_a_database_that_goes_away_pauses_reading_and_polling_goes_on(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    register(engine)
    rig = Rig(engine)
    rig.topic.extend(prediction(i) for i in range(10))
    rig.settle()
    faults = Faults(engine)
    faults.is_down = True
    rig.topic.extend(prediction(i) for i in range(10, 500))
    rig.settle(2)
    polls = rig.source.polls
    rig.settle(20)
    assert rig.source.polls > polls + 20
    assert rig.source.paused == {0}
    assert sum("cannot be used now" in r.message for r in caplog.records) == 1
    faults.is_down = False
    rig.settle()
    assert counters(engine) == {"prediction": 500}
    assert sum("database is back" in r.message for r in caplog.records) == 1


def test_too_much_held_is_written_early(engine: Engine) -> None:
    register(engine)
    rig = Rig(engine, max_rows=100)
    rig.topic.extend(prediction(i) for i in range(150))
    rig.loop.step()
    rig.loop.step()
    assert positions(engine)[0].next_offset == 150


def test_what_cannot_be_written_is_not_read_without_end(engine: Engine) -> None:
    register(engine)
    rig = Rig(engine, max_rows=100)
    rig.loop.step()
    rig.topic.extend(prediction(i) for i in range(150))

    def _away() -> None:
        from driftline.errors import BrokerUnavailable

        raise BrokerUnavailable("asked in vain")

    ask = rig.source._ask
    rig.source._ask = _away  # type: ignore[method-assign]
    rig.loop.step()
    assert rig.source.paused == {0}
    rig.topic.extend(prediction(i) for i in range(150, 300))
    rig.settle()
    assert rig.source.position(0) == 150
    rig.source._ask = ask  # type: ignore[method-assign]
    rig.settle()
    assert counters(engine) == {"prediction": 300}


def test_bad_records_are_dead_letters_and_the_position_moves_on(engine: Engine) -> None:
    register(engine)
    rig = Rig(engine, max_record_bytes=300_000)
    future = KAFKA_MS + 300_001
    rig.topic.extend(
        [
            b"{",
            b"[" * 100_000,
            b"x" * 300_001,
            prediction(0, model=None),
            prediction(0, time=None),
            prediction(0, time="2013-02-04T10:00:00"),
            prediction(0, time=future),
            prediction(0, time="1999-12-31T23:59:59Z"),
            b"[1]",
            prediction(1) + b"\n{broken\n" + prediction(2),
        ]
    )
    rig.topic.append(None)
    rig.settle()
    assert [(r.offset, r.line, r.reason) for r in _letters(engine)] == [
        (0, 0, "bad_json"),
        (1, 0, "too_deep"),
        (2, 0, "oversized"),
        (3, 0, "model_missing"),
        (4, 0, "time_missing"),
        (5, 0, "time_no_offset"),
        (6, 0, "time_in_future"),
        (7, 0, "time_out_of_range"),
        (8, 0, "not_an_object"),
        (9, 2, "bad_json"),
        (10, 0, "empty"),
    ]
    assert counters(engine)["prediction"] == 2
    assert positions(engine)[0].next_offset == 11
    oversized = _letters(engine)[2]
    assert oversized.size_bytes == 300_001
    assert len(oversized.payload) == 2_048


def test_dead_letters_are_capped_in_number_and_counted_in_full(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta_module, "MAX_LETTERS", 10)
    rig = Rig(engine)
    for _ in range(3):
        rig.topic.extend(b"no" for _ in range(8))
        rig.settle()
    assert [r.offset for r in _letters(engine)] == list(range(10))
    assert counters(engine) == {"dead:bad_json": 24}


def test_payloads_can_be_kept_out(engine: Engine) -> None:
    rig = Rig(engine, keep_payload=False)
    rig.topic.append(b"secret")
    rig.settle()
    (letter,) = _letters(engine)
    assert letter.payload is None
    assert letter.payload_sha256.startswith("2bb80d53")


def test_wrong_types_are_type_errors_of_their_feature(engine: Engine) -> None:
    reference = register(engine)
    rig = Rig(engine)
    rig.topic.append(prediction(0, features={"x": "7", "kind": ["a"], "site": None}))
    rig.topic.append(prediction(0, features={"x": True, "kind": 3, "extra": 1}))
    rig.settle()
    grid = reference.gridset
    (counts,) = [
        c for (_, segment), c in stored_counts(engine, reference).items() if segment == "all"
    ]
    x, kind, site = (grid.names().index(n) for n in ("x", "kind", "site"))
    absent, null, type_error = 0, 1, 5
    assert counts[grid.counters[x, type_error]] == 2
    assert counts[grid.counters[kind, type_error]] == 1
    assert counts[grid.unseen[kind]] == 1
    assert counts[grid.counters[site, null]] == 1
    assert counts[grid.counters[site, absent]] == 1
    assert counters(engine) == {"prediction": 2, "unknown_feature": 1}


def test_a_step_of_over_a_day_waits_for_a_hundred_records(engine: Engine) -> None:
    register(engine)
    rig = Rig(engine)
    rig.topic.append(prediction(0))
    ahead = START_MS + 48 * HOUR_MS
    rig.topic.extend(prediction(0, time=ahead + i) for i in range(99))
    rig.settle()
    (row,) = positions(engine)
    assert row.max_event_time_ms == START_MS
    assert json.loads(row.pending_advance) == {"waiting": 99, "floor_ms": ahead}
    rig.start()  # what waits survives the process
    rig.topic.append(prediction(0, time=ahead + 99))
    rig.settle()
    assert positions(engine)[0].max_event_time_ms == ahead
    assert positions(engine)[0].pending_advance is None


def test_a_late_event_enters_its_pane(engine: Engine) -> None:
    reference = register(engine)
    rig = Rig(engine)
    rig.topic.extend([prediction(12), prediction(0)])
    rig.settle()
    assert counters(engine) == {"prediction": 2, "late": 1}
    first = START_MS - START_MS % HOUR_MS
    assert stored_counts(engine, reference)[first, "all"][0] == 1


def test_segments_are_counted_with_everything_else_as_other(engine: Engine) -> None:
    reference = register(engine)
    rig = Rig(engine)
    for site in ("north", "south", "moon", None):
        rig.topic.append(prediction(0, features={"x": 1.0, "kind": "a", "site": site}))
    rig.topic.append(prediction(0, features={"x": 1.0, "kind": "a"}, tags={"site": "north"}))
    rig.settle()
    rows = {segment: c[0] for (_, segment), c in stored_counts(engine, reference).items()}
    assert rows == {"all": 5, "site=north": 2, "site=south": 1, "site=__other__": 2}


def test_labels_are_counted_and_not_profiled(engine: Engine) -> None:
    reference = register(engine)
    rig = Rig(engine)
    label = {"type": "label", "model": "m", "id": "e1", "time": START_MS, "label": 1}
    rig.topic.append(json.dumps(label).encode())
    rig.topic.append(json.dumps({**label, "model": "nobody"}).encode())
    rig.settle()
    assert counters(engine) == {"label": 1, "unmonitored": 1}
    assert stored_counts(engine, reference) == {}


def test_unseen_values_are_shown_and_capped(engine: Engine) -> None:
    register(engine)
    rig = Rig(engine)
    for i in range(60):
        features = {"x": 1.0, "kind": f"new-{min(i, 30)}", "site": "north"}
        rig.topic.append(prediction(i, features=features))
    rig.settle()
    with engine.connect() as conn:
        rows = conn.execute(
            sa.select(t.unseen_value).order_by(t.unseen_value.c["count"].desc())
        ).all()
    assert len(rows) == 20
    assert (rows[0].value, rows[0].feature) == ("new-30", "kind")
    assert rows[0].first_seen_ms == START_MS + 30 * 600_000


class Schedule:
    """Two members, and at every turn one of the things that can happen to them."""

    def __init__(self, engine: Engine, seed: int, loop: type[Loop] = Loop) -> None:
        self.loop = loop
        self.engine, self.rng = engine, random.Random(seed)
        self.clock, self.topic = HeldClock(now_ms=KAFKA_MS), FakeTopic(2)
        self.faults = Faults(engine)
        self.members = [self.member(), self.member()]
        self.produced = 0

    def member(self) -> tuple[FakeSource, Loop]:
        """A new process."""
        source = FakeSource(self.topic, self.clock, max_records=7)
        settings = IngestSettings("", "", checkpoint_interval_s=5.0)
        return source, self.loop(self.engine, source, settings, self.clock, self.rng.uniform)

    def turn(self) -> None:
        """Let one thing happen."""
        which = self.rng.randrange(2)
        source, loop = self.members[which]
        act = self.rng.random()
        if act < 0.2:
            for _ in range(self.rng.randrange(12)):
                self.topic.append(prediction(self.produced), self.produced % 2)
                self.produced += 1
        elif act < 0.65:
            loop.step()
        elif act < 0.8:
            self.clock.advance(self.rng.random() * 6)
        elif act < 0.88:
            source.give(self.rng.randrange(2))  # perhaps behind the other's back
        elif act < 0.92 and source.assigned:
            kind = self.rng.choice(["revoked", "lost"])
            source.take(self.rng.choice(list(source.assigned)), kind=kind)  # type: ignore[arg-type]
        elif act < 0.95:
            self.members[which] = self.member()  # killed
        elif act < 0.98:
            self.rng.choice([self.faults.before, self.faults.after]).append("COMMIT")
        elif not self.faults.before and not self.faults.after:
            register(self.engine, version=f"v{self.produced}")  # moves the registry

    def finish(self) -> None:
        """One undisturbed owner reads to the end."""
        self.faults.before.clear()
        self.faults.after.clear()
        source, loop = self.member()
        source.give(0, 1)
        for _ in range(200):
            self.clock.advance(6)
            loop.step()
            if sum(p.next_offset for p in positions(self.engine)) >= self.produced:
                return
        raise AssertionError("the owner did not come to the end")


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_every_record_is_counted_once(engine: Engine, seed: int) -> None:
    reference = register(engine)
    schedule = Schedule(engine, seed)
    for _ in range(150):
        schedule.turn()
    schedule.finish()
    assert counters(engine)["prediction"] == schedule.produced
    assert stored_counts(engine, reference) == recount(engine, schedule.topic.logs.values())


def test_the_same_schedules_miscount_without_the_guard(engine: Engine) -> None:
    register(engine)
    schedule = Schedule(engine, 0, Unguarded)
    for _ in range(150):
        schedule.turn()
    schedule.finish()
    assert counters(engine)["prediction"] > schedule.produced
