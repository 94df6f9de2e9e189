"""The evaluator on a real database: idempotent, revised by late events, raced, replayed.

The stories that take seconds are told on SQLite alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from judged_world import ROWS_AN_HOUR, START_MS, World, frame, world_of
from sqlalchemy.engine import Engine

from driftline.stats.profile import Column
from driftline.stats.reference import Reference, build_reference
from monitor.storage import engine as storage
from monitor.storage import registry as registry_store
from monitor.storage import schema as t
from monitor.windows.calendar import DAY_MS
from monitor.windows.panes import HOUR_MS


@pytest.mark.both_databases
def test_windows_are_judged_once_their_end_is_behind_the_watermark(world: World) -> None:
    world.write(START_MS, 49)
    assert world.evaluator().step() > 0
    lengths = [(row.length, row.closed_by) for row in world.rows(t.window)]
    assert lengths.count(("hour", "watermark")) == 49
    assert lengths.count(("day", "watermark")) == 2
    assert "week" not in dict(lengths)


@pytest.mark.both_databases
def test_no_drift_no_incident(world: World) -> None:
    world.write(START_MS, 24 * 28)
    world.evaluator().step()
    assert world.rows(t.incident) == []


@pytest.mark.both_databases
def test_running_it_again_changes_nothing(world: World) -> None:
    world.write(START_MS, 24 * 4, shift=0.9)
    evaluator = world.evaluator()
    assert evaluator.step() > 0
    before, version = world.facts(), world.rows(t.data_version)
    assert evaluator.step() == 0
    assert world.evaluator().step() == 0
    assert (world.facts(), world.rows(t.data_version)) == (before, version)


@pytest.mark.both_databases
def test_a_shift_of_a_day_and_another_opens_one_incident(world: World) -> None:
    world.write(START_MS, 24 * 4)
    world.write(START_MS + 4 * DAY_MS, 24 * 3, shift=0.9)
    world.evaluator().step()
    (incident,) = world.rows(t.incident)
    assert (incident.feature, incident.kind, incident.state) == ("x", "distribution", "firing")
    assert incident.first_window_ms == START_MS + 4 * DAY_MS
    assert incident.opened_ms == START_MS + 6 * DAY_MS
    assert incident.severity == "critical"
    assert incident.summary.startswith("x: ")
    events = [row.event for row in world.rows(t.incident_event)]
    assert events == ["opened"]


@pytest.mark.both_databases
def test_it_resolves_after_three_clear_days(world: World) -> None:
    world.write(START_MS, 24 * 3, shift=0.9)
    world.write(START_MS + 3 * DAY_MS, 24 * 4)
    world.evaluator().step()
    (incident,) = world.rows(t.incident)
    assert (incident.state, incident.resolved_ms) == ("resolved", START_MS + 6 * DAY_MS)
    # What ended it is told, not again what opened it.
    opened, ended = world.rows(t.incident_event)
    assert (opened.event, ended.event) == ("opened", "resolved")
    assert opened.detail == incident.summary
    assert ended.detail.startswith("x: 3 calm days in a row ended it, with PSI 0.")


@pytest.mark.both_databases
def test_a_late_event_makes_a_revision(world: World) -> None:
    world.write(START_MS, 24 * 3)
    evaluator = world.evaluator()
    evaluator.step()
    world.write(START_MS + 5 * HOUR_MS, 1, seed=99)
    assert evaluator.step() == 2  # its hour and its day
    revised = [row for row in world.rows(t.window) if row.revision == 2]
    assert sorted((row.length, row.rows) for row in revised) == [
        ("day", 25 * ROWS_AN_HOUR),
        ("hour", 2 * ROWS_AN_HOUR),
    ]
    assert evaluator.step() == 0


@pytest.mark.both_databases
def test_events_later_than_the_horizon_are_counted_and_judge_nothing_again(world: World) -> None:
    world.write(START_MS, 24 * 15)
    evaluator = world.evaluator()
    evaluator.step()
    world.write(START_MS + 5 * HOUR_MS, 1, seed=99)
    assert evaluator.step() == 0


def stream_is_at(world: World, time_ms: int) -> None:
    """Let the stream's time come far ahead by another model's events."""
    with storage.transaction(world.engine) as conn:
        world._position(conn, 0, time_ms)


def behind(world: World, by_ms: int, waiting: int) -> None:
    """Let records wait that were written so long before the last look."""
    with storage.transaction(world.engine) as conn:
        conn.execute(
            sa.update(t.stream_position).values(
                end_offset=t.stream_position.c.next_offset + waiting,
                fetched_ms=world.now_ms,
                last_counted_kafka_ms=world.now_ms - by_ms,
            )
        )


def test_a_log_that_is_sent_after_newer_events_of_another_model_is_judged_from_end_to_end(
    world: World, reference: Reference, tmp_path: Any
) -> None:
    """Its windows are over by the stream's time before they are counted: none is left out."""
    stream_is_at(world, START_MS + 100 * DAY_MS)
    evaluator = world.evaluator()
    stretches = [(day, 15 * 24 - 7) for day in (0, 15, 30, 45)]
    for day, hours in stretches:
        world.write(START_MS + day * DAY_MS, hours, seed=day)
        evaluator.step()
        # The rest of its last day comes with the next checkpoint.
        world.write(START_MS + day * DAY_MS + hours * HOUR_MS, 7, seed=day + 1)
        evaluator.step()
    days = [row for row in world.rows(t.window) if row.length == "day"]
    assert [row.rows for row in days] == [24 * ROWS_AN_HOUR] * 60
    assert evaluator.step() == 0
    other_engine = storage.create(f"sqlite:///{tmp_path / 'other.db'}")
    storage.upgrade(other_engine)
    other = world_of(other_engine, reference)
    stream_is_at(other, START_MS + 100 * DAY_MS)
    for day, hours in stretches:
        other.write(START_MS + day * DAY_MS, hours, seed=day)
        other.write(START_MS + day * DAY_MS + hours * HOUR_MS, 7, seed=day + 1)
    other.evaluator().step()
    assert other.facts() == world.facts()
    other_engine.dispose()


