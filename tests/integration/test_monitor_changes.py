"""A monitor that is set otherwise, and a wobble that is learnt anew: from then on, and for good."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa
from judged_world import START_MS, World, world_of
from sqlalchemy.engine import Engine

from driftline.errors import Conflict
from driftline.stats.lengths import DAY_MS
from driftline.stats.reference import Reference
from driftline.stats.rule import FixedLimit
from monitor.detect.spec import Monitor, MonitorSpec, Revision
from monitor.evaluate.recalibrate import Learning, recalibrate
from monitor.storage import engine as storage
from monitor.storage import models
from monitor.storage import registry as registry_store
from monitor.storage import schema as t

pytestmark = pytest.mark.both_databases
WEEKS = t.finding.c.length == "week"


def learn(world: World, **asked: Any) -> dict[tuple[str, str], Learning]:
    registry = registry_store.load(world.engine)
    bound = registry.versions["m", "1"]
    with storage.transaction(world.engine) as conn:
        found = recalibrate(conn, bound, registry.references, actor="me", now_ms=1, **asked)
    return {(learnt.segment, learnt.length): learnt for learnt in found}


def set_monitor(world: World, **changes: Any) -> None:
    with storage.transaction(world.engine) as conn:
        models.set_monitor(conn, "m", changes, actor="me", now_ms=1)


def forget(world: World) -> None:
    """Forget all that was judged, and nothing that was counted, learnt or decided."""
    with storage.transaction(world.engine) as conn:
        for table in (
            t.finding, t.finding_day, t.model_window, t.window, t.latch,
            t.incident_event, t.incident, t.evaluator_cursor, t.alert, t.alert_incident,
        ):  # fmt: skip
            conn.execute(sa.delete(table))


def test_a_window_is_judged_by_the_monitor_that_stood_when_it_ended() -> None:
    spec, after = MonitorSpec(), {"day": 100, "week": 700}
    monitor = Monitor((Revision(1, {}, spec), Revision(2, after, spec), Revision(3, after, spec)))
    assert [monitor.place("day", end_ms) for end_ms in (1, 100, 101)] == [0, 0, 2]
    assert [monitor.place("week", end_ms) for end_ms in (101, 700, 701)] == [0, 0, 2]
    assert monitor.place("hour", 1) == 2  # of which nothing was judged


def test_what_was_judged_keeps_its_monitor_and_a_replay_finds_the_same(world: World) -> None:
    world.write(START_MS, 24 * 3)
    world.evaluator().step()
    set_monitor(world, horizon_ms=8 * DAY_MS)
    world.write(START_MS + 24 * 3 * 3_600_000, 24)
    world.write(START_MS + 3_600_000, 1, seed=3)  # late: judged again as it was at first
    world.evaluator().step()
    by_end = {
        row.end_ms: (row.monitor_revision, row.revision)
        for row in world.rows(t.window, t.window.c.length == "day")
    }
    days = [START_MS + day * DAY_MS for day in range(1, 5)]
    assert [by_end[end] for end in days] == [(1, 2), (1, 1), (1, 1), (2, 1)]
    told = world.facts()
    forget(world)
    world.evaluator().step()
    assert world.facts() == told


def test_a_week_that_was_closed_before_its_end_holds_back_no_day(world: World) -> None:
    """A stream that fell silent closes its week at once; days go on under the new monitor."""
    hour_ms = 3_600_000
    world.write(START_MS, 24 * 2 + 10)
    world.idle()
    world.evaluator().step()
    assert [row.end_ms for row in world.rows(t.window, t.window.c.length == "week")] == [
        START_MS + 7 * DAY_MS
    ]
    set_monitor(world, limits=(FixedLimit("x", "psi", 0.0001),))
    with storage.transaction(world.engine) as conn:  # it is read again
        conn.execute(sa.update(t.stream_position).values(caught_up_for_ms=0))
    world.write(START_MS + 2 * DAY_MS + 10 * hour_ms, 24 * 6 + 14)
    world.write(START_MS + DAY_MS, 1, seed=3)  # late: of a day and a week that were judged
    world.evaluator().step()
    judged_by = {
        (row.length, row.end_ms): (row.monitor_revision, row.revision)
        for row in world.rows(t.window)
    }
    days = [judged_by["day", START_MS + day * DAY_MS] for day in range(1, 10)]
    assert days == [(1, 1), (1, 2), (1, 2), *[(2, 1)] * 6]
    weeks = [judged_by["week", START_MS + 7 * DAY_MS]]
    assert weeks == [(1, 2)]
    edge_ms = START_MS + 2 * DAY_MS + 10 * hour_ms
    assert judged_by["hour", edge_ms][0] == 1
    assert judged_by["hour", edge_ms + hour_ms][0] == 2
    limits = {
        row.start_ms: row.psi_limit
        for row in world.rows(t.finding, t.finding.c.length == "day", t.finding.c.feature == "x")
    }
    assert limits[START_MS + 3 * DAY_MS] == 0.0001 != limits[START_MS + 2 * DAY_MS]
    told = world.facts()
    forget(world)
    world.evaluator().step()
    assert world.facts() == told


def test_each_length_is_judged_otherwise_after_what_was_judged_of_it(world: World) -> None:
    world.write(START_MS, 24 * 3)
    world.evaluator().step()
    set_monitor(world, profile="quiet")
    _, changed = world.rows(t.monitor)
    assert json.loads(changed.after_by_length) == {
        "hour": START_MS + 3 * DAY_MS, "day": START_MS + 3 * DAY_MS,
    }  # fmt: skip
    world.write(START_MS + 3 * DAY_MS, 24 * 4)
    world.evaluator().step()
    (week,) = world.rows(t.window, t.window.c.length == "week")
    assert week.monitor_revision == 2  # none was judged before


def test_an_evaluator_that_has_read_the_old_monitor_writes_nothing(world: World) -> None:
    world.write(START_MS, 24)
    world.evaluator().step()
    world.write(START_MS + DAY_MS, 24)
    slow = world.evaluator()
    slow._registry = registry_store.load(world.engine)
    found = slow._read(slow._registry.versions["m", "1"], None)
    assert found is not None
    set_monitor(world, horizon_ms=8 * DAY_MS)
    assert not slow._write(found)
    slow.step()
    assert {
        row.monitor_revision for row in world.rows(t.window, t.window.c.end_ms > START_MS + DAY_MS)
    } == {2}


def test_recalibrating_learns_from_the_last_eight_windows_and_judges_what_comes(
    engine: Engine, reference: Reference
) -> None:
    world = world_of(engine, reference)
    world.write(START_MS, 24 * 7 * 8)
    world.evaluator().step()
    with pytest.raises(Conflict, match="windows are hour, day, week"):
        learn(world, length="month")
    assert learn(world)["all", "week"].why == "no complete window has come since it learnt last"
    # From the ninth week on a third of x is missing, for good.
    world.write(START_MS + 8 * 7 * DAY_MS, 24 * 7 * 8, missing=0.3)
    world.evaluator().step()
    late = START_MS + 15 * 7 * DAY_MS
    weeks = world.rows(t.finding, WEEKS, t.finding.c.start_ms == late, t.finding.c.feature == "x")
    assert [row.verdict for row in weeks] == ["critical"]
    before = world.facts()
    found = learn(world)
    assert (found["all", "week"].revision, found["all", "week"].is_new) == (2, True)
    assert found["all", "week"].windows[0][0] == START_MS + 8 * 7 * DAY_MS
    assert found["all", "day"].why.startswith("the reference knows its wobble")
    assert not any(learnt.is_new for learnt in learn(world).values())
    world.evaluator().step()
    assert world.facts() == before
    world.write(late + 7 * DAY_MS, 24 * 7, missing=0.3)
    world.write(late, 1, seed=3, missing=1.0)  # late, and judged as it was at first
    world.evaluator().step()
    told = world.facts()
    assert len(world.rows(t.calibration)) == 2
    forget(world)
    world.evaluator().step()
    assert world.facts() == told
