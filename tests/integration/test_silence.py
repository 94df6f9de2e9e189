"""A model without predictions for longer than it ever paused: told once, whoever relieves whom."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa
from alerts_world import endpoint
from judged_world import START_MS, World

from driftline.stats.lengths import DAY_MS, HOUR_MS
from driftline.stats.reference import Reference
from monitor.storage import engine as storage
from monitor.storage import registry as registry_store
from monitor.storage import schema as t

pytestmark = pytest.mark.both_databases
VOLUME = t.incident.c.kind == "volume"


def stream_is_at(world: World, time_ms: int) -> None:
    """Let another model's events move the stream's time on."""
    with storage.transaction(world.engine) as conn:
        conn.execute(sa.update(t.stream_position).values(max_event_time_ms=time_ms))


def test_nothing_is_silent_before_a_week_and_a_day_are_known(world: World) -> None:
    world.write(START_MS, 24 * 7)
    stream_is_at(world, START_MS + 7 * DAY_MS + 20 * HOUR_MS)
    world.evaluator().step()
    assert not world.rows(t.incident, VOLUME)


def test_a_model_is_silent_after_twice_its_longest_pause(world: World) -> None:
    world.write(START_MS, 24 * 4)
    world.write(START_MS + 4 * DAY_MS + 5 * HOUR_MS, 24 * 6 - 5)  # a pause of five hours
    evaluator = world.evaluator()
    last_ms = START_MS + 10 * DAY_MS
    stream_is_at(world, last_ms + 11 * HOUR_MS)
    evaluator.step()
    assert not world.rows(t.incident, VOLUME)
    world.now_ms += 2 * 60_000
    stream_is_at(world, last_ms + 13 * HOUR_MS)
    evaluator.step()
    (silent,) = world.rows(t.incident, VOLUME)
    assert (silent.state, silent.severity, silent.feature) == ("firing", "critical", "")
    assert (silent.first_window_ms, silent.opened_ms) == (last_ms, last_ms + 12 * HOUR_MS)
    assert silent.summary == (
        "No predictions since 0h on 11 January 2024; the longest pause of the 28 days before was "
        "6 hours, limit 12 hours."
    )
    assert json.loads(silent.evidence)["volume"]["usual_ms"] == 6 * HOUR_MS
    world.now_ms += 2 * 60_000
    evaluator.step()
    assert [row.event for row in world.rows(t.incident_event)] == ["opened"]
    world.write(last_ms + 20 * HOUR_MS, 4)
    evaluator.step()
    (silent,) = world.rows(t.incident, VOLUME)
    assert (silent.state, silent.resolved_ms) == ("resolved", last_ms + 20 * HOUR_MS)
    ended = world.rows(t.incident_event)[-1]
    assert (ended.event, ended.detail) == (
        "resolved",
        "Predictions came again at 20h on 11 January 2024.",
    )


def test_a_replay_finds_the_silence_that_was_found_live(world: World, reference: Reference) -> None:
    world.write(START_MS, 24 * 10)
    live = world.evaluator()
    live.step()
    stream_is_at(world, START_MS + 10 * DAY_MS + 9 * HOUR_MS)
    world.now_ms += 2 * 60_000
    live.step()
    assert [row.state for row in world.rows(t.incident, VOLUME)] == ["firing"]
    world.write(START_MS + 11 * DAY_MS, 24)
    live.step()
    told = world.facts()["incidents"]
    with storage.transaction(world.engine) as conn:
        for table in (
            t.finding, t.finding_day, t.model_window, t.window, t.latch,
            t.incident_event, t.incident, t.evaluator_cursor, t.alert, t.alert_incident,
        ):  # fmt: skip
            conn.execute(sa.delete(table))
    world.evaluator().step()
    assert world.facts()["incidents"] == told
    assert len(told) == 1


def test_receivers_are_told_of_a_silence_and_of_its_end(world: World) -> None:
    endpoint(world.engine)
    world.write(START_MS, 24 * 10)
    stream_is_at(world, START_MS + 10 * DAY_MS + 9 * HOUR_MS)
    evaluator = world.evaluator()
    evaluator.step()
    world.write(START_MS + 11 * DAY_MS, 24)
    evaluator.step()
    told = [json.loads(row.body) for row in world.rows(t.outbox)]
    assert [(body["type"], body["data"]["summary"]) for body in told] == [
        (
            "model.silent",
            "m 1: No predictions since 0h on 11 January 2024; the longest pause of the 28 days "
            "before was 1 hour, limit 2 hours.",
        ),
        ("model.recovered", "m 1: predictions came again after 24 hours."),
    ]


def test_late_events_withdraw_a_silence(world: World) -> None:
    world.write(START_MS, 24 * 10)
    stream_is_at(world, START_MS + 10 * DAY_MS + 9 * HOUR_MS)
    evaluator = world.evaluator()
    evaluator.step()
    assert [row.state for row in world.rows(t.incident, VOLUME)] == ["firing"]
    world.write(START_MS + 10 * DAY_MS, 9)
    evaluator.step()
    assert [row.state for row in world.rows(t.incident, VOLUME)] == ["withdrawn"]


def test_a_version_that_is_relieved_is_not_silent(world: World, reference: Reference) -> None:
    world.write(START_MS, 24 * 10)
    with storage.transaction(world.engine) as conn:
        registry_store.register_reference(conn, reference, model="m", version="2", now_ms=0)
        panes = conn.execute(sa.select(t.pane).where(t.pane.c.start_ms < START_MS + DAY_MS)).all()
        later = [
            {**row._mapping, "version_id": 2, "start_ms": row.start_ms + 10 * DAY_MS}
            for row in panes
        ]
        conn.execute(sa.insert(t.pane), later)
    stream_is_at(world, START_MS + 11 * DAY_MS + HOUR_MS)
    evaluator = world.evaluator()
    evaluator.step()
    assert not world.rows(t.incident, VOLUME)
    stream_is_at(world, START_MS + 11 * DAY_MS + 9 * HOUR_MS)
    world.now_ms += 2 * 60_000
    with storage.transaction(world.engine) as conn:
        conn.execute(
            sa.insert(t.counter).values(
                stream_id=1, partition=0, model="m", version="2", outcome="prediction", count=1
            )
        )
    evaluator.step()
    assert [row.version_id for row in world.rows(t.incident, VOLUME)] == [2]


def test_a_model_that_is_waited_for_no_longer_has_ended(world: World) -> None:
    world.write(START_MS, 24 * 10)
    stream_is_at(world, START_MS + 60 * DAY_MS)
    world.evaluator().step()
    (silent,) = world.rows(t.incident, VOLUME)
    assert (silent.state, silent.resolved_ms) == ("expired", START_MS + 38 * DAY_MS)


def test_the_wall_clock_counts_where_events_come_as_they_happen(world: World) -> None:
    last_ms = START_MS + 10 * DAY_MS
    world.write(START_MS, 24 * 10)
    world.now_ms = last_ms + 6 * HOUR_MS
    world.idle()
    world.evaluator().step()
    assert not world.rows(t.incident, VOLUME)
    with storage.transaction(world.engine) as conn:
        conn.execute(sa.update(t.stream_position).values(last_counted_kafka_ms=last_ms + HOUR_MS))
    world.evaluator().step()
    assert [row.state for row in world.rows(t.incident, VOLUME)] == ["firing"]


def test_the_end_of_a_log_is_no_silence(world: World) -> None:
    # Its last windows close because nothing is left to read, which says nothing of time.
    world.write(START_MS, 24 * 15)
    world.idle()
    world.evaluator().step()
    assert world.rows(t.window, t.window.c.length == "week")
    assert not world.rows(t.incident, VOLUME)


def test_a_long_silence_ends_though_the_events_after_it_wait_for_belief(world: World) -> None:
    # The first events after more than a day move the stream's time when a hundred have come.
    last_ms = START_MS + 10 * DAY_MS
    world.write(START_MS, 24 * 10)
    evaluator = world.evaluator()
    back_ms = world.now_ms = last_ms + 60 * HOUR_MS
    sent_now(world, believed_ms=last_ms, sent_ms=last_ms)
    world.idle()
    evaluator.step()
    assert [row.state for row in world.rows(t.incident, VOLUME)] == ["firing"]
    world.write(back_ms, 1)
    world.now_ms += 90 * 60_000
    sent_now(world, believed_ms=last_ms, sent_ms=back_ms + 50 * 60_000)
    evaluator.step()  # more is being read: what was known is not unknown again
    assert [row.state for row in world.rows(t.incident, VOLUME)] == ["firing"]
    world.now_ms += 10 * 60_000
    world.idle()
    evaluator.step()
    (silent,) = world.rows(t.incident, VOLUME)
    assert (silent.state, silent.resolved_ms) == ("resolved", back_ms)
    assert [row.event for row in world.rows(t.incident_event)] == ["opened", "resolved"]


def test_a_silence_that_ended_stays_so_while_more_is_being_read(world: World) -> None:
    last_ms = START_MS + 10 * DAY_MS
    world.write(START_MS, 24 * 10)
    evaluator = world.evaluator()
    world.now_ms = last_ms + 6 * HOUR_MS
    sent_now(world, believed_ms=last_ms, sent_ms=last_ms)
    world.idle()
    evaluator.step()
    back_ms = last_ms + 6 * HOUR_MS
    world.write(back_ms, 1)
    world.now_ms = back_ms + 30 * 60_000
    sent_now(world, believed_ms=back_ms + 5 * 60_000, sent_ms=back_ms + 5 * 60_000)
    world.idle()
    evaluator.step()
    assert [row.state for row in world.rows(t.incident, VOLUME)] == ["resolved"]
    # One event more, a minute later: the watermark is behind the hour in which they came again.
    world.now_ms += 2 * 60_000
    sent_now(world, believed_ms=back_ms + 6 * 60_000, sent_ms=back_ms + 6 * 60_000)
    evaluator.step()
    assert [row.state for row in world.rows(t.incident, VOLUME)] == ["resolved"]
    assert [row.event for row in world.rows(t.incident_event)] == ["opened", "resolved"]


def sent_now(world: World, *, believed_ms: int, sent_ms: int) -> None:
    """Say that the newest event was sent as it happened, and whether its time is believed yet."""
    waiting = None if sent_ms <= believed_ms else json.dumps({"waiting_ms": [sent_ms]})
    with storage.transaction(world.engine) as conn:
        conn.execute(
            sa.update(t.stream_position).values(
                max_event_time_ms=believed_ms,
                pending_advance=waiting,
                last_counted_kafka_ms=sent_ms,
                caught_up_for_ms=0,
                fetched_ms=world.now_ms,
            )
        )