@pytest.mark.both_databases
def test_a_log_far_behind_its_stream_is_not_judged_while_more_of_it_may_wait(
    world: World,
) -> None:
    """One partition may be months ahead of the others: their rows belong to the same windows."""
    stream_is_at(world, START_MS + 100 * DAY_MS)
    world.write(START_MS, 24 * 5)

    behind(world, 60_000, waiting=500)
    assert world.evaluator().step() == 0
    # Nobody reads them any more: they hold nothing back for longer than any partition may.
    world.now_ms += 2 * HOUR_MS
    assert world.evaluator().step() > 0


@pytest.mark.both_databases
def test_a_few_records_to_come_hold_no_log_back(world: World) -> None:
    stream_is_at(world, START_MS + 100 * DAY_MS)
    world.write(START_MS, 24 * 5)
    behind(world, 1_000, waiting=5)
    # A stream that is read as it is written always has them.
    assert world.evaluator().step() == 5 * 24 + 5 + 1


@pytest.mark.both_databases
def test_late_events_that_mend_a_window_withdraw_its_incident(world: World) -> None:
    world.write(START_MS, 24 * 2)
    hole = START_MS + 2 * DAY_MS
    world.write(hole, 2, missing=1.0)
    world.write(hole + 2 * HOUR_MS, 4)
    evaluator = world.evaluator()
    evaluator.step()
    (incident,) = world.rows(t.incident)
    assert (incident.kind, incident.state) == ("missing", "resolved")
    # So many rows come after all that the missing ones are a share like any other.
    for seed in range(200):
        world.write(hole, 2, seed=seed)
    evaluator.step()
    (incident,) = world.rows(t.incident)
    assert incident.state == "withdrawn"
    assert [row.event for row in world.rows(t.incident_event)][-1] == "withdrawn"


