"""While a model is silent or a feature is not sent, what else opens of it is kept and not told."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa
from alerts_world import endpoint
from judged_world import START_MS, World, world_of
from sqlalchemy.engine import Engine

from driftline.stats.lengths import DAY_MS, HOUR_MS
from driftline.stats.reference import Reference
from monitor.storage import engine as storage
from monitor.storage import schema as t

pytestmark = pytest.mark.both_databases
CALM_MS = START_MS + 10 * DAY_MS
# After ten calm days x moves; on the second such day the predictions end early.
SILENT_MS = CALM_MS + DAY_MS + 14 * HOUR_MS


@pytest.fixture
def world(engine: Engine, reference: Reference) -> World:
    made = world_of(engine, reference)
    endpoint(engine)
    made.write(START_MS, 24 * 10)
    made.write(CALM_MS, 24, shift=0.9)
    return made


def judge(world: World, until_ms: int) -> list[tuple[str, list[tuple[str, str]]]]:
    """Let the stream come to a time and judge; return what was told, by feature and kind."""
    with storage.transaction(world.engine) as conn:
        conn.execute(sa.update(t.stream_position).values(max_event_time_ms=until_ms))
    before = len(world.rows(t.outbox))
    world.now_ms += 2 * 60_000
    world.evaluator().step()
    told = []
    for row in world.rows(t.outbox)[before:]:
        body = json.loads(row.body)
        named = [(i["feature"], i["kind"]) for i in body["data"]["incidents"]]
        told.append((body["type"], named))
    return told


def drift(world: World) -> Any:
    (found,) = world.rows(t.incident, t.incident.c.kind == "distribution")
    return found


def fall_silent(world: World) -> None:
    world.write(CALM_MS + DAY_MS, 14, shift=0.9)
    assert judge(world, CALM_MS + 2 * DAY_MS + 2 * HOUR_MS) == [("model.silent", [("", "volume")])]


def again(world: World) -> list[Any]:
    """Forget all that was judged, and judge it at once; return the incidents as they are then."""
    with storage.transaction(world.engine) as conn:
        for table in (
            t.finding, t.finding_day, t.model_window, t.window, t.latch,
            t.incident_event, t.alert_held, t.alert_incident, t.alert, t.incident,
            t.evaluator_cursor,
        ):  # fmt: skip
            conn.execute(sa.delete(table))
    world.evaluator().step()
    return incidents(world)


def incidents(world: World) -> list[Any]:
    c = t.incident.c
    names = (
        "feature", "kind", "severity", "state", "muted", "first_window_ms", "opened_ms", "told_ms",
        "resolved_ms", "episodes", "summary",
    )  # fmt: skip
    rows = world.rows(t.incident, c.state != "withdrawn")
    return sorted(tuple(getattr(row, name) for name in names) for row in rows)


def test_what_opens_while_the_model_is_silent_is_kept_and_not_told(world: World) -> None:
    fall_silent(world)
    found = drift(world)
    # The day that made it sure ended after the model had fallen silent.
    assert found.opened_ms == CALM_MS + 2 * DAY_MS
    assert (found.state, found.muted, found.told_ms) == ("firing", True, None)
    (event,) = world.rows(t.incident_event, t.incident_event.c.incident_number == found.number)
    assert (event.event, event.at_ms) == ("opened", found.opened_ms)
    assert incidents(world) == again(world)


def test_what_stands_when_the_silence_ends_is_told_then(world: World) -> None:
    fall_silent(world)
    back_ms = CALM_MS + 2 * DAY_MS + 6 * HOUR_MS
    world.write(back_ms, 4, shift=0.9)
    told = judge(world, back_ms + 5 * HOUR_MS)
    assert told == [
        ("model.recovered", [("", "volume")]), ("drift.detected", [("x", "distribution")]),
    ]  # fmt: skip
    assert len({row.alert_id for row in world.rows(t.outbox)}) == 2
    assert (drift(world).muted, drift(world).told_ms) == (False, back_ms)
    assert incidents(world) == again(world)


def test_what_is_over_before_the_silence_is_stays_unsaid(world: World) -> None:
    fall_silent(world)
    # Late events show that the second day was calm: nothing stands when predictions return.
    world.write(CALM_MS + DAY_MS, 14, seed=9)
    world.write(CALM_MS + DAY_MS, 14, seed=10)
    world.write(CALM_MS + DAY_MS, 14, seed=11)
    back_ms = CALM_MS + 2 * DAY_MS + 6 * HOUR_MS
    world.write(back_ms, 4)
    assert judge(world, back_ms + 5 * HOUR_MS) == [("model.recovered", [("", "volume")])]
    assert drift(world).state == "withdrawn"


def test_a_silence_that_late_events_filled_mutes_nothing(world: World) -> None:
    fall_silent(world)
    world.write(SILENT_MS, 12, shift=0.9)
    told = judge(world, CALM_MS + 2 * DAY_MS + 3 * HOUR_MS)
    assert sorted(told) == [
        ("drift.detected", [("x", "distribution")]),
        ("model.silence_withdrawn", [("", "volume")]),
    ]
    assert drift(world).told_ms == CALM_MS + 2 * DAY_MS
    assert incidents(world) == again(world)


def test_what_was_told_before_the_silence_stays_told_and_its_end_is_told(world: World) -> None:
    world.write(CALM_MS + DAY_MS, 24, shift=0.9)
    silent_ms = CALM_MS + 2 * DAY_MS + 3 * HOUR_MS
    world.write(CALM_MS + 2 * DAY_MS, 3, shift=0.9)
    assert judge(world, silent_ms) == [("drift.detected", [("x", "distribution")])]
    assert judge(world, silent_ms + 5 * HOUR_MS) == [("model.silent", [("", "volume")])]
    assert drift(world).muted is False
    world.write(CALM_MS + 3 * DAY_MS, 24 * 4)
    told = judge(world, CALM_MS + 7 * DAY_MS + HOUR_MS)
    assert [kind for kind, _ in told] == ["drift.resolved", "model.recovered"]


def test_a_feature_that_is_not_sent_mutes_what_else_opens_of_it(world: World) -> None:
    world.write(CALM_MS + DAY_MS, 20, shift=0.9)
    world.write(CALM_MS + DAY_MS + 20 * HOUR_MS, 8, lacking="x")
    told = judge(world, CALM_MS + 2 * DAY_MS + 5 * HOUR_MS)
    assert told == [("schema.broken", [("x", "schema")])]
    assert (drift(world).opened_ms, drift(world).muted) == (CALM_MS + 2 * DAY_MS, True)
    assert incidents(world) == again(world)
    # Sent again for three hours, it speaks for itself.
    back_ms = CALM_MS + 2 * DAY_MS + 4 * HOUR_MS
    world.write(back_ms, 3, shift=0.9)
    told = judge(world, back_ms + 4 * HOUR_MS)
    assert [kind for kind, _ in told] == ["schema.resolved", "drift.detected"]
    assert (drift(world).muted, drift(world).told_ms) == (False, back_ms + 3 * HOUR_MS)
    assert incidents(world) == again(world)
