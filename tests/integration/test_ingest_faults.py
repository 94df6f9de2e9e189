"""The loop while the broker or the database is away, or fails at a COMMIT: counted once."""

from __future__ import annotations

import pytest
from fake_source import counters, positions, prediction, recount, register, stored_counts
from faults import Calls
from ingest_rig import INTERVAL_S, Rig
from sqlalchemy.engine import Engine

from consumers.loop import Loop

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


class Trusting(Loop):
    """It takes the time in which the broker did not answer for silence."""

    def _broker_lost(self, error: Exception) -> None:
        self._outages.down("broker", str(error))


def test_were_no_answer_taken_for_silence_nobody_would_be_waited_for(engine: Engine) -> None:
    """The control: its partition counts as idle for the time in which nobody looked at it."""
    register(engine)
    rig = Rig(engine)
    rig.loop = Trusting(engine, rig.source, rig.settings, rig.clock)
    rig.topic.append(prediction(0))
    rig.settle(4)
    held = positions(engine)[0]
    rig.topic.is_down = True
    rig.settle(2)
    rig.topic.is_down = False
    rig.settle(1)
    assert positions(engine)[0].caught_up_for_ms > held.caught_up_for_ms


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
    with Calls(engine) as calls, calls.on():
        calls.arm_next("sql COMMIT", f"fails {when}")
        rig.settle(5)
    assert dict(calls.happened) == {(f"fails {when}", "sql COMMIT"): 1}
    assert counters(engine) == {"prediction": 10}
    assert stored_counts(engine, reference) == recount(engine, rig.topic.logs.values())


def test_a_database_that_goes_away_pauses_reading_and_polling_goes_on(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    register(engine)
    rig = Rig(engine)
    rig.topic.extend(prediction(i) for i in range(10))
    rig.settle()
    rig.topic.extend(prediction(i) for i in range(10, 500))
    with Calls(engine) as calls, calls.on():
        calls.is_down = True
        rig.settle(2)
        polls = rig.source.polls
        rig.settle(20)
    assert rig.source.polls > polls + 20
    assert rig.source.paused == {0}
    assert sum("cannot be used now" in r.message for r in caplog.records) == 1
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
