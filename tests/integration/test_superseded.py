"""A version's incidents end where the version that was promoted in its place took over."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from alerts_world import endpoint
from judged_world import START_MS, World

from driftline.errors import Conflict
from driftline.stats.lengths import DAY_MS, HOUR_MS
from driftline.stats.reference import Reference
from driftline.webhooks import new_secret
from monitor.detect.retraining import Policy
from monitor.detect.spec import MonitorSpec
from monitor.evaluate.backtest import backtest
from monitor.storage import endpoints, promotions, retraining_policies, retrains
from monitor.storage import engine as storage
from monitor.storage import registry as registry_store
from monitor.storage import schema as t

pytestmark = pytest.mark.both_databases
DRIFT_MS = START_MS + 10 * DAY_MS
SWITCH_MS = START_MS + 13 * DAY_MS
OF_OLD = t.incident.c.version_id == 1


def at(ms: int) -> str:
    """Days and hours of the story."""
    hours = (ms - START_MS) // HOUR_MS
    return f"{hours // 24}d {hours % 24}h"


def register(world: World, version: str, replaces: str | None = None, **given: Any) -> None:
    with storage.transaction(world.engine) as conn:
        registry_store.register_reference(
            conn, world.reference, model="m", version=version, now_ms=0, replaces=replaces, **given
        )
        found = sa.select(t.counter).where(t.counter.c.version == version)
        if conn.execute(found).first() is None:
            conn.execute(
                sa.insert(t.counter).values(
                    stream_id=1, partition=9, model="m", version=version, outcome="prediction",
                    count=1,
                )
            )  # fmt: skip


def promote(world: World, version: str, **given: Any) -> promotions.Promoted:
    with storage.transaction(world.engine) as conn:
        return promotions.promote(
            conn, model="m", version=version, source="api", actor="Mo", now_ms=1, **given
        )


def stream_is_at(world: World, time_ms: int) -> None:
    with storage.transaction(world.engine) as conn:
        conn.execute(sa.update(t.stream_position).values(max_event_time_ms=time_ms))
    world.now_ms += 2 * 60_000


def drifted(world: World) -> None:
    """Ten calm days and three on which x moved, all of version 1."""
    world.write(START_MS, 24 * 10)
    world.write(DRIFT_MS, 24 * 3, shift=2.0)


def old(world: World) -> dict[tuple[str, str], tuple[str, str | None]]:
    return {
        (row.feature, row.kind): (
            row.state,
            None if row.resolved_ms is None else at(row.resolved_ms),
        )
        for row in world.rows(t.incident, OF_OLD, t.incident.c.state != "withdrawn")
        if row.segment == "all"
    }


def told(world: World) -> list[tuple[str, str | None, str]]:
    bodies = [json.loads(row.body) for row in world.rows(t.outbox)]
    return [(b["type"], b["data"].get("ended"), b["data"]["summary"]) for b in bodies]


def taken(world: World) -> list[tuple[str, str, str | None]]:
    return [
        (at(row.since_ms), at(row.sure_ms), None if row.until_ms is None else at(row.until_ms))
        for row in world.rows(t.takeover)
    ]


def test_registering_its_successor_ends_what_stood_of_a_version(world: World) -> None:
    endpoint(world.engine)
    drifted(world)
    evaluator = world.evaluator()
    evaluator.step()
    assert old(world) == {("x", "distribution"): ("firing", None)}
    register(world, "2", "1")
    world.write(SWITCH_MS, 1, version_id=2)
    evaluator.step()
    # An hour without its predictions may be a pause as it had one before: two are not.
    assert old(world) == {("x", "distribution"): ("firing", None)}
    world.write(SWITCH_MS + HOUR_MS, 2, version_id=2)
    world.now_ms += 2 * 60_000
    evaluator.step()
    assert old(world) == {("x", "distribution"): ("superseded", "13d 0h")}
    assert taken(world) == [("13d 0h", "13d 2h", None)]
    event = world.rows(t.incident_event)[-1]
    assert (event.event, at(event.at_ms), event.detail) == (
        "superseded", "13d 0h", "version 2 took over",
    )  # fmt: skip
    assert told(world)[-1] == (
        "drift.resolved",
        "superseded",
        "m 1: x (distribution) is over after 24 hours: version 2 took over.",
    )
    assert json.loads(world.rows(t.outbox)[-1].body)["data"]["successor"] == "2"
    count = len(told(world))
    # Its last day closes later: it opens nothing, nor is anything told again.
    for hours in range(3, 60, 6):
        world.write(SWITCH_MS + hours * HOUR_MS, 6, version_id=2)
        world.now_ms += 2 * 60_000
        evaluator.step()
    assert old(world) == {("x", "distribution"): ("superseded", "13d 0h")}
    assert len(told(world)) == count


def test_what_would_open_once_another_version_answers_opens_nothing(world: World) -> None:
    """Its last day, half of which it has, closes when that is known: the second that drifts."""
    endpoint(world.engine)
    world.write(START_MS, 24 * 12)
    world.write(START_MS + 12 * DAY_MS, 36, shift=2.0)
    register(world, "2", "1")
    last_ms = START_MS + 12 * DAY_MS + 36 * HOUR_MS
    evaluator = world.evaluator()
    evaluator.step()
    for hour in range(0, 48, 12):
        world.write(last_ms + hour * HOUR_MS, 12, version_id=2)
        world.now_ms += 2 * 60_000
        evaluator.step()
    assert world.rows(t.latch, t.latch.c.version_id == 1)
    assert world.rows(t.incident, OF_OLD) == []
    assert told(world) == []


def test_another_monitor_is_tried_on_what_the_version_had_to_answer_for(world: World) -> None:
    world.write(START_MS, 24 * 12)
    world.write(START_MS + 12 * DAY_MS, 36, shift=2.0)
    register(world, "2", "1")
    world.write(START_MS + 12 * DAY_MS + 36 * HOUR_MS, 48, version_id=2)
    for _ in range(2):
        world.now_ms += 2 * 60_000
        world.evaluator().step()
    assert world.rows(t.incident, OF_OLD) == []
    known = registry_store.load(world.engine)
    with storage.reading(world.engine) as conn:
        tried = backtest(conn, known.versions["m", "1"], known.references, MonitorSpec())
    assert (tried.before, tried.after) == (0, 0)


def test_while_both_have_predictions_both_are_judged(world: World) -> None:
    world.write(START_MS, 24 * 10)
    register(world, "2", "1")
    world.write(DRIFT_MS, 24 * 3, shift=2.0)
    world.write(DRIFT_MS, 24 * 3, version_id=2)
    world.evaluator().step()
    assert old(world) == {("x", "distribution"): ("firing", None)}
    assert taken(world) == []


def test_a_successor_that_never_has_an_event_supersedes_nothing(world: World) -> None:
    drifted(world)
    register(world, "2", "1")
    stream_is_at(world, SWITCH_MS + 2 * DAY_MS)
    world.evaluator().step()
    # Nobody answers: that is a silence, and of the version that had the last predictions.
    assert old(world) == {
        ("x", "distribution"): ("firing", None),
        ("", "volume"): ("firing", None),
    }


def test_a_version_that_was_replaced_is_not_silent(world: World) -> None:
    drifted(world)
    evaluator = world.evaluator()
    evaluator.step()
    stream_is_at(world, SWITCH_MS + 5 * HOUR_MS)
    evaluator.step()
    assert old(world)["", "volume"] == ("firing", None)
    register(world, "2", "1")
    world.write(SWITCH_MS + 6 * HOUR_MS, 24, version_id=2)
    world.now_ms += 2 * 60_000
    evaluator.step()
    assert old(world) == {
        ("x", "distribution"): ("superseded", "13d 6h"),
        ("", "volume"): ("resolved", "13d 6h"),
    }
    stream_is_at(world, SWITCH_MS + 30 * HOUR_MS + 30 * 60_000)
    evaluator.step()
    assert old(world)["", "volume"] == ("resolved", "13d 6h")
    assert not world.rows(t.incident, t.incident.c.opened_ms > SWITCH_MS + 6 * HOUR_MS)


def test_without_a_promotion_another_version_supersedes_nothing(world: World) -> None:
    drifted(world)
    register(world, "2")
    world.write(SWITCH_MS, 24, version_id=2)
    world.evaluator().step()
    assert old(world) == {("x", "distribution"): ("firing", None)}


def test_nothing_is_superseded_before_the_promotion_is_effective(world: World) -> None:
    drifted(world)
    register(world, "2")
    promote(world, "2", replaces="1", effective_ms=SWITCH_MS + 12 * HOUR_MS)
    world.write(SWITCH_MS, 12, version_id=2)
    evaluator = world.evaluator()
    evaluator.step()
    assert old(world) == {("x", "distribution"): ("firing", None)}
    world.write(SWITCH_MS + 12 * HOUR_MS, 12, version_id=2)
    world.now_ms += 2 * 60_000
    evaluator.step()
    assert old(world) == {("x", "distribution"): ("superseded", "13d 12h")}


def test_a_pause_that_is_usual_is_no_end(world: World) -> None:
    # Both rest at night; the successor has a few predictions before.
    for day in range(13):
        world.write(START_MS + day * DAY_MS, 16, shift=2.0 if day >= 10 else 0.0)
    register(world, "2")
    promote(world, "2", effective_ms=DRIFT_MS)
    world.write(DRIFT_MS + 17 * HOUR_MS, 2, version_id=2)
    world.evaluator().step()
    assert old(world)["x", "distribution"] == ("firing", None)
    assert taken(world) == []


def test_late_events_of_the_old_version_move_the_takeover(world: World) -> None:
    drifted(world)
    register(world, "2", "1")
    world.write(SWITCH_MS, 24, version_id=2)
    evaluator = world.evaluator()
    evaluator.step()
    assert old(world) == {("x", "distribution"): ("superseded", "13d 0h")}
    world.write(SWITCH_MS, 2, shift=2.0)
    evaluator.step()
    assert old(world) == {("x", "distribution"): ("superseded", "13d 2h")}
    assert taken(world) == [("13d 2h", "13d 4h", None)]


def test_a_straggler_of_a_replaced_version_opens_nothing_and_its_return_does(world: World) -> None:
    endpoint(world.engine)
    drifted(world)
    register(world, "2", "1")
    world.write(SWITCH_MS, 48, version_id=2)
    evaluator = world.evaluator()
    evaluator.step()
    count = len(told(world))
    world.write(SWITCH_MS + 20 * HOUR_MS, 1, shift=2.0)
    evaluator.step()
    assert old(world) == {("x", "distribution"): ("superseded", "13d 0h")}
    assert taken(world) == [("13d 0h", "13d 2h", "13d 20h"), ("13d 21h", "13d 23h", None)]
    assert len(told(world)) == count
    # Without a word the old version answers again, and drifts as before.
    world.write(SWITCH_MS + 48 * HOUR_MS, 60, shift=2.0)
    world.write(SWITCH_MS + 48 * HOUR_MS, 60, version_id=2)
    evaluator.step()
    assert old(world) == {("x", "distribution"): ("firing", None)}
    assert told(world)[-1][0] == "drift.detected"
    assert "again since" in told(world)[-1][2]


def test_a_version_that_is_promoted_again_is_judged_again(world: World) -> None:
    drifted(world)
    register(world, "2", "1")
    evaluator = world.evaluator()
    world.write(SWITCH_MS, 24, version_id=2)
    evaluator.step()
    back_ms = SWITCH_MS + 24 * HOUR_MS
    made = promote(world, "1", effective_ms=back_ms)
    assert (made.created, made.promotion.replaces) == (True, "2")
    world.write(back_ms, 72, shift=2.0)
    world.write(back_ms + 72 * HOUR_MS, 6, version_id=2)  # shadow traffic
    world.now_ms += 2 * 60_000
    evaluator.step()
    stream_is_at(world, back_ms + 80 * HOUR_MS)
    evaluator.step()
    assert old(world) == {("x", "distribution"): ("firing", None)}


def test_the_first_of_two_successors_that_answers_takes_over(world: World) -> None:
    drifted(world)
    register(world, "2")
    register(world, "3")
    promote(world, "2", replaces="1", effective_ms=SWITCH_MS)
    promote(world, "3", replaces="1", effective_ms=SWITCH_MS + HOUR_MS)
    world.write(SWITCH_MS + HOUR_MS, 24, version_id=3)
    world.evaluator().step()
    assert old(world) == {("x", "distribution"): ("superseded", "13d 1h")}
    assert world.rows(t.incident_event)[-1].detail == "version 3 took over"


def test_whoever_replaces_the_successor_takes_over_in_its_place(world: World) -> None:
    drifted(world)
    register(world, "2", "1")
    register(world, "3", "2")
    world.write(SWITCH_MS, 24, version_id=3)
    world.evaluator().step()
    assert old(world) == {("x", "distribution"): ("superseded", "13d 0h")}
    assert [row.by_version_id for row in world.rows(t.takeover)] == [3]


def test_what_is_found_does_not_depend_on_when_it_is_looked(
    world: World, reference: Reference
) -> None:
    drifted(world)
    register(world, "2", "1")
    live = world.evaluator()
    live.step()
    for hours in range(0, 48, 5):
        world.write(SWITCH_MS + hours * HOUR_MS, 5, version_id=2)
        world.now_ms += 2 * 60_000
        live.step()
        if hours == 20:
            world.write(SWITCH_MS + 2 * HOUR_MS, 1, shift=2.0)
    live.step()
    found = world.facts()["incidents"], taken(world)
    assert [("superseded" in row) for row in found[0]].count(True) == 1
    with storage.transaction(world.engine) as conn:
        for table in (
            t.finding, t.finding_day, t.model_window, t.window, t.latch,
            t.incident_event, t.incident, t.evaluator_cursor, t.alert, t.alert_incident,
            t.takeover, t.calibration,
        ):  # fmt: skip
            conn.execute(sa.delete(table))
    again = world.evaluator()
    again.step()
    world.now_ms += 2 * 60_000
    again.step()
    assert (world.facts()["incidents"], taken(world)) == found


JUDGED = (
    t.finding, t.model_window, t.window, t.latch, t.incident_event,
    t.incident, t.evaluator_cursor, t.alert, t.alert_incident, t.takeover, t.calibration,
)  # fmt: skip


@pytest.mark.parametrize("seed", range(2))
def test_batches_and_looks_in_any_order_give_the_same_incidents_and_takeovers(
    world: World, seed: int, backend: str
) -> None:
    # Four orders, two of them on each database.
    draw = np.random.default_rng(seed + 2 * (backend == "postgresql"))
    drifted(world)
    register(world, "2")
    register(world, "3")
    evaluators = [world.evaluator(), world.evaluator()]
    evaluators[0].step()
    # Hours of both versions after the switch: the old one stops, and some of it comes back.
    hours = [(2, at) for at in range(0, 60, 4)]
    hours += [(1, at) for at in range(0, 60, 4) if at < 4 * draw.integers(4) or draw.random() < 0.2]
    hours += [(3, at) for at in range(32, 60, 4)]
    draw.shuffle(hours)
    promotes = {int(draw.integers(len(hours))): "2", int(draw.integers(len(hours))): "3"}
    for number, (version, hour) in enumerate(hours):
        if number in promotes:
            gap = 0 if promotes[number] == "2" else 36
            promote(world, promotes[number], replaces="1", effective_ms=SWITCH_MS + gap * HOUR_MS)
        shift = 2.0 if version == 1 else 0.0
        world.write(SWITCH_MS + hour * HOUR_MS, 4, version_id=version, shift=shift)
        if draw.random() < 0.5:
            world.now_ms += 2 * 60_000
            evaluators[int(draw.integers(2))].step()
    for evaluator in evaluators:
        world.now_ms += 2 * 60_000
        evaluator.step()
    found = world.facts()["incidents"], taken(world)
    with storage.transaction(world.engine) as conn:
        for table in JUDGED:
            conn.execute(sa.delete(table))
    again = world.evaluator()
    for _ in range(2):
        world.now_ms += 2 * 60_000
        again.step()
    assert (world.facts()["incidents"], taken(world)) == found


def test_an_evaluator_that_knows_the_events_before_the_promotion_finds_the_same(
    world: World,
) -> None:
    drifted(world)
    register(world, "2")
    world.write(SWITCH_MS, 24, version_id=2)
    evaluator = world.evaluator()
    evaluator.step()
    assert old(world) == {("x", "distribution"): ("firing", None)}
    promote(world, "2", effective_ms=SWITCH_MS)
    world.now_ms += 2 * 60_000
    evaluator.step()
    assert old(world) == {("x", "distribution"): ("superseded", "13d 0h")}


@pytest.mark.parametrize(
    ("version", "given", "why"),
    [
        ("9", {}, "has no version '9': its last are '1', '2', '3'"),
        ("2", {"replaces": "9"}, "has no version '9'"),
        ("2", {"replaces": "2"}, "cannot replace itself"),
        ("bare", {}, "has no reference to be judged by"),
        ("2", {"effective_ms": START_MS}, "is not revised any more: promote version 2 from"),
        ("2", {"effective_ms": 5_000_000_000_000}, "between the years 1970 and 2100"),
    ],
)
def test_what_cannot_be_promoted_is_said(
    world: World, version: str, given: dict[str, Any], why: str
) -> None:
    drifted(world)
    register(world, "2")
    register(world, "3")
    if version == "bare":
        with storage.transaction(world.engine) as conn:
            conn.execute(sa.insert(t.model_version).values(model_id=1, name="bare", created_ms=0))
    with pytest.raises(Conflict, match=why):
        promote(world, version, **given)
    assert not world.rows(t.promotion)
    assert not world.rows(t.audit)


def test_two_versions_are_not_promoted_for_one_time(world: World) -> None:
    drifted(world)
    register(world, "2")
    register(world, "3")
    promote(world, "2", effective_ms=SWITCH_MS)
    with pytest.raises(Conflict, match=r"version 2 of m is live from .* on, by Mo: two versions"):
        promote(world, "3", effective_ms=SWITCH_MS + 1)
    assert promote(world, "3", effective_ms=SWITCH_MS + HOUR_MS).promotion.replaces == "2"


def test_versions_do_not_replace_each_other_in_a_circle(world: World) -> None:
    drifted(world)
    register(world, "2")
    register(world, "3")
    promote(world, "2", replaces="1", effective_ms=SWITCH_MS + HOUR_MS)
    promote(world, "3", replaces="2", effective_ms=SWITCH_MS + 2 * HOUR_MS)
    with pytest.raises(Conflict, match="in a circle: 1, which is replaced by 2, which is replaced"):
        promote(world, "1", replaces="3", effective_ms=SWITCH_MS)
    # Later it is a return.
    made = promote(world, "1", effective_ms=SWITCH_MS + 3 * HOUR_MS)
    assert made.promotion.replaces == "3"


def test_what_is_live_is_promoted_again_without_any_change(world: World) -> None:
    drifted(world)
    register(world, "2", "1")
    register(world, "2", "1")
    (promotion,) = world.rows(t.promotion)
    assert (promotion.source, at(promotion.effective_ms)) == ("registration", "12d 23h")
    before = [row._mapping for row in world.rows(t.audit)]
    made = promote(world, "2")
    assert (made.created, made.promotion.id) == (False, promotion.id)
    assert [row._mapping for row in world.rows(t.audit)] == before
    assert json.loads(before[0]["detail"]) == {
        "effective": "2024-01-13T23:00:00Z", "replaces": "1", "source": "registration",
        "version": "2",
    }  # fmt: skip


def test_what_is_promoted_between_two_events_goes_by_the_order_in_which_it_was(
    world: World,
) -> None:
    drifted(world)
    register(world, "2")
    register(world, "3")
    planned = promote(world, "3", effective_ms=SWITCH_MS + 5 * HOUR_MS)
    made = [promote(world, version) for version in ("2", "3", "1", "1", "2", "2")]
    assert [one.created for one in made] == [True, True, True, False, True, False]
    assert [one.promotion.replaces for one in made] == ["1", "2", "3", "3", "1", "1"]
    assert at(made[-1].promotion.effective_ms) == "13d 2h"
    assert planned.promotion.replaces == "1"


def test_an_open_request_for_a_retraining_ends_with_the_promotion(world: World) -> None:
    drifted(world)
    with storage.transaction(world.engine) as conn:
        trainer, _ = endpoints.add(
            conn, "trainer", "https://train.example/in", new_secret(), now_ms=1
        )
        retraining_policies.put(conn, 1, Policy(), trainer.id, now_ms=1)
        standing = retraining_policies.policy_of(conn, "m")
        assert standing is not None
        wanted = retrains.Wanted(
            version="1", version_id=1, key="a", summary="it drifted", event_ms=SWITCH_MS
        )
        retrains.request(conn, wanted, standing, now_ms=1, web_url="https://drift.example")
    register(world, "2", "1")
    (asked,) = world.rows(t.retrain)
    assert (asked.state, asked.live_version_id) == ("succeeded", 2)
    assert asked.ended_ms is not None


def test_a_replaced_version_is_looked_at_when_event_time_has_moved_an_hour(world: World) -> None:
    """Of a log that is sent faster than it was written a minute of the clock holds days."""
    drifted(world)
    register(world, "2", "1")
    evaluator = world.evaluator()
    for hour in range(6):
        world.write(SWITCH_MS + hour * HOUR_MS, 1, version_id=2)
        evaluator.step()
    assert old(world) == {("x", "distribution"): ("superseded", "13d 0h")}