@pytest.mark.both_databases
def test_revising_in_steps_finds_what_one_run_over_the_whole_log_finds(
    world: World, reference: Reference, tmp_path: Any
) -> None:
    stretches: Sequence[tuple[int, int, dict[str, float]]] = [
        (0, 60, {}),
        (60, 40, {"shift": 0.9}),
        (24, 30, {"missing": 0.5}),
        (100, 90, {}),
        (96, 10, {"shift": 3.0}),
    ]
    evaluator = world.evaluator()
    for start, hours, changed in stretches:
        world.write(START_MS + start * HOUR_MS, hours, seed=start, **changed)
        evaluator.step()
    other_engine = storage.create(f"sqlite:///{tmp_path / 'other.db'}")
    storage.upgrade(other_engine)
    other = world_of(other_engine, reference)
    for start, hours, changed in reversed(stretches):
        other.write(START_MS + start * HOUR_MS, hours, seed=start, partition=start % 2, **changed)
    other.evaluator().step()
    assert other.facts() == world.facts()
    other_engine.dispose()


@pytest.mark.both_databases
def test_the_slower_of_two_evaluators_writes_nothing(world: World) -> None:
    world.write(START_MS, 24 * 2)
    slow, fast = world.evaluator(), world.evaluator()
    read = slow._read

    def overtaken(bound: Any, judged_to_ms: int | None) -> Any:
        found = read(bound, judged_to_ms)
        fast.step()
        return found

    slow._read = overtaken  # type: ignore[method-assign]
    assert slow.step() == 0
    assert len(world.rows(t.window)) == 48 + 2


@pytest.mark.both_databases
def test_a_partition_that_lags_holds_the_windows_back_until_it_is_idle(world: World) -> None:
    world.write(START_MS, 24 * 2)
    world.write(START_MS, 2, partition=1)
    evaluator = world.evaluator()
    evaluator.step()
    assert {row.length for row in world.rows(t.window)} == {"hour"}
    world.idle(partition=1)
    evaluator.step()
    assert {row.length for row in world.rows(t.window)} == {"hour", "day"}


@pytest.mark.both_databases
def test_when_nothing_is_left_to_read_windows_with_data_close_by_idle(world: World) -> None:
    world.write(START_MS, 30)
    world.idle()
    world.evaluator().step()
    days = [row for row in world.rows(t.window) if row.length == "day"]
    assert [(row.rows, row.closed_by) for row in days] == [
        (24 * ROWS_AN_HOUR, "watermark"),
        (6 * ROWS_AN_HOUR, "idle"),
    ]
    assert [row.closed_by for row in world.rows(t.window) if row.length == "week"] == ["idle"]


@pytest.mark.both_databases
def test_silence_does_not_close_a_window_that_is_not_over_by_the_clock(world: World) -> None:
    world.now_ms = START_MS + 31 * HOUR_MS
    world.write(START_MS, 30)
    world.idle()
    world.evaluator().step()
    assert len([row for row in world.rows(t.window) if row.length == "day"]) == 1


@pytest.mark.both_databases
def test_an_owner_gone_for_an_hour_is_judged_without_and_named(world: World) -> None:
    world.write(START_MS, 30)
    world.write(START_MS, 2, partition=1)
    world.now_ms += 2 * HOUR_MS
    world.write(START_MS + 30 * HOUR_MS, 20)
    world.evaluator().step()
    days = [row for row in world.rows(t.window) if row.length == "day"]
    assert [(row.closed_by, json.loads(row.incomplete)) for row in days] == [
        ("hold", ["hold: partition 1"])
    ] * 2


def test_a_length_without_slices_learns_from_its_first_eight_live_windows(world: World) -> None:
    assert len(world.reference.slices["all"]["week"].starts_ms) < 8
    world.write(START_MS, 24 * 7 * 10)
    world.evaluator().step()
    weeks = sorted(
        {(row.start_ms, row.verdict) for row in world.rows(t.finding, t.finding.c.length == "week")}
    )
    assert [verdict for _, verdict in weeks] == ["collecting"] * 8 + ["ok"] * 2
    (kept,) = world.rows(t.calibration)
    assert (kept.length, kept.source, len(json.loads(kept.windows))) == ("week", "live", 8)


