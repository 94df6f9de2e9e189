"""Silences over the whole evaluator: incidents are as ever, messages wait for the end."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from alerts_world import BAD, MILD, World, told_world
from sqlalchemy.engine import Engine

from driftline.errors import Conflict
from monitor.detect.silencing import Matcher, Silence
from monitor.storage import notes, silences
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction
from monitor.views.episodes import group_of
from monitor.views.handled import handled
from monitor.windows.panes import HOUR_MS

pytestmark = pytest.mark.both_databases


@pytest.fixture
def world(engine: Engine) -> World:
    return told_world(engine)


def silence(world: World, hours: float, **matched: str) -> Silence:
    """Be silent from now on for so many hours by the clock."""
    now_ms = world.now_ms
    with transaction(world.engine) as conn:
        return silences.add(
            conn, Matcher(**matched), from_ms=now_ms, until_ms=now_ms + int(hours * HOUR_MS),
            reason="maintenance", by="Mo", now_ms=now_ms,
        )  # fmt: skip


def incidents(world: World) -> list[Any]:
    return [row[:10] for row in world.rows(t.incident)]


def test_nobody_is_told_until_it_is_over_though_nothing_is_counted_any_more(world: World) -> None:
    silence(world, 5, feature="x")
    assert world.step(3, x=BAD) == []
    (incident,) = world.rows(t.incident)
    assert (incident.state, incident.muted) == ("firing", False)
    assert [row.silence for row in world.rows(t.alert_held)] == [1]
    world.now_ms += 4 * HOUR_MS
    assert world.step() == []
    # No event comes, the watermark stands still: the clock alone ends a silence.
    world.now_ms += HOUR_MS
    assert world.step() == [("detected", ["x"])]
    assert world.rows(t.alert_held) == []
    assert world.step() == []


def test_a_silence_that_is_ended_by_hand_is_over_at_the_next_look(world: World) -> None:
    made = silence(world, 5, model="m")
    assert world.step(3, x=BAD) == []
    with transaction(world.engine) as conn:
        assert silences.end(conn, made.number, by="Li", now_ms=world.now_ms)
        assert not silences.end(conn, made.number, by="Mo", now_ms=world.now_ms)
    assert world.step() == [("detected", ["x"])]
    (row,) = world.rows(t.silence)
    assert (row.ended_by, row.ended_ms) == ("Li", world.now_ms)


def test_one_that_lasts_longer_than_it_was_meant_to_holds_back_as_long(world: World) -> None:
    made = silence(world, 1, feature="x")
    world.step(3, x=BAD)
    with transaction(world.engine) as conn:
        until_ms = world.now_ms + 3 * HOUR_MS
        assert silences.set_until(conn, made.number, until_ms, now_ms=world.now_ms)
    world.now_ms += 2 * HOUR_MS
    assert world.step() == []
    world.now_ms += HOUR_MS
    assert world.step() == [("detected", ["x"])]
    with transaction(world.engine) as conn:
        assert not silences.set_until(conn, made.number, 2 * until_ms, now_ms=world.now_ms)


def test_incidents_findings_and_episodes_are_the_same_with_silences(
    world: World, tmp_path: Any
) -> None:
    def story(of: World) -> None:
        of.step(3, x=BAD, zeros=MILD)
        of.step(4)
        of.step(3, x=BAD)

    silence(world, 900)
    story(world)
    assert world.outbox() == []
    hushed = incidents(world), world.rows(t.finding), world.rows(t.incident_event)
    with transaction(world.engine) as conn:
        for table in (
            t.finding, t.finding_day, t.model_window, t.window, t.latch,
            t.incident_event, t.alert_held, t.alert_incident, t.alert, t.incident,
            t.evaluator_cursor, t.silence,
        ):  # fmt: skip
            conn.execute(sa.delete(table))
    world.evaluator().step()
    assert world.outbox() != []
    assert [row[1:] for row in incidents(world)] == [row[1:] for row in hushed[0]]
    assert len(world.rows(t.finding)) == len(hushed[1])


def test_what_ended_within_it_is_never_told_and_what_was_told_before_is_ended(world: World) -> None:
    assert world.step(3, x=BAD) == [("detected", ["x"])]
    silence(world, 2)
    assert world.step(3, zeros=BAD) == [("resolved", ["x"])]
    assert world.step(6) == []
    world.now_ms += 4 * HOUR_MS
    assert world.step() == [] and world.step(1) == []
    assert world.rows(t.alert_held) == []


def test_what_is_covered_is_refused_and_what_is_longer_or_wider_is_not(world: World) -> None:
    silence(world, 5, model="m")
    for hours, matched in ((5.0, {"model": "m"}), (1.0, {"model": "m", "feature": "x"})):
        with pytest.raises(Conflict, match="silence 1 holds all of this back already"):
            silence(world, hours, **matched)
    assert silence(world, 6, model="m", feature="x").number == 2
    assert silence(world, 1).number == 3
    world.now_ms += 7 * HOUR_MS
    assert silence(world, 1, model="m").number == 4


def test_a_preview_counts_what_stands_and_what_was(world: World) -> None:
    world.step(3, x=BAD, zeros=BAD)
    world.step(6)
    world.step(3, x=BAD)
    now_ms = world.now_ms

    def preview(**matched: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        with reading(world.engine) as conn:
            found = silences.preview(
                conn, Matcher(**matched), from_ms=now_ms, until_ms=now_ms + 1, now_ms=now_ms
            )
        return found.firing, found.past

    by_feature = {row.feature: row.number for row in world.rows(t.incident)}
    assert preview(feature="x")[0] == (by_feature["x"],)
    assert preview(feature="zeros") == ((), (by_feature["zeros"],))
    assert preview(model="m", version="1") == ((by_feature["x"],), tuple(by_feature.values()))
    assert preview(model="n") == ((), ())
    assert preview(model="m", severity="warning")[0] == ()  # it is critical
    silence(world, 5, model="m")
    with reading(world.engine) as conn:
        for matched, overlaps in (
            ({"feature": "x", "model": "m"}, 1),
            ({}, 1),
            ({"model": "n"}, 0),
        ):
            found = silences.preview(
                conn, Matcher(**matched), from_ms=now_ms, until_ms=now_ms + 9, now_ms=now_ms
            )
            assert len(found.overlapping) == overlaps


def test_an_acknowledgement_ends_when_the_incident_opens_again(world: World) -> None:
    world.step(3, x=BAD)

    def acknowledged() -> str | None:
        with reading(world.engine) as conn:
            group = group_of(conn, 1)
            found = handled(conn, [group], world.now_ms).get(group.number)
        return None if found is None or found.handling.acknowledged is None else "yes"

    assert acknowledged() is None
    world.now_ms += 1
    with transaction(world.engine) as conn:
        notes.add(conn, [1], notes.ACKNOWLEDGED, by="Mo", actor="a", now_ms=world.now_ms)
    assert acknowledged() == "yes"
    world.now_ms += HOUR_MS
    world.step(4)
    world.now_ms += HOUR_MS
    world.step(3, x=BAD)
    assert [row.event for row in world.rows(t.incident_event)][-1] == "reopened"
    assert acknowledged() is None


def test_a_group_says_which_silence_keeps_it_quiet(world: World) -> None:
    world.step(3, x=BAD, zeros=BAD)

    def quiet() -> int | None:
        with reading(world.engine) as conn:
            group = group_of(conn, 1)
            found = handled(conn, [group], world.now_ms).get(group.number)
        return None if found is None or found.silence is None else found.silence.number

    silence(world, 2, feature="x")
    assert quiet() is None  # zeros is told
    silence(world, 5, feature="zeros")
    assert quiet() == 1  # the first after which something is told
    silence(world, 9, model="m")
    assert quiet() == 3
