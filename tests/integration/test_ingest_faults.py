"""The loop while the broker or the database is away, or fails at a COMMIT: counted once."""

from __future__ import annotations

import random

import pytest
from fake_source import (
    KAFKA_MS,
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
from ingest_rig import INTERVAL_S, Faults, Rig
from sqlalchemy.engine import Engine

from consumers.loop import Loop
from consumers.settings import IngestSettings
from monitor.clock import HeldClock

pytestmark = pytest.mark.both_databases


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