@pytest.mark.both_databases
def test_a_reference_without_times_judges_at_once_and_never_above_warning(
    engine: Engine,
) -> None:
    timeless = build_reference(frame(0, 28 * 24, 1, with_times=False), categorical=("c",))
    world = world_of(engine, timeless)
    world.write(START_MS, 24 * 4, shift=2.0)
    world.evaluator().step()
    days = world.rows(t.finding, t.finding.c.length == "day", t.finding.c.feature == "x")
    assert {row.verdict for row in days} == {"warning"}
    calm = world.rows(t.finding, t.finding.c.length == "day", t.finding.c.feature == "c")
    assert {row.verdict for row in calm} == {"uncalibrated"}
    (incident,) = world.rows(t.incident)
    assert incident.severity == "warning"


@pytest.mark.both_databases
def test_a_latch_without_anything_to_judge_expires(world: World) -> None:
    world.write(START_MS, 24 * 3, shift=0.9)
    evaluator = world.evaluator()
    evaluator.step()
    assert [row.state for row in world.rows(t.incident)] == ["firing"]
    with storage.transaction(world.engine) as conn:
        world._position(conn, 0, START_MS + 40 * DAY_MS)
    evaluator.step()
    assert [row.state for row in world.rows(t.incident)] == ["expired"]


def test_floats_are_rounded_before_they_are_stored(world: World) -> None:
    world.write(START_MS, 24)
    world.evaluator().step()
    for row in world.rows(t.finding, t.finding.c.psi.is_not(None)):
        assert row.psi == float(f"{row.psi:.9g}")
        assert row.psi_limit == float(f"{row.psi_limit:.9g}")


@pytest.mark.both_databases
def test_what_was_judged_does_not_depend_on_how_often_the_evaluator_looked(
    engine: Engine, tmp_path: Any
) -> None:
    timeless = build_reference(frame(0, 28 * 24, 1, with_times=False), categorical=("c",))
    once_engine = storage.create(f"sqlite:///{tmp_path / 'once.db'}")
    storage.upgrade(once_engine)
    often, once = world_of(engine, timeless), world_of(once_engine, timeless)
    evaluator = often.evaluator()
    for day in range(12):
        for world in (often, once):
            world.write(START_MS + day * DAY_MS, 24, seed=day, shift=0.0 if day < 4 else 0.9)
        evaluator.step()
    once.evaluator().step()
    assert often.facts() == once.facts()
    assert often.rows(t.incident)
    once_engine.dispose()


def test_how_windows_were_closed_does_not_change_what_a_length_learns(
    world: World, reference: Reference, tmp_path: Any
) -> None:
    other_engine = storage.create(f"sqlite:///{tmp_path / 'other.db'}")
    storage.upgrade(other_engine)
    replayed = world_of(other_engine, reference)
    evaluator = world.evaluator()
    for week in range(10):
        for one in (world, replayed):
            one.write(START_MS + week * 7 * DAY_MS, 7 * 24, seed=week)
        if week < 3:
            world.idle()
        evaluator.step()
        with storage.transaction(world.engine) as conn:
            conn.execute(sa.update(t.stream_position).values(caught_up_for_ms=0))
    replayed.evaluator().step()
    assert world.facts() == replayed.facts()
    other_engine.dispose()


def rebind(world: World, reference: Reference, effective_ms: int) -> None:
    with storage.transaction(world.engine) as conn:
        registry_store.register_reference(
            conn, reference, model="m", version="1", now_ms=0, effective_from_ms=effective_ms
        )
    world.reference = reference


def test_a_new_reference_learns_from_its_own_windows_only(engine: Engine) -> None:
    first = build_reference(frame(0, 28 * 24, 1, with_times=False), categorical=("c",))
    second = build_reference(frame(0, 28 * 24, 2, with_times=False), categorical=("c",))
    world = world_of(engine, first)
    world.write(START_MS, 24 * 11)
    evaluator = world.evaluator()
    evaluator.step()
    rebind(world, second, START_MS + 11 * DAY_MS)
    world.write(START_MS + 11 * DAY_MS, 24 * 12, shift=3.0)
    evaluator.step()
    learnt = [row for row in world.rows(t.calibration) if row.reference_digest == second.digest]
    assert {row.length for row in learnt} >= {"hour", "day"}
    for row in learnt:
        assert min(start for start, _ in json.loads(row.windows)) >= START_MS + 11 * DAY_MS
    assert [row.feature for row in world.rows(t.incident)] == ["x"]


def test_an_incident_speaks_of_the_reference_that_judged_it(engine: Engine) -> None:
    first = build_reference(
        frame(START_MS - 28 * DAY_MS, 28 * 24, 1), timestamp="at", categorical=("c",)
    )
    second = build_reference(
        frame(START_MS - 28 * DAY_MS, 28 * 24, 2)[["c", "at"]], timestamp="at", categorical=("c",)
    )
    world = world_of(engine, first)
    world.write(START_MS, 24 * 2, shift=0.9)
    world.write(START_MS + 2 * DAY_MS, 24, shift=0.5)
    evaluator = world.evaluator()
    evaluator.step()
    (before,) = world.rows(t.incident)
    rebind(world, second, START_MS + 4 * DAY_MS)
    world.write(START_MS + 4 * DAY_MS, 24 * 21)
    evaluator.step()
    (after,) = world.rows(t.incident)
    assert (after.state, before.state) == ("expired", "firing")
    assert after.summary.split(", in 2 of")[0] == before.summary.split(", in 2 of")[0]


@pytest.mark.both_databases
def test_a_version_that_cannot_be_judged_does_not_keep_the_others_waiting(
    world: World, reference: Reference
) -> None:
    with storage.transaction(world.engine) as conn:
        registry_store.register_reference(conn, reference, model="a", version="1", now_ms=0)
    world.write(START_MS, 24)
    evaluator = world.evaluator()
    judge = evaluator._judge_version

    def broken(bound: Any) -> int:
        if bound.model == "a":
            raise ValueError("no")
        return judge(bound)

    evaluator._judge_version = broken  # type: ignore[method-assign]
    assert evaluator.step() > 0


@pytest.mark.both_databases
def test_a_stream_of_months_of_silence_is_judged_as_it_comes(world: World) -> None:
    evaluator = world.evaluator()
    for month in range(4):
        start_ms = START_MS + month * 30 * DAY_MS
        world.write(start_ms, 2)
        # A step of over a day waits for a hundred records: the watermark stays behind.
        with storage.transaction(world.engine) as conn:
            conn.execute(sa.update(t.stream_position).values(max_event_time_ms=START_MS))
        world.idle()
        evaluator.step()
        days = [row for row in world.rows(t.window) if row.length == "day"]
        assert len(days) == month + 1


@pytest.mark.both_databases
def test_half_hour_clock_changes_are_judged_once(engine: Engine) -> None:
    start_ms = START_MS + 95 * DAY_MS  # 5 April 2024
    island = build_reference(
        frame(start_ms - 28 * DAY_MS, 28 * 24, 1),
        timestamp="at",
        categorical=("c",),
        timezone="Australia/Lord_Howe",
    )
    world = world_of(engine, island)
    quarter_ms = HOUR_MS // 4
    rows = frame(start_ms, 60, 3)
    times = start_ms + np.arange(len(rows), dtype=np.int64) * (HOUR_MS // ROWS_AN_HOUR)
    panes, pane = np.unique(times // quarter_ms * quarter_ms, return_inverse=True)
    columns = {"x": Column(rows["x"].to_numpy()), "c": Column(rows["c"].tolist())}
    profiles = island.gridset.count(columns, len(rows), pane, len(panes))
    with storage.transaction(engine) as conn:
        for at_ms, profile in zip(panes.tolist(), profiles, strict=True):
            world._add(conn, at_ms, 0, profile)
        world._position(conn, 0, int(times[-1]) + 2 * HOUR_MS)
    evaluator = world.evaluator()
    assert evaluator.step() > 0
    assert evaluator.step() == 0
    hours = [row for row in world.rows(t.window) if row.length == "hour"]
    assert sum(row.rows for row in hours) == len(rows)
